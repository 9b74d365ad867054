//! Socket.IO for clients of Engine.IO 3 (socket.io-client 1 and 2) over engineioxide, the engine of socketioxide.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use engineioxide::config::EngineIoConfig;
use engineioxide::handler::EngineIoHandler;
use engineioxide::service::EngineIoService;
use engineioxide::{DisconnectReason, Socket, Str};

use super::session::{Arrival, Session};
use crate::delivery::client::{Client, Cut};
use crate::dialects::pace::Pace;
use crate::gateway::Gateway;
use crate::records::encoding::{Encoding, Wire};

/// How long to wait before trying again where the engine's queue is full; it does not tell when there is room.
const RETRY_WAIT: Duration = Duration::from_millis(5);

/// Packets in the engine's queue; what is more waits in the outbox. Enough for [`RETRY_WAIT`] at 100,000 packets a second.
const QUEUE_PACKETS: usize = 512;

/// What the engine keeps for a connection.
#[derive(Default)]
pub struct Slot(Mutex<Option<Seat>>);

struct Seat {
    session: Session,
    client: Arc<Client>,
    pace: Pace,
}

/// Receives what the engine hears.
#[derive(Clone)]
pub struct Handler {
    gateway: Arc<Gateway>,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

/// The engine as an HTTP service.
#[must_use]
pub fn service(gateway: &Arc<Gateway>) -> EngineIoService<Handler> {
    let limits = &gateway.config.door;
    let config = EngineIoConfig::builder()
        .req_path("/socket.io")
        .ping_interval(limits.ping_interval)
        .ping_timeout(limits.ping_timeout)
        .max_buffer_size(QUEUE_PACKETS)
        .max_payload(limits.message_bytes_max as u64)
        .ws_max_message_size(limits.message_bytes_max)
        .ws_max_frame_size(limits.message_bytes_max)
        .build();
    EngineIoService::with_config(Arc::new(Handler { gateway: Arc::clone(gateway) }), config)
}

impl EngineIoHandler for Handler {
    type Data = Slot;

    fn on_connect(self: Arc<Self>, socket: Arc<Socket<Slot>>) {
        let client = Client::on_task(self.gateway.hub.next_id(), Encoding::ENGINE, self.gateway.config.outbox);
        let arrival = Arrival::read(&socket.req_parts.headers, socket.req_parts.uri.query(), true);
        let mut session = Session::new(&self.gateway, &client, arrival);
        session.opened();
        let connect_by = session.connect_by();
        let pace = Pace::new(self.gateway.config.door.messages_rate, std::time::Instant::now());
        *lock(&socket.data) = Some(Seat { session, client: Arc::clone(&client), pace });
        tokio::spawn(pump(Arc::clone(&socket), client));
        if let Some(connect_by) = connect_by {
            let socket = Arc::downgrade(&socket);
            tokio::spawn(async move {
                tokio::time::sleep_until(connect_by.into()).await;
                if let Some(socket) = socket.upgrade().filter(|socket| !is_in(&socket.data)) {
                    socket.close(DisconnectReason::TransportClose);
                }
            });
        }
    }

    fn on_disconnect(&self, socket: Arc<Socket<Slot>>, reason: DisconnectReason) {
        let Some(mut seat) = lock(&socket.data).take() else { return };
        let reason = seat.client.cut_reason().unwrap_or(match reason {
            DisconnectReason::HeartbeatTimeout => Cut::Silent,
            DisconnectReason::PacketParsingError | DisconnectReason::MultipleHttpPollingError => Cut::Misuse,
            DisconnectReason::ClosingServer => Cut::Draining,
            DisconnectReason::TransportClose | DisconnectReason::TransportError => Cut::Gone,
        });
        seat.client.cut(reason);
        seat.session.closed(reason);
        metrics::counter!("gateway_cut_total", "reason" => reason.label()).increment(1);
    }

    fn on_message(self: &Arc<Self>, message: Str, socket: Arc<Socket<Slot>>) {
        self.hear(&socket, message.len(), |session| session.text(&message));
    }

    fn on_binary(self: &Arc<Self>, message: Bytes, socket: Arc<Socket<Slot>>) {
        self.hear(&socket, message.len(), |session| session.binary(&message));
    }
}

impl Handler {
    fn hear(&self, socket: &Arc<Socket<Slot>>, bytes: usize, listen: impl FnOnce(&mut Session) -> Result<(), Cut>) {
        let mut slot = lock(&socket.data);
        let Some(seat) = slot.as_mut() else { return };
        let heard =
            seat.pace.spend(Pace::cost(bytes), std::time::Instant::now()).and_then(|()| listen(&mut seat.session));
        if let Err(reason) = heard {
            seat.client.cut(reason);
        }
    }
}

/// Carries the outbox into the engine. What does not fit waits in the outbox, where the rules for slow clients apply.
async fn pump(socket: Arc<Socket<Slot>>, client: Arc<Client>) {
    loop {
        let cut = client.cut_reason();
        while let Some(message) = next_message(&socket, &client) {
            if emit(&socket, client.encoding(), message).is_none() {
                return;
            }
        }
        if let Some(reason) = cut {
            if reason != Cut::Gone {
                socket.close(DisconnectReason::TransportClose);
            }
            return;
        }
        if client.outbox().is_empty() {
            client.woken().await;
        } else {
            tokio::time::sleep(RETRY_WAIT).await;
        }
        if socket.is_closed() {
            return;
        }
    }
}

/// The next message, if the engine's queue takes it and one more: the last place is for its own pings, without which it gives up.
fn next_message(socket: &Socket<Slot>, client: &Client) -> Option<Vec<u8>> {
    let (_first, _second) = (socket.reserve().ok()?, socket.reserve().ok()?);
    client.pop()
}

fn emit(socket: &Socket<Slot>, encoding: Encoding, message: Vec<u8>) -> Option<()> {
    if encoding.wire() == Some(Wire::Msgpack) {
        return socket.emit_binary(message).ok();
    }
    socket.emit(String::from_utf8(message).ok()?).ok()
}

fn is_in(slot: &Slot) -> bool {
    lock(slot).as_ref().is_none_or(|seat| seat.session.connect_by().is_none())
}

fn lock(slot: &Slot) -> std::sync::MutexGuard<'_, Option<Seat>> {
    slot.0.lock().unwrap_or_else(PoisonError::into_inner)
}
