//! `/ws` and `/api/socket` without Socket.IO: the two JSON dialects of earlier systems, and subscriptions by token alone.
//!
//! The dialect of a connection is that of its first message. The `action` dialect greets before anybody has said anything; clients of
//! the `type` dialect ignore messages of a type that they do not know, so everybody on `/ws` is greeted.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use market::Symbol;
use serde_json::{Value, json};

use super::connection::{self, text_message};
use super::{Conversation, handshake};
use crate::access::{Grant, credential};
use crate::delivery::client::{Client, Cut};
use crate::dialects::socketio::session::refresh;
use crate::gateway::Gateway;
use crate::http::problem::Problem;
use crate::records::channel::{Channel, Channels};
use crate::records::encoding::Encoding;
use crate::records::frame::Reader;
use crate::subscriptions::contract::{Answer, Options, Request as Subscription, read_request};

/// Which address a client came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// `/ws`: either dialect, or a token that subscribes.
    Ws,
    /// `/api/socket`: the `type` dialect, which expects no greeting.
    Socket,
}

/// Takes the connection over.
pub fn accept(gateway: &Arc<Gateway>, address: Address, request: Request) -> Response {
    let brought = credential(request.headers(), request.uri().query());
    let grant = match gateway.access.admit(brought.as_deref()) {
        Ok(grant) => grant,
        Err(denied) => return Problem::from(denied).into_response(),
    };
    let gateway = Arc::clone(gateway);
    handshake::accept(request, move |socket, early| async move {
        let encoding = if grant.notification { Encoding::Notification } else { Encoding::Type };
        let client = Client::on_socket(gateway.hub.next_id(), socket, encoding, gateway.config.outbox);
        let limits = gateway.config.door;
        let mut plain = Plain { gateway, client: Arc::clone(&client), address, grant, dialect: None };
        plain.opened();
        connection::serve(&client, Reader::after(&early), &mut plain, &limits).await;
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Action,
    Type,
}

struct Plain {
    gateway: Arc<Gateway>,
    client: Arc<Client>,
    address: Address,
    grant: Grant,
    dialect: Option<Dialect>,
}

impl Conversation for Plain {
    fn text(&mut self, text: &str) -> Result<(), Cut> {
        if self.grant.notification {
            return Ok(()); // such clients have nothing to say
        }
        match serde_json::from_str::<Value>(text) {
            Ok(message @ Value::Object(_)) => self.message(&message),
            _ => {
                self.error("a message must be a JSON object such as {\"action\":\"subscribe\",\"symbols\":[\"AAPL\"]}")
            }
        }
        Ok(())
    }

    fn binary(&mut self, _: &[u8]) -> Result<(), Cut> {
        self.error("messages must be text");
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn closed(&mut self, _: Cut) {
        self.gateway.hub.leave(self.client.id(), false);
    }
}

impl Plain {
    fn opened(&mut self) {
        self.client.set_expiry(self.grant.expires_ms.unwrap_or(u64::MAX));
        self.gateway.hub.join(&self.client, self.grant.scope.clone());
        if self.grant.notification {
            let symbols = self.grant.scope.symbols().into_iter().flatten().copied().collect();
            let options = Options { channels: Channels::of([Channel::Trades]), ..Options::default() };
            let request = Subscription { symbols, options, ..Subscription::default() };
            self.gateway.hub.subscribe(self.client.id(), &request, |_| None);
        } else if self.address == Address::Ws {
            self.say(&json!({ "type": "connection", "status": "connected", "client_id": uuid() }));
        }
    }

    fn message(&mut self, message: &Value) {
        let first = if message.get("action").is_some() { Dialect::Action } else { Dialect::Type };
        let dialect = *self.dialect.get_or_insert_with(|| {
            let encoding = if first == Dialect::Action { Encoding::Action } else { Encoding::Type };
            self.client.outbox().set_encoding(encoding);
            first
        });
        let verb = message.get(if dialect == Dialect::Action { "action" } else { "type" }).and_then(Value::as_str);
        match verb {
            Some("subscribe") => self.subscription(dialect, message, true),
            Some("unsubscribe") => self.subscription(dialect, message, false),
            Some("ping") => self.say(&json!({ "type": "pong" })),
            Some("token") => match refresh(&self.gateway.access, message) {
                Ok(grant) => {
                    self.client.set_expiry(grant.expires_ms.unwrap_or(u64::MAX));
                    let ended = self.gateway.hub.set_scope(self.client.id(), grant.scope);
                    let ended: Vec<&str> = ended.iter().map(Symbol::as_str).collect();
                    self.say(
                        &json!({ "type": "token", "status": "accepted", "expires": grant.expires_ms, "ended": ended }),
                    );
                }
                Err(denied) => self.error(&denied.to_string()),
            },
            Some(other) => {
                let other: String = other.chars().take(64).collect();
                self.error(&format!("unknown message `{other}`: send subscribe, unsubscribe or ping"));
            }
            None => self.error("the message needs `action` or `type`"),
        }
    }

    fn subscription(&self, dialect: Dialect, message: &Value, subscribe: bool) {
        let mut request = match read_request(message) {
            Ok(request) => request,
            Err(error) => return self.error(&error),
        };
        request.options.channels = Channels::of([Channel::Trades]); // these dialects know nothing else
        let (hub, id) = (&self.gateway.hub, self.client.id());
        let mut rejected = Vec::new();
        let mut reply = |answer: &Answer| {
            rejected.clone_from(&answer.rejected);
            let (status, symbols) = match (&answer.subscribed, &answer.unsubscribed) {
                (Some(symbols), _) => ("subscribed", symbols),
                (_, symbols) => ("unsubscribed", symbols.as_ref()?),
            };
            let confirmed = json!({ "type": "subscription", "status": status, "symbols": symbols });
            (dialect == Dialect::Action && !symbols.is_empty()).then(|| text_message(&confirmed.to_string()))
        };
        if subscribe {
            hub.subscribe(id, &request, &mut reply);
        } else {
            hub.unsubscribe(id, &request, &mut reply);
        }
        for refused in rejected {
            self.error(&format!("{}: {}", refused.symbol, refused.reason));
        }
    }

    fn error(&self, message: &str) {
        self.say(&json!({ "type": "error", "message": message }));
    }

    fn say(&self, message: &Value) {
        self.client.say(text_message(&message.to_string()));
    }
}

/// A random UUID (version 4).
fn uuid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = bytes.iter().fold(String::with_capacity(36), |mut text, byte| {
        if matches!(text.len(), 8 | 13 | 18 | 23) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
        text
    });
    debug_assert_eq!(hex.len(), 36);
    hex
}
