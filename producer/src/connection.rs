//! Owns the socket and the clock: keeps one feed connected and hands its frames to the [`Protocol`] and the [`Outlet`].

pub mod dial;
pub mod outlet;
pub mod pulse;
pub mod steady;

use std::time::{Duration, SystemTime};

use anyhow::bail;
use futures_util::{SinkExt as _, StreamExt as _};
use market::calendar::{Phase, phase_at};
use service::{Backoff, CancellationToken, Part};
use tokio::time::{Instant, Interval, interval_at, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::Utf8Bytes};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::connection::dial::{Dial, Socket};
use crate::connection::outlet::Outlet;
use crate::connection::pulse::{Doubt, Pulse};
use crate::demand::Watched;
use crate::feeds::event::Event;
use crate::feeds::protocol::{Awaited, Endpoint, Frame, Next, Outgoing, Protocol, Step};

/// First and longest wait between two attempts to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// The least wait where the server has enough of this client.
const LATER: Duration = Duration::from_secs(60);
/// Only a stream that lasted this long makes the next wait short again: a feed may greet a client and then throw it out.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// How long a dial with its handshake may take.
const DIAL_MAX: Duration = Duration::from_secs(10);
/// A ping goes out this often; the answer must come before the next one.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// A protocol hears the time this often.
const TICK_INTERVAL: Duration = Duration::from_secs(1);
/// A farewell is a courtesy; the feed may be gone.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// How a connection ended.
enum Ended {
    Stopped,
    Lost(String),
    LostForLong(String),
    Fatal(String),
}

/// Keeps the feed connected until `stop`, and subscribed to what is wanted.
///
/// # Errors
/// Where only a person can help (wrong keys, wrong plan); the text says what to do.
pub async fn keep_connected(
    dial: impl Dial,
    mut protocol: Box<dyn Protocol>,
    mut outlet: impl Outlet,
    mut wanted: Watched,
    part: Part,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    let feed = protocol.feed().name();
    let reconnects = metrics::counter!("producer_feed_reconnects_total", "feed" => feed);
    let mut pulse = Pulse::new(protocol.first_record_within());
    loop {
        let mut streaming_since = None;
        if let Some(wishes) = wanted.latest() {
            pulse.carries(Some(wishes.len()));
            outlet.news(&protocol.want(&wishes).news); // nobody hears the rest: it is said when the connection stands
        }
        let mut attempt =
            Attempt { protocol: protocol.as_mut(), outlet: &mut outlet, wanted: &mut wanted, pulse: &mut pulse };
        let ended = connect_and_stream(&dial, &mut attempt, &part, &mut streaming_since, &stop).await;
        pulse.lost();
        let (reason, least) = match ended {
            Ended::Stopped => return Ok(()),
            Ended::Fatal(advice) => {
                outlet.lost(&advice);
                part.down(advice.as_str());
                bail!(advice);
            }
            Ended::Lost(reason) => {
                outlet.lost(&reason);
                (reason, Duration::ZERO)
            }
            Ended::LostForLong(reason) => {
                outlet.lost(&reason);
                (reason, LATER)
            }
        };
        if streaming_since.is_some_and(|since: Instant| since.elapsed() >= STABLE_AFTER) {
            backoff.reset();
        }
        let wait = least + backoff.next_wait(&mut rand::rng());
        reconnects.increment(1);
        tracing::warn!(feed, reason, wait_ms = wait.as_millis(), "feed lost; connecting again");
        part.down(reason);
        if stop.run_until_cancelled(sleep(wait)).await.is_none() {
            return Ok(());
        }
    }
}

/// What takes part in one connection besides the socket.
struct Attempt<'a, O> {
    protocol: &'a mut dyn Protocol,
    outlet: &'a mut O,
    wanted: &'a mut Watched,
    pulse: &'a mut Pulse,
}

