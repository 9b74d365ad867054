//! The Socket.IO conversation with one client, whatever carries it.
//!
//! Messages are handled in the order in which they come, in the task that read them: a subscribe followed at once by an unsubscribe
//! ends unsubscribed, and a subscribe sent in the same instant as the connect is never lost.

use std::sync::Arc;
use std::time::Instant;

use axum::http::{HeaderMap, header};
use market::Symbol;
use serde_json::Value;

use super::packet::{Packet, Reply, read_msgpack, read_text};
use crate::access::{Access, Denied, Grant, credential, query_value};
use crate::delivery::client::{Client, Cut};
use crate::dialects::websocket::handshake::is_wanted;
use crate::gateway::{Gateway, random_id};
use crate::records::encoding::Wire;
use crate::subscriptions::contract::{Answer, read_request};

/// What the handshake told about a client.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Token or key; what comes with the connect packet goes before it.
    credential: Option<String>,
    /// Whether the client speaks Engine.IO 3 (socket.io-client 1 and 2).
    legacy: bool,
    /// Whether it asked for or against connection state recovery (`?recovery=1` or `0`).
    recovery: Option<bool>,
    /// Whether it is, by its headers, not the JavaScript client.
    foreign: bool,
}

impl Arrival {
    /// Reads the request that opened the connection.
    #[must_use]
    pub fn read(headers: &HeaderMap, query: Option<&str>, legacy: bool) -> Self {
        let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).map(str::to_ascii_lowercase);
        // Browsers and Node offer compression on a WebSocket and say who they are elsewhere; Python's clients do neither or admit it.
        let foreign = match agent {
            Some(agent) => ["python", "aiohttp", "dart"].iter().any(|name| agent.contains(name)),
            None => is_wanted(headers) && !headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS),
        };
        let recovery = query_value(query, "recovery").map(|text| text == "1");
        Self { credential: credential(headers, query), legacy, recovery, foreign }
    }

    /// Whether the client is to get session ids and marks. There is no negotiation in the protocol: a client either uses them or, with
    /// handlers of one argument as in Python, chokes on them. Python's clients always send an object with the connect.
    fn recovers(&self, auth: &Value) -> bool {
        let empty = auth.as_object().is_some_and(serde_json::Map::is_empty);
        !self.legacy && self.recovery.unwrap_or(!self.foreign && !empty)
    }
}

/// The conversation.
pub struct Session {
    gateway: Arc<Gateway>,
    client: Arc<Client>,
    arrival: Arrival,
    /// Whether the client is in the namespace.
    inside: bool,
    /// Binary messages that still belong to the last packet.
    attachments: usize,
    /// When the client must have entered the namespace.
    connect_by: Instant,
    first: bool,
}

