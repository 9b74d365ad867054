//! One stream connection: welcome, authentication, subscriptions, data, pings, faults.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as WsMessage, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use crate::app::{App, Credentials, Endpoint, Seat};
use crate::counts::Counts;
use crate::faults::{Answer, Malformed, When};
use crate::frame::Frame;
use crate::hub::{Client, Inbox, Order};
use crate::protocol::{Request, StreamError, Subscriptions, success};
use crate::venue::Market;
use crate::wire::{Encoding, msgpack};

/// How long a client has to answer a close frame.
const CLOSE_MAX: Duration = Duration::from_millis(300);
/// How long a slow client has to read what is on its way, and then why it is sent away.
const SLOW_CLOSE_MAX: Duration = Duration::from_secs(3);
/// Frames written in one go.
const FRAMES_PER_FLUSH_MAX: usize = 64;

/// What is known from the handshake.
#[derive(Debug)]
pub struct Handshake {
    /// Where the client connected to.
    pub endpoint: Endpoint,
    /// The encoding it chose.
    pub encoding: Encoding,
    /// Credentials in the headers.
    pub credentials: Option<Credentials>,
}

/// Why a connection ends.
enum End {
    /// Without a word.
    Dropped,
    /// With a close frame.
    Closed,
    /// The client reads too slowly.
    Slow,
}

struct Session {
    app: Arc<App>,
    market: Arc<Market>,
    client: Arc<Client>,
    socket: WebSocket,
    endpoint: Endpoint,
    encoding: Encoding,
    seat: Option<Seat>,
    subscriptions: Subscriptions,
    /// Counted, but not yet known to have left.
    unflushed: Counts,
}

/// Serves one connection to its end.
pub async fn serve(app: Arc<App>, socket: WebSocket, handshake: Handshake) {
    let Handshake { endpoint, encoding, credentials } = handshake;
    let market = Arc::clone(app.market(endpoint));
    let (client, inbox) = market.hub.join(endpoint.as_str(), encoding);
    let unflushed = Counts::new(&market.symbols);
    let mut session = Session {
        app,
        market: Arc::clone(&market),
        client: Arc::clone(&client),
        socket,
        endpoint,
        encoding,
        seat: None,
        subscriptions: Subscriptions::default(),
        unflushed,
    };
    let end = match session.run(inbox, credentials).await {
        Ok(()) => End::Closed,
        Err(end) => end,
    };
    market.hub.leave(&client);
    session.say_goodbye(end).await;
}