async fn connect_and_stream<D: Dial, O: Outlet>(
    dial: &D,
    Attempt { protocol, outlet, wanted, pulse }: &mut Attempt<'_, O>,
    part: &Part,
    streaming_since: &mut Option<Instant>,
    stop: &CancellationToken,
) -> Ended {
    let endpoint = protocol.endpoint();
    let dialled = tokio::select! {
        () = stop.cancelled() => return Ended::Stopped,
        dialled = timeout(DIAL_MAX, dial.dial(&endpoint)) => dialled,
    };
    let mut socket = match dialled {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return refused(&error, &endpoint),
        Err(_) => return Ended::Lost(format!("{} did not answer within {DIAL_MAX:?}", endpoint.shown)),
    };
    tracing::info!(feed = endpoint.shown, "connected");
    outlet.connected();
    let step = protocol.connected();
    if let Some(ended) = answer(&mut socket, *outlet, step).await {
        return ended;
    }
    let (mut pings, mut ticks) = (every(PING_INTERVAL), every(TICK_INTERVAL));
    let mut pong_owed = false;
    let mut owed = Owed::new(protocol.awaits());
    let mut heard = Instant::now();
    // A subscription alone is no sign that records come: in market hours only a record is.
    let mut working = Working::No;
    loop {
        if owed.awaited.is_none() && streaming_since.is_none() {
            *streaming_since = Some(Instant::now());
            outlet.subscribed();
            pulse.subscribed(Instant::now());
            part.degraded("subscribed; no record has come yet");
            working = Working::Waits;
        }
        if working == Working::Heard && outlet.is_complete() {
            working = Working::Yes;
            part.ok();
        }
        let message = tokio::select! {
            biased;
            () = stop.cancelled() => {
                farewell(&mut socket, None).await;
                return Ended::Stopped;
            }
            _ = pings.tick() => {
                if pong_owed {
                    return Ended::Lost(format!("no answer to a ping within {PING_INTERVAL:?}"));
                }
                pong_owed = true;
                match socket.send(Message::Ping(Default::default())).await {
                    Ok(()) => continue,
                    Err(error) => return Ended::Lost(error.to_string()),
                }
            }
            _ = ticks.tick() => {
                let now_ms = wall_clock_ms();
                outlet.frame(None, |events| {
                    protocol.tick(now_ms, events);
                    Step::default()
                });
                outlet.tick();
                if let Some(roster) = protocol.roster() {
                    roster.look_again(); // the next frame asks for what was refused long enough ago
                }
                let feed_ms = outlet.feed_ms();
                if let Some(Doubt { silence, leave }) = pulse.doubt(Instant::now(), feed_ms) {
                    let reason = format!(
                        "the feed answers but has sent no record for {} s while the market is open",
                        silence.as_secs()
                    );
                    outlet.silent(&reason);
                    part.degraded(reason.as_str());
                    working = Working::Waits;
                    if leave {
                        farewell(&mut socket, None).await;
                        return Ended::Lost(reason);
                    }
                } else if working == Working::Waits && phase_at(feed_ms) != Phase::Open {
                    working = Working::Heard; // nothing need come now
                }
                continue;
            }
            wishes = wanted.changed() => {
                pulse.carries(Some(wishes.len()));
                let step = protocol.want(&wishes);
                if let Some(ended) = answer(&mut socket, *outlet, step).await {
                    return ended;
                }
                owed.update(protocol.awaits());
                continue;
            }
            () = sleep_until(heard + protocol.silence_max()), if owed.awaited.is_none() => {
                heard = Instant::now();
                let step = protocol.probe();
                if let Some(ended) = answer(&mut socket, *outlet, step).await {
                    return ended;
                }
                owed.update(protocol.awaits());
                continue;
            }
            () = sleep_until(owed.deadline), if owed.awaited.is_some() => return Ended::Lost(owed.complaint()),
            message = socket.next() => message,
        };
        let frame = match &message {
            Some(Ok(Message::Text(text))) => Frame::Text(text),
            Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes),
            Some(Ok(Message::Pong(_))) => {
                pong_owed = false;
                continue;
            }
            Some(Ok(Message::Close(close))) => return Ended::Lost(closed(close.as_ref())),
            Some(Ok(Message::Ping(_) | Message::Frame(_))) => continue,
            Some(Err(error)) => {
                farewell(&mut socket, complaint(error)).await;
                return Ended::Lost(error.to_string());
            }
            None => return Ended::Lost("the feed closed the connection".to_owned()),
        };
        heard = Instant::now();
        let mut records = false;
        let step = outlet.frame(Some(frame), |events| {
            protocol.frame(frame, &mut |event| {
                records |= event.stamp_ns().is_some();
                if let Event::Halt(symbol, halted) = &event {
                    pulse.halted(*symbol, *halted);
                }
                events(event);
            })
        });
        if records {
            pulse.beat(heard, outlet.feed_ms());
            if working == Working::Waits {
                working = Working::Heard;
            }
        }
        if let Some(ended) = answer(&mut socket, *outlet, step).await {
            return ended;
        }
        owed.update(protocol.awaits());
    }
}

