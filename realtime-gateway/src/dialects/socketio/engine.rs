//! Engine.IO 4: its packets around the Socket.IO session, the same over long polling and WebSocket.

use std::sync::Arc;
use std::time::Instant;

use super::session::{Arrival, Session};
use crate::delivery::client::{Client, Cut};
use crate::dialects::websocket::Conversation;
use crate::dialects::websocket::connection::text_message;
use crate::gateway::{Gateway, random_id};

/// The conversation with one client.
pub struct Engine {
    gateway: Arc<Gateway>,
    client: Arc<Client>,
    session: Session,
}

impl Engine {
    /// Greets a client. Returns the id by which the transport knows it, too.
    pub fn open(
        gateway: &Arc<Gateway>,
        client: &Arc<Client>,
        arrival: Arrival,
        upgrades: &[&'static str],
    ) -> (Self, String) {
        let limits = &gateway.config.door;
        let sid = random_id();
        let open = serde_json::json!({
            "sid": sid,
            "upgrades": upgrades,
            "pingInterval": limits.ping_interval.as_millis(),
            "pingTimeout": limits.ping_timeout.as_millis(),
            "maxPayload": limits.message_bytes_max,
        });
        client.say(text_message(&format!("0{open}")));
        let session = Session::new(gateway, client, arrival);
        (Self { gateway: Arc::clone(gateway), client: Arc::clone(client), session }, sid)
    }

    /// Whom it is held with.
    #[must_use]
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Where it is held.
    #[must_use]
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }
}

impl Conversation for Engine {
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