impl Session {
    async fn run(&mut self, mut inbox: Inbox, credentials: Option<Credentials>) -> Result<(), End> {
        match self.app.faults.answer(When::Connect) {
            Some(answer) => self.answer(answer).await?,
            None => self.say(&success("connected")).await?,
        }
        if let Some(credentials) = credentials {
            self.authenticate(&credentials).await?;
        }
        let auth_deadline = Instant::now() + self.app.limits.auth_timeout;
        let ping_every = self.app.limits.ping_every;
        let mut pings = interval_at(Instant::now() + ping_every, ping_every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let mut waiting: Option<(Instant, Arc<Frame>)> = None;
        let cut = self.client.cut.clone();
        let slow = self.client.slow.clone();
        let stop = self.app.stop.clone();
        loop {
            let deaf_until = self.app.faults.deaf_until();
            let due = waiting.as_ref().map_or_else(Instant::now, |(due, _)| *due);
            tokio::select! {
                biased;
                () = cut.cancelled() => return Err(End::Dropped),
                () = stop.cancelled() => return Err(End::Closed),
                () = slow.cancelled() => return Err(End::Slow),
                Some(order) = inbox.orders.recv() => self.obey(order).await?,
                message = self.socket.next(), if deaf_until.is_none() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(WsMessage::Close(_))) | Some(Err(_)) | None => return Err(End::Dropped),
                        Some(Ok(message)) => self.hear(&message).await?,
                    }
                }
                () = sleep_until(auth_deadline), if self.seat.is_none() => {
                    self.say(&StreamError::AUTH_TIMEOUT.frame()).await?;
                    return Err(End::Closed);
                }
                _ = pings.tick() => match deaf_until {
                    Some(_) => heard = Instant::now(),
                    // A client that was silent through two pings, pongs included, is gone.
                    None if heard.elapsed() > 2 * ping_every => return Err(End::Dropped),
                    None => self.put(WsMessage::Ping(Bytes::new())).await?,
                },
                () = sleep_until(due), if waiting.is_some() => {
                    if let Some((_, frame)) = waiting.take() {
                        self.feed(&frame).await?;
                        self.flush().await?;
                    }
                }
                Some(frame) = inbox.frames.recv(), if waiting.is_none() => {
                    waiting = self.pass_on(frame, &mut inbox).await?;
                }
                () = sleep_until(deaf_until.unwrap_or_else(Instant::now)), if deaf_until.is_some() => {}
            }
        }
    }

    /// Sends a frame and what else waits behind it; returns the first frame whose time has not come.
    async fn pass_on(&mut self, first: Arc<Frame>, inbox: &mut Inbox) -> Result<Option<(Instant, Arc<Frame>)>, End> {
        let mut frame = first;
        for _ in 0..FRAMES_PER_FLUSH_MAX {
            self.market.hub.took(&self.client, frame.messages().len());
            let due = self.due(&frame);
            if due > Instant::now() {
                self.flush().await?;
                return Ok(Some((due, frame)));
            }
            self.feed(&frame).await?;
            match inbox.frames.try_recv() {
                Ok(next) => frame = next,
                Err(_) => {
                    self.flush().await?;
                    return Ok(None);
                }
            }
        }
        self.market.hub.took(&self.client, frame.messages().len());
        self.flush().await?;
        Ok(Some((self.due(&frame), frame)))
    }

    fn due(&self, frame: &Frame) -> Instant {
        let delayed = match self.endpoint {
            Endpoint::DelayedSip => frame.published() + self.app.limits.delayed_by,
            Endpoint::Iex | Endpoint::Sip | Endpoint::Test => frame.published(),
        };
        match self.app.faults.frame_delay() {
            Duration::ZERO => delayed,
            delay => delayed.max(Instant::now() + delay),
        }
    }

    /// Writes the part of a frame that is subscribed, without flushing.
    async fn feed(&mut self, frame: &Frame) -> Result<(), End> {
        let messages = frame.messages();
        let wanted = |at: &usize| self.subscriptions.wants(&messages[*at]);
        let chosen: Vec<usize> = (0..messages.len()).filter(wanted).collect();
        if chosen.is_empty() {
            return Ok(());
        }
        let bytes = frame.selected(self.encoding, &self.market.symbols, &chosen);
        chosen.iter().for_each(|&at| self.unflushed.add(&messages[at]));
        let length = bytes.len();
        let message = self.frame_of(bytes);
        tokio::select! {
            biased;
            () = self.client.cut.cancelled() => return Err(End::Dropped),
            () = self.client.slow.cancelled() => return Err(End::Slow),
            result = self.socket.feed(message) => result.map_err(|_| End::Dropped)?,
        }
        self.client.sent.fetch_add(u64::try_from(chosen.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let mut sent = self.market.sent();
        sent.frames += 1;
        sent.bytes += u64::try_from(length).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Makes sure that everything written leaves, and counts it as sent.
    async fn flush(&mut self) -> Result<(), End> {
        tokio::select! {
            biased;
            () = self.client.cut.cancelled() => return Err(End::Dropped),
            () = self.client.slow.cancelled() => return Err(End::Slow),
            result = self.socket.flush() => result.map_err(|_| End::Dropped)?,
        }
        self.market.sent().counts.take_from(&mut self.unflushed);
        Ok(())
    }

    async fn hear(&mut self, message: &WsMessage) -> Result<(), End> {
        let value = match (message, self.encoding) {
            (WsMessage::Text(text), Encoding::Json) => serde_json::from_str(text).ok(),
            (WsMessage::Binary(bytes), Encoding::Json) => serde_json::from_slice(bytes).ok(),
            (WsMessage::Binary(bytes), Encoding::Msgpack) => msgpack::to_json(bytes),
            (WsMessage::Text(_), Encoding::Msgpack) => None,
            _ => return Ok(()),
        };
        let value = value.unwrap_or(Value::Null);
        match Request::parse(&value, self.endpoint == Endpoint::Test) {
            Ok(Request::Auth { key, secret }) => self.authenticate(&Credentials { key, secret }).await,
            Ok(_) if self.seat.is_none() => self.say(&StreamError::NOT_AUTHENTICATED.frame()).await,
            Ok(request) => self.change(&request).await,
            Err(error) => self.say(&error.frame()).await,
        }
    }

    async fn authenticate(&mut self, credentials: &Credentials) -> Result<(), End> {
        if let Some(answer) = self.app.faults.answer(When::Auth) {
            return self.answer(answer).await;
        }
        if self.seat.is_some() {
            return self.say(&StreamError::ALREADY_AUTHENTICATED.frame()).await;
        }
        match self.app.take_seat(credentials, self.endpoint) {
            Ok(seat) => {
                self.seat = Some(seat);
                self.market.hub.authenticated(&self.client);
                self.say(&success("authenticated")).await
            }
            Err(error) => self.say(&error.frame()).await,
        }
    }

    async fn change(&mut self, request: &Request) -> Result<(), End> {
        if let Some(answer) = self.app.faults.answer(When::Subscribe) {
            return self.answer(answer).await;
        }
        let symbols = &self.market.symbols;
        let result = match request {
            Request::Subscribe(change) => self.subscriptions.add(change, symbols, self.app.limits.symbols),
            Request::Unsubscribe(change) => {
                self.subscriptions.remove(change, symbols);
                Ok(())
            }
            Request::Auth { .. } => Ok(()),
        };
        if let Err(error) = result {
            return self.say(&error.frame()).await;
        }
        let acknowledgement = self.subscriptions.acknowledgement(self.endpoint == Endpoint::Test);
        self.say(&acknowledgement).await?;
        self.market.hub.subscribed(&self.client, self.subscriptions.get_data(), &acknowledgement);
        Ok(())
    }

    async fn obey(&mut self, order: Order) -> Result<(), End> {
        match order {
            Order::Raw(message) => self.put(message).await,
            Order::Answer(answer) => self.answer(answer).await,
            Order::LookAgain => Ok(()),
            Order::Malformed(kind) => self.put(malformed(kind, self.encoding)).await,
        }
    }

    async fn answer(&mut self, answer: Answer) -> Result<(), End> {
        self.say(&answer.error.frame()).await?;
        if answer.close { Err(End::Closed) } else { Ok(()) }
    }

    async fn say(&mut self, control: &Value) -> Result<(), End> {
        self.put(self.control_frame(control)).await
    }

    fn control_frame(&self, control: &Value) -> WsMessage {
        self.frame_of(match self.encoding {
            Encoding::Json => control.to_string().into(),
            Encoding::Msgpack => msgpack::from_json(control).into(),
        })
    }

    fn frame_of(&self, bytes: Bytes) -> WsMessage {
        match self.encoding {
            Encoding::Json => match Utf8Bytes::try_from(bytes.clone()) {
                Ok(text) => WsMessage::Text(text),
                Err(_) => WsMessage::Binary(bytes), // cannot happen: all text written here is ASCII
            },
            Encoding::Msgpack => WsMessage::Binary(bytes),
        }
    }

    async fn put(&mut self, message: WsMessage) -> Result<(), End> {
        tokio::select! {
            biased;
            () = self.client.cut.cancelled() => Err(End::Dropped),
            () = self.client.slow.cancelled() => Err(End::Slow),
            result = self.socket.send(message) => result.map_err(|_| End::Dropped),
        }
    }

    async fn say_goodbye(mut self, end: End) {
        drop(self.seat.take()); // whoever comes next need not wait for the close handshake
        let (last_words, patience) = match end {
            End::Dropped => return,
            End::Closed => (None, CLOSE_MAX),
            End::Slow => (Some(self.control_frame(&StreamError::SLOW_CLIENT.frame())), SLOW_CLOSE_MAX),
        };
        let close = WsMessage::Close(Some(CloseFrame { code: 1000, reason: Utf8Bytes::default() }));
        let goodbye = async {
            for message in last_words.into_iter().chain([close]) {
                if self.socket.send(message).await.is_err() {
                    return;
                }
            }
            // The close handshake: until the client answers, or the time is up.
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        // A client that does not read cannot be told; it sees the connection end.
        drop(timeout(patience, goodbye).await);
    }
}

/// A frame that no decoder should accept as it is.
fn malformed(kind: Malformed, encoding: Encoding) -> WsMessage {
    match encoding {
        Encoding::Json => WsMessage::Text(malformed_json(kind).into()),
        Encoding::Msgpack => WsMessage::Binary(malformed_msgpack(kind).into()),
    }
}

/// Broken elements around good ones: unknown type, missing and mistyped fields, not an object.
const BAD_ELEMENTS: &str = r#"[{"T":"zz","S":"AAPL"},{"T":"t"},{"T":"t","S":"AAPL","i":"1","p":"1.5","s":[],"t":0},
    null,7,"text",[],{"S":"AAPL"},{"T":"b","S":"AAPL","o":null}]"#;

fn malformed_json(kind: Malformed) -> String {
    match kind {
        Malformed::Truncated => r#"[{"T":"t","S":"AAPL","i":1,"p":15"#.to_owned(),
        Malformed::Rubbish => "this is not what was agreed".to_owned(),
        Malformed::NotArray => r#"{"T":"t","S":"AAPL"}"#.to_owned(),
        Malformed::BadElements => BAD_ELEMENTS.to_owned(),
        Malformed::Deep => "[".repeat(100_000),
        Malformed::Empty => String::new(),
    }
}

fn malformed_msgpack(kind: Malformed) -> Vec<u8> {
    match kind {
        // An array of two with one map of nine fields, of which half a key is there.
        Malformed::Truncated => vec![0x92, 0x89, 0xa1],
        Malformed::Rubbish => vec![0xc1; 16], // the one byte that msgpack never uses
        Malformed::NotArray => msgpack::from_json(&serde_json::json!({"T": "t", "S": "AAPL"})),
        Malformed::BadElements => msgpack::from_json(&serde_json::from_str(BAD_ELEMENTS).unwrap_or(Value::Null)),
        Malformed::Deep => vec![0x91; 100_000],
        Malformed::Empty => Vec::new(),
    }
}
