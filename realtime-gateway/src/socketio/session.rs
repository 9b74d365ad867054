//! The Socket.IO conversation with one client, whatever carries it.
//!
//! Messages are handled in the order in which they come, in the task that read them: a subscribe followed at once by an unsubscribe
//! ends unsubscribed, and a subscribe sent in the same instant as the connect is never lost.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::packet::{Packet, Reply, read_msgpack, read_text};
use crate::access::{Access, Denied, Grant};
use crate::fanout::client::{Client, Cut};
use crate::fanout::contract::{Answer, read_request};
use crate::fanout::encoding::Encoding;
use crate::gateway::{Gateway, random_id};

/// The conversation.
pub struct Session {
    gateway: Arc<Gateway>,
    client: Arc<Client>,
    /// What came with the handshake; what comes with the connect packet goes before it.
    credential: Option<String>,
    /// Whether the client speaks Engine.IO 3 (socket.io-client 1 and 2).
    legacy: bool,
    /// Present while the client is in the namespace: the name under which its subscriptions wait after a break.
    session: Option<String>,
    /// Binary messages that still belong to the last packet.
    attachments: usize,
    /// When the client must have entered the namespace.
    connect_by: Instant,
    first: bool,
}

impl Session {
    /// A client that has not said anything yet.
    #[must_use]
    pub fn new(gateway: &Arc<Gateway>, client: &Arc<Client>, credential: Option<String>, legacy: bool) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            client: Arc::clone(client),
            credential,
            legacy,
            session: None,
            attachments: 0,
            connect_by: Instant::now() + gateway.config.door.handshake_max,
            first: true,
        }
    }

    /// The transport is open. Older clients are in the namespace without asking.
    pub fn opened(&mut self) {
        if self.legacy {
            self.connect("/", &Value::Null);
        }
    }

    /// When the client must have entered the namespace; `None` once it has.
    #[must_use]
    pub fn connect_by(&self) -> Option<Instant> {
        self.session.is_none().then_some(self.connect_by)
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
            let encoding = match self.client.encoding() {
                Encoding::SocketIo => Encoding::Msgpack,
                _ => Encoding::MsgpackPlain,
            };
            self.client.outbox().set_encoding(encoding);
        }
        if !matches!(self.client.encoding(), Encoding::Msgpack | Encoding::MsgpackPlain) {
            return Err(Cut::Misuse);
        }
        let packet = read_msgpack(bytes).map_err(|_| Cut::Misuse)?;
        self.packet(packet)
    }

    /// The transport is gone. After a break, as opposed to a goodbye, the subscriptions wait.
    pub fn closed(&mut self, reason: Cut) {
        let session =
            self.session.take().filter(|_| matches!(reason, Cut::Gone | Cut::Silent | Cut::Stalled | Cut::Lossless));
        self.gateway.hub.leave(self.client.id(), session);
    }

    fn packet(&mut self, packet: Packet) -> Result<(), Cut> {
        match packet {
            Packet::Connect { namespace, auth } => {
                if self.session.is_none() || namespace != "/" {
                    self.connect(&namespace, &auth);
                }
            }
            Packet::Disconnect { namespace } if namespace == "/" => {
                self.session = None;
                self.gateway.hub.leave(self.client.id(), None);
                self.connect_by = Instant::now() + self.gateway.config.door.handshake_max;
            }
            Packet::Disconnect { .. } => {}
            Packet::Event { namespace, id, data, attachments } => {
                self.attachments = attachments;
                if self.session.is_none() || namespace != "/" {
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
        match self.gateway.access.admit(token.as_deref().or(self.credential.as_deref())) {
            Ok(grant) => self.enter(grant, auth),
            Err(denied) => self.refuse("/", &denied.to_string()),
        }
    }

    fn enter(&mut self, grant: Grant, auth: &Value) {
        let hub = &self.gateway.hub;
        let id = self.client.id();
        if let Some(expires_ms) = grant.expires_ms {
            self.client.set_expiry(expires_ms);
        }
        hub.join(&self.client, grant.scope);
        let sid = random_id();
        // Connection state recovery: the client names its session and the offset of the last event that it has.
        let offset = auth.get("offset").and_then(Value::as_str).and_then(|offset| offset.parse().ok());
        if let Some((before, offset)) = auth.get("pid").and_then(Value::as_str).zip(offset) {
            let encoding = self.client.encoding();
            if hub.resume(id, before, offset, || Reply::Connect { sid: &sid, pid: before }.encode(encoding)) {
                metrics::counter!("gateway_recoveries_total", "recovered" => "true").increment(1);
                self.session = Some(before.to_owned());
                return;
            }
            metrics::counter!("gateway_recoveries_total", "recovered" => "false").increment(1);
        }
        let pid = random_id();
        self.reply(&if self.legacy { Reply::ConnectLegacy } else { Reply::Connect { sid: &sid, pid: &pid } });
        self.session = Some(pid);
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
                        self.gateway.hub.set_scope(self.client.id(), grant.scope);
                        serde_json::json!({ "ok": true, "expires": grant.expires_ms })
                    }
                    Err(denied) => serde_json::json!({ "ok": false, "error": denied.to_string() }),
                };
                self.acknowledge(id, &answer.to_string());
            }
            unknown => {
                let unknown: String = unknown.chars().take(64).collect();
                let error = format!("unknown event `{unknown}`; this gateway knows subscribe, unsubscribe and token");
                self.acknowledge(id, &serde_json::json!({ "ok": false, "error": error }).to_string());
            }
        }
    }

    fn subscription(&mut self, subscribe: bool, id: Option<u64>, argument: &Value) {
        let request = match read_request(argument) {
            Ok(request) => request,
            Err(error) => {
                let answer = serde_json::json!({ "ok": false, "error": error, "subscribed": [], "rejected": [] });
                return self.acknowledge(id, &answer.to_string());
            }
        };
        let encoding = self.client.encoding();
        let reply = |answer: &Answer| {
            let json = serde_json::to_string(answer).ok()?;
            Reply::Ack { id: id?, json: &json }.encode(encoding)
        };
        let hub = &self.gateway.hub;
        if subscribe {
            hub.subscribe(self.client.id(), &request, reply);
        } else {
            hub.unsubscribe(self.client.id(), &request, reply);
        }
    }

    fn acknowledge(&self, id: Option<u64>, json: &str) {
        if let Some(id) = id {
            self.reply(&Reply::Ack { id, json });
        }
    }

    fn refuse(&self, namespace: &str, message: &str) {
        self.reply(&Reply::ConnectError { namespace, message, legacy: self.legacy });
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
