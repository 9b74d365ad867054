//! Socket.IO over our own WebSocket: Engine.IO 4 with `transport=websocket` from the start. The hot path.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::response::Response;

use super::session::{Arrival, Session};
use crate::access::query_value;
use crate::fanout::client::{Client, Cut};
use crate::fanout::encoding::Encoding;
use crate::gateway::{Gateway, random_id};
use crate::websocket::connection::{self, text_message};
use crate::websocket::{Conversation, handshake};

/// Whether this request is ours; the others go to the engine.
#[must_use]
pub fn is_direct(request: &Request) -> bool {
    let value = |name| query_value(request.uri().query(), name);
    value("EIO").as_deref() == Some("4")
        && value("transport").as_deref() == Some("websocket")
        && value("sid").is_none()
        && handshake::is_wanted(request.headers())
}

/// Takes the connection over.
pub fn accept(gateway: &Arc<Gateway>, request: Request) -> Response {
    let gateway = Arc::clone(gateway);
    let arrival = Arrival::read(request.headers(), request.uri().query(), false);
    handshake::accept(request, move |socket, early| async move {
        let client = Client::on_socket(gateway.hub.next_id(), socket, Encoding::DIRECT, gateway.config.outbox);
        let session = Session::new(&gateway, &client, arrival);
        let limits = gateway.config.door;
        let mut engine = Engine { gateway, client: Arc::clone(&client), session };
        connection::serve(&client, &early, &mut engine, &limits).await;
    })
}

/// Engine.IO's own packets around the Socket.IO session.
struct Engine {
    gateway: Arc<Gateway>,
    client: Arc<Client>,
    session: Session,
}

impl Conversation for Engine {
    fn opened(&mut self) {
        let limits = &self.gateway.config.door;
        let open = serde_json::json!({
            "sid": random_id(),
            "upgrades": [],
            "pingInterval": limits.ping_interval.as_millis(),
            "pingTimeout": limits.ping_timeout.as_millis(),
            "maxPayload": limits.message_bytes_max,
        });
        self.client.say(text_message(&format!("0{open}")));
        self.session.opened();
    }

    fn text(&mut self, text: &str) -> Result<(), Cut> {
        match text.as_bytes().first() {
            Some(b'4') => self.session.text(&text[1..]),
            Some(b'3') => Ok(()), // a pong; that the client was heard is noted already
            Some(b'1') => Err(Cut::Gone),
            _ => Err(Cut::Misuse),
        }
    }

    fn binary(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        self.session.binary(bytes)
    }

    fn deadline(&self) -> Option<Instant> {
        self.session.connect_by()
    }

    fn closed(&mut self, reason: Cut) {
        self.session.closed(reason);
    }
}