impl Session {
    /// A client that has not said anything yet.
    #[must_use]
    pub fn new(gateway: &Arc<Gateway>, client: &Arc<Client>, arrival: Arrival) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            client: Arc::clone(client),
            arrival,
            inside: false,
            attachments: 0,
            connect_by: Instant::now() + gateway.config.door.handshake_max,
            first: true,
        }
    }

    /// The transport is open. Older clients are in the namespace without asking.
    pub fn opened(&mut self) {
        if self.arrival.legacy {
            self.connect("/", &Value::Null);
        }
    }

    /// When the client must have entered the namespace; `None` once it has.
    #[must_use]
    pub fn connect_by(&self) -> Option<Instant> {
        (!self.inside).then_some(self.connect_by)
    }

    /// A text packet, without the engine's `4`.
    ///
    /// # Errors
    /// [`Cut`] where the connection must end.
    pub fn text(&mut self, packet: &str) -> Result<(), Cut> {
        self.first = false;
        if self.attachments > 0 {
            return Err(Cut::Misuse);
        }
        let packet = read_text(packet).map_err(|_| Cut::Misuse)?;
        self.packet(packet)
    }

    /// A binary message: an attachment, or a packet of the msgpack parser. Which parser a client uses shows in its first message.
    ///
    /// # Errors
    /// [`Cut`] where the connection must end.
    pub fn binary(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        if self.attachments > 0 {
            self.attachments -= 1; // no event of ours takes bytes
            return Ok(());
        }
        if std::mem::take(&mut self.first) {
            let encoding = self.client.encoding().msgpack();
            self.client.outbox().set_encoding(encoding);
        }
        if !matches!(self.client.encoding().wire(), Some(Wire::MsgpackFrame | Wire::Msgpack)) {
            return Err(Cut::Misuse);
        }
        let packet = read_msgpack(bytes).map_err(|_| Cut::Misuse)?;
        self.packet(packet)
    }

    /// The transport is gone. After a break, as opposed to a goodbye, the subscriptions wait.
    pub fn closed(&mut self, reason: Cut) {
        self.inside = false;
        let keep = matches!(reason, Cut::Gone | Cut::Silent | Cut::Stalled | Cut::Lossless);
        self.gateway.hub.leave(self.client.id(), keep);
    }

    fn packet(&mut self, packet: Packet) -> Result<(), Cut> {
        match packet {
            Packet::Connect { namespace, auth } => {
                if !self.inside || namespace != "/" {
                    self.connect(&namespace, &auth);
                }
            }
            Packet::Disconnect { namespace } if namespace == "/" => {
                self.inside = false;
                self.gateway.hub.leave(self.client.id(), false);
                self.connect_by = Instant::now() + self.gateway.config.door.handshake_max;
            }
            Packet::Disconnect { .. } => {}
            Packet::Event { namespace, id, data, attachments } => {
                self.attachments = attachments;
                if !self.inside || namespace != "/" {
                    return Err(Cut::Misuse); // as the JavaScript server does
                }
                self.event(id, &data);
            }
            Packet::Other { attachments } => self.attachments = attachments,
        }
        Ok(())
    }

    fn connect(&mut self, namespace: &str, auth: &Value) {
        if namespace != "/" {
            self.refuse(namespace, "Invalid namespace");
            return;
        }
        let token = auth.get("token").and_then(Value::as_str).map(str::to_owned);
        match self.gateway.access.admit(token.as_deref().or(self.arrival.credential.as_deref())) {
            Ok(grant) => self.enter(grant, auth),
            Err(denied) => self.refuse("/", &denied.to_string()),
        }
    }

    fn enter(&mut self, grant: Grant, auth: &Value) {
        let hub = &self.gateway.hub;
        let id = self.client.id();
        self.client.set_expiry(grant.expires_ms.unwrap_or(u64::MAX));
        let recovers = self.arrival.recovers(auth);
        if recovers {
            let marked = self.client.encoding().marked();
            self.client.outbox().set_encoding(marked);
        }
        hub.join(&self.client, grant.scope);
        self.inside = true;
        // Connection state recovery: the client names its session and the offset of the last event that it has.
        let offset = auth.get("offset").and_then(Value::as_str).and_then(|offset| offset.parse().ok());
        if let Some((before, offset)) = auth.get("pid").and_then(Value::as_str).zip(offset) {
            let encoding = self.client.encoding();
            let mut connection_id = String::new();
            let recovered = hub.resume(id, before, offset, |sid| {
                sid.clone_into(&mut connection_id);
                Reply::Connect { sid, pid: Some(before) }.encode(encoding)
            });
            let label = if recovered { "true" } else { "false" };
            metrics::counter!("gateway_recoveries_total", "recovered" => label).increment(1);
            if recovered {
                hub.hold_session(id, before.to_owned(), connection_id);
                return;
            }
        }
        let (sid, pid) = (random_id(), random_id());
        let hello = Reply::Connect { sid: &sid, pid: recovers.then_some(&pid) };
        self.reply(&if self.arrival.legacy { Reply::ConnectLegacy } else { hello });
        if recovers {
            hub.hold_session(id, pid, sid);
        }
    }

    fn event(&mut self, id: Option<u64>, data: &[Value]) {
        let name = data.first().and_then(Value::as_str).unwrap_or_default();
        let argument = data.get(1).unwrap_or(&Value::Null);
        match name {
            "subscribe" | "unsubscribe" => self.subscription(name == "subscribe", id, argument),
            "token" => {
                let answer = match refresh(&self.gateway.access, argument) {
                    Ok(grant) => {
                        self.client.set_expiry(grant.expires_ms.unwrap_or(u64::MAX));
                        let ended = self.gateway.hub.set_scope(self.client.id(), grant.scope);
                        let ended: Vec<&str> = ended.iter().map(Symbol::as_str).collect();
                        serde_json::json!({ "ok": true, "expires": grant.expires_ms, "ended": ended })
                    }
                    Err(denied) => return self.fail(id, name, "token", &denied.to_string()),
                };
                self.acknowledge(id, &answer.to_string());
            }
            unknown => {
                let unknown: String = unknown.chars().take(64).collect();
                let error = format!("unknown event `{unknown}`; this gateway knows subscribe, unsubscribe and token");
                self.fail(id, &unknown, "unknown_event", &error);
            }
        }
    }

    fn subscription(&mut self, subscribe: bool, id: Option<u64>, argument: &Value) {
        let request = match read_request(argument) {
            Ok(request) => request,
            Err(error) => {
                let name = if subscribe { "subscribe" } else { "unsubscribe" };
                return self.fail(id, name, "bad_request", &error);
            }
        };
        let encoding = self.client.encoding();
        let reply = |answer: &Answer| match id {
            Some(id) => Reply::Ack { id, json: &serde_json::to_string(answer).ok()? }.encode(encoding),
            // Nobody waits for the acknowledgement: what was not taken must not be lost in silence.
            None if answer.rejected.is_empty() => None,
            None => {
                let error = serde_json::json!({
                    "event": if subscribe { "subscribe" } else { "unsubscribe" },
                    "code": "symbols_rejected",
                    "error": "some symbols were not taken; `rejected` names each with its reason",
                    "rejected": answer.rejected,
                });
                encoding.notice("error", &error.to_string())
            }
        };
        let hub = &self.gateway.hub;
        if subscribe {
            hub.subscribe(self.client.id(), &request, reply);
        } else {
            hub.unsubscribe(self.client.id(), &request, reply);
        }
    }

    /// Reports what was not done: as the acknowledgement if the client waits for one, else as an `error` event.
    fn fail(&self, id: Option<u64>, event: &str, code: &str, error: &str) {
        match id {
            Some(id) => {
                let answer =
                    serde_json::json!({ "ok": false, "code": code, "error": error, "subscribed": [], "rejected": [] });
                self.reply(&Reply::Ack { id, json: &answer.to_string() });
            }
            None => {
                let error = serde_json::json!({ "event": event, "code": code, "error": error });
                self.client.notify("error", &error.to_string());
            }
        }
    }

    fn acknowledge(&self, id: Option<u64>, json: &str) {
        if let Some(id) = id {
            self.reply(&Reply::Ack { id, json });
        }
    }

    fn refuse(&self, namespace: &str, message: &str) {
        self.reply(&Reply::ConnectError { namespace, message, legacy: self.arrival.legacy });
    }

    fn reply(&self, reply: &Reply<'_>) {
        if let Some(message) = reply.encode(self.client.encoding()) {
            self.client.say(message);
        }
    }
}

/// Reads a new token from `"…"` or `{"token":"…"}`.
///
/// # Errors
/// [`Denied`]; the old token stays.
pub fn refresh(access: &Access, argument: &Value) -> Result<Grant, Denied> {
    let token = argument.as_str().or_else(|| argument.get("token")?.as_str());
    access.admit(Some(token.ok_or(Denied::Missing)?))
}