/// Whether a connection brings what it should.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Working {
    /// It is not subscribed yet.
    No,
    /// It owes a record.
    Waits,
    /// Records come, but an outage may not have ended yet.
    Heard,
    /// Nothing is missing.
    Yes,
}

fn every(period: Duration) -> Interval {
    interval_at(Instant::now() + period, period)
}

fn wall_clock_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

/// What to say to a server that broke the rules of WebSocket; `None` where the connection itself is gone.
fn complaint(error: &tungstenite::Error) -> Option<CloseFrame> {
    let code = match error {
        tungstenite::Error::Utf8(_) => CloseCode::Invalid,
        tungstenite::Error::Capacity(_) => CloseCode::Size,
        tungstenite::Error::Protocol(_) => CloseCode::Protocol,
        _ => return None,
    };
    metrics::counter!("producer_feed_violations_total", "code" => u16::from(code).to_string()).increment(1);
    Some(CloseFrame { code, reason: Utf8Bytes::from_static("") })
}

async fn farewell<I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    socket: &mut Socket<I>,
    close: Option<CloseFrame>,
) {
    let _ = timeout(FAREWELL_MAX, socket.close(close)).await; // whether it was heard changes nothing
}

/// Sends what the conversation needs, and tells what clients must know; `Some` where it is over.
async fn answer<I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    socket: &mut Socket<I>,
    outlet: &mut impl Outlet,
    step: Step,
) -> Option<Ended> {
    if !step.news.is_empty() {
        outlet.news(&step.news);
    }
    for message in step.send {
        let message = match message {
            Outgoing::Text(text) => Message::text(text),
            Outgoing::Binary(bytes) => Message::binary(bytes),
        };
        if let Err(error) = socket.send(message).await {
            return Some(Ended::Lost(error.to_string()));
        }
    }
    match step.next {
        Next::GoOn => None,
        Next::Reconnect(reason) => Some(Ended::Lost(reason)),
        Next::ReconnectLater(reason) => Some(Ended::LostForLong(reason)),
        Next::Fatal(advice) => Some(Ended::Fatal(advice)),
    }
}

/// A handshake that was refused: some answers never change by themselves.
fn refused(error: &tungstenite::Error, endpoint: &Endpoint) -> Ended {
    let shown = &endpoint.shown;
    match error {
        tungstenite::Error::Http(response) => {
            let status = response.status().as_u16();
            match status {
                401 | 403 => {
                    Ended::Fatal(format!("{shown} refuses the keys (HTTP {status}): check the feed's API key"))
                }
                400..=499 if status != 408 && status != 429 => {
                    Ended::Fatal(format!("{shown} answers HTTP {status}: check the feed's stream address"))
                }
                _ => Ended::Lost(format!("{shown} answers HTTP {status}")),
            }
        }
        // The error's own words may hold the address, and that may hold a token.
        tungstenite::Error::Url(_) | tungstenite::Error::HttpFormat(_) => {
            Ended::Fatal(format!("{shown} is no WebSocket address: it must begin with ws:// or wss://"))
        }
        error => Ended::Lost(format!("cannot connect to {shown}: {error}")),
    }
}

fn closed(close: Option<&tungstenite::protocol::CloseFrame>) -> String {
    close.map_or_else(
        || "the feed closed the connection".to_owned(),
        |close| format!("the feed closed the connection ({} {})", close.code, close.reason),
    )
}

/// What the server owes and until when.
struct Owed {
    awaited: Option<Awaited>,
    deadline: Instant,
}

impl Owed {
    fn new(awaited: Option<Awaited>) -> Self {
        let mut owed = Self { awaited: None, deadline: Instant::now() };
        owed.update(awaited);
        owed
    }

    /// Starts a new time limit when another thing is awaited than before.
    fn update(&mut self, awaited: Option<Awaited>) {
        if self.awaited != awaited {
            self.deadline = Instant::now() + awaited.map_or(Duration::ZERO, |awaited| awaited.limit);
            self.awaited = awaited;
        }
    }

    fn complaint(&self) -> String {
        self.awaited
            .map_or_else(String::new, |awaited| format!("{} did not come within {:?}", awaited.what, awaited.limit))
    }
}

#[cfg(test)]
mod tests;
