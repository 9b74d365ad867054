//! Long polling of Engine.IO 4: a GET waits for messages, a POST brings some, and what both belong to is a [`Poll`], named by its sid.
//!
//! The outbox holds the same frames as for a WebSocket; a GET takes them out of their frames. So when the client moves to a WebSocket
//! (see [`super::upgrade`]), what is still in the outbox goes on there as it is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use service::CancellationToken;
use tokio::sync::Notify;
use tokio::time::interval;

use super::engine::Engine;
use super::session::Arrival;
use crate::delivery::client::{Client, Cut};
use crate::dialects::pace::Pace;
use crate::dialects::websocket::Conversation as _;
use crate::door::Place;
use crate::gateway::Gateway;
use crate::records::encoding::Encoding;
use crate::records::frame::{Opcode, unframe};

/// Between two packets of one answer or request.
const SEPARATOR: u8 = 0x1e;
/// Answers end with the message that takes them past this many bytes.
const ANSWER_BYTES: usize = 256 << 10;
/// How long a GET waits while the client is about to move to a WebSocket: it has to end so that the client can go on.
const HURRIED_WAIT: Duration = Duration::from_millis(20);
/// How often clients are looked for that are over and have no request here to notice it.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Packets of one request after which other clients have their turn.
const YIELD_PACKETS: usize = 16;

const NOOP: &str = "6";
const CLOSE: &str = "1";

/// All clients that poll.
#[derive(Default)]
pub struct Polls(Mutex<HashMap<String, Arc<Poll>>>);

/// One client that polls.
pub struct Poll {
    sid: String,
    client: Arc<Client>,
    /// Absent once the client moved to a WebSocket or is over.
    talk: Mutex<Option<Talk>>,
    /// Held by the GET that waits: there may be one.
    turn: tokio::sync::Mutex<()>,
    /// Held by the POST whose packets are being handled.
    hearing: tokio::sync::Mutex<()>,
    hurried: AtomicBool,
    /// Ends the wait of a GET.
    hurry: Notify,
}

struct Talk {
    engine: Engine,
    pace: Pace,
    place: Option<Arc<Place>>,
}

impl Polls {
    /// The client of that name.
    #[must_use]
    pub fn get(&self, sid: &str) -> Option<Arc<Poll>> {
        self.all().get(sid).cloned()
    }

    /// Lets a client in and greets it.
    pub fn open(&self, gateway: &Arc<Gateway>, request: &Request) -> Response {
        let now = Instant::now();
        let place = request.extensions().get::<Arc<Place>>().cloned();
        let arrival = Arrival::read(request.headers(), request.uri().query(), false);
        let client = Client::on_task(gateway.hub.next_id(), Encoding::DIRECT, gateway.config.outbox);
        let (engine, sid) = Engine::open(gateway, &client, arrival, &["websocket"]);
        let greeting = answer(take(&client).unwrap_or_default());
        let talk = Talk { engine, pace: Pace::new(gateway.config.door.messages_rate, now), place };
        let poll = Poll {
            sid: sid.clone(),
            client,
            talk: Mutex::new(Some(talk)),
            turn: tokio::sync::Mutex::default(),
            hearing: tokio::sync::Mutex::default(),
            hurried: AtomicBool::new(false),
            hurry: Notify::new(),
        };
        self.all().insert(sid, Arc::new(poll));
        greeting
    }

    /// A GET: messages, as soon as there are some.
    pub async fn receive(&self, poll: &Poll) -> Response {
        let Ok(_turn) = poll.turn.try_lock() else {
            self.end(poll, Cut::Misuse); // two at once: the order of messages would be anybody's guess
            return StatusCode::BAD_REQUEST.into_response();
        };
        loop {
            if let Some(reason) = poll.client.cut_reason() {
                self.end(poll, reason);
                return answer(if reason == Cut::Gone { NOOP } else { CLOSE }.into());
            }
            if poll.talk().is_none() {
                return answer(NOOP.into());
            }
            if let Some(payload) = take(&poll.client) {
                return answer(payload);
            }
            let hurried = async {
                if poll.hurried.load(Ordering::Relaxed) {
                    tokio::time::sleep(HURRIED_WAIT).await;
                } else {
                    poll.hurry.notified().await;
                }
            };
            tokio::select! {
                () = poll.client.woken() => {}
                () = hurried => if poll.hurried.load(Ordering::Relaxed) {
                    return answer(take(&poll.client).unwrap_or_else(|| NOOP.into()));
                }
            }
        }
    }

    /// A POST: one or more packets.
    pub async fn send(&self, poll: &Poll, body: &Bytes) -> Response {
        poll.client.heard();
        let heard = match std::str::from_utf8(body) {
            Ok(text) => poll.hear_all(text).await,
            Err(_) => Err(Cut::Misuse),
        };
        match heard {
            Ok(()) => answer("ok".into()),
            Err(Cut::Gone) => {
                self.end(poll, Cut::Gone);
                answer("ok".into())
            }
            Err(reason) => {
                self.end(poll, reason);
                (StatusCode::BAD_REQUEST, reason.close().1).into_response()
            }
        }
    }

    /// Takes the conversation out, for a transport that goes on with it; `None` where another one did or the client is over.
    #[must_use]
    pub fn leave(&self, poll: &Poll) -> Option<(Engine, Option<Arc<Place>>)> {
        let talk = poll.talk().take()?;
        self.all().remove(&poll.sid);
        poll.hurry.notify_one();
        Some((talk.engine, talk.place))
    }

    fn end(&self, poll: &Poll, reason: Cut) {
        let Some((mut engine, _)) = self.leave(poll) else { return };
        poll.client.cut(reason);
        let reason = poll.client.cut_reason().unwrap_or(reason);
        engine.closed(reason);
        metrics::counter!("gateway_cut_total", "reason" => reason.label()).increment(1);
    }

    fn sweep(&self, now: Instant) {
        let polls: Vec<_> = self.all().values().cloned().collect();
        for poll in polls {
            let late = poll.talk().as_ref().and_then(|talk| talk.engine.deadline()).is_some_and(|by| by <= now);
            if let Some(reason) = poll.client.cut_reason().or(late.then_some(Cut::Silent)) {
                self.end(&poll, reason);
            }
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Poll>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Poll {
    /// The client.
    #[must_use]
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Waits until no GET is under way, and keeps others out.
    pub async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Makes GETs end at once, or not any more: a client that moves to a WebSocket waits for its last one.
    pub fn set_hurried(&self, hurried: bool) {
        self.hurried.store(hurried, Ordering::Relaxed);
        if hurried {
            self.hurry.notify_one();
        }
    }

    /// Handles the packets of one body in their order. Other clients have their turn in between.
    async fn hear_all(&self, text: &str) -> Result<(), Cut> {
        let _order = self.hearing.lock().await; // two bodies at once would mix their packets
        for (index, packet) in text.split(char::from(SEPARATOR)).enumerate() {
            self.hear(packet)?;
            if index % YIELD_PACKETS == YIELD_PACKETS - 1 {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    fn hear(&self, packet: &str) -> Result<(), Cut> {
        let mut talk = self.talk();
        let Some(Talk { engine, pace, .. }) = talk.as_mut() else { return Err(Cut::Gone) };
        pace.spend(Pace::cost(packet.len()), Instant::now())?;
        match packet.strip_prefix('b') {
            Some(text) => engine.binary(&BASE64.decode(text).map_err(|_| Cut::Misuse)?),
            None => engine.text(packet),
        }
    }

    fn talk(&self) -> MutexGuard<'_, Option<Talk>> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends clients that are over, until `stop`.
///
/// # Errors
/// Never; the type is that of a supervised task.
pub async fn watch(polls: Arc<Polls>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = interval(SWEEP_EVERY);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        polls.sweep(Instant::now());
    }
    Ok(())
}

/// Messages out of the outbox as one payload; `None` where there are none.
fn take(client: &Client) -> Option<Vec<u8>> {
    let mut payload = Vec::new();
    while payload.len() < ANSWER_BYTES {
        let Some(message) = client.pop() else { break };
        let Some((opcode, body)) = unframe(&message) else { continue };
        if !payload.is_empty() {
            payload.push(SEPARATOR);
        }
        match opcode {
            Opcode::Binary => {
                payload.push(b'b');
                payload.extend_from_slice(BASE64.encode(body).as_bytes());
            }
            _ => payload.extend_from_slice(body),
        }
    }
    (!payload.is_empty()).then_some(payload)
}

fn answer(payload: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=UTF-8"), (header::CACHE_CONTROL, "no-store")], payload)
        .into_response()
}
