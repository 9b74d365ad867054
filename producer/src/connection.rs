//! Owns the socket and the clock: keeps one feed connected and hands its frames to the [`Protocol`] and the [`Fanout`].

use std::time::Duration;

use anyhow::bail;
use futures_util::{SinkExt as _, StreamExt as _};
use service::{Backoff, CancellationToken, Part};
use tokio::time::{Instant, interval_at, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::dial::{Dial, Socket};
use crate::fanout::Fanout;
use crate::feed::{Awaited, Frame, Next, Protocol, Step};
use crate::gaps::Gaps;

/// First and longest wait between two attempts to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// Only a stream that lasted this long makes the next wait short again: a feed may greet a client and then throw it out.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// How long a dial with its handshake may take.
const DIAL_MAX: Duration = Duration::from_secs(10);
/// A ping goes out this often; the answer must come before the next one.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// A feed that has sent nothing for this long is asked for a sign of life: a socket can stay open and deliver nothing for hours.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// How a connection ended.
enum Ended {
    Stopped,
    Lost(String),
    Fatal(String),
}

/// Keeps the feed connected until `stop`.
///
/// # Errors
/// Where only a person can help (wrong keys, wrong plan); the text says what to do.
pub async fn keep_connected(
    dial: impl Dial,
    mut protocol: Box<dyn Protocol>,
    mut fanout: Fanout,
    mut gaps: Gaps,
    part: Part,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    let reconnects = metrics::counter!("producer_feed_reconnects_total");
    loop {
        let mut streaming_since = None;
        let ended =
            connect_and_stream(&dial, protocol.as_mut(), &mut fanout, &mut gaps, &part, &mut streaming_since, &stop)
                .await;
        fanout.flush();
        let reason = match ended {
            Ended::Stopped => return Ok(()),
            Ended::Fatal(advice) => {
                part.down(advice.as_str());
                bail!(advice);
            }
            Ended::Lost(reason) => reason,
        };
        gaps.lost(*fanout.clock(), &reason);
        if streaming_since.is_some_and(|since: Instant| since.elapsed() >= STABLE_AFTER) {
            backoff.reset();
        }
        let wait = backoff.next_wait(&mut rand::rng());
        reconnects.increment(1);
        tracing::warn!(reason, wait_ms = wait.as_millis(), "feed lost; connecting again");
        part.down(reason);
        if stop.run_until_cancelled(sleep(wait)).await.is_none() {
            return Ok(());
        }
    }
}

async fn connect_and_stream<D: Dial>(
    dial: &D,
    protocol: &mut dyn Protocol,
    fanout: &mut Fanout,
    gaps: &mut Gaps,
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
        Ok(Err(error)) => return refused(&error, &endpoint.shown),
        Err(_) => return Ended::Lost(format!("{} did not answer within {DIAL_MAX:?}", endpoint.shown)),
    };
    tracing::info!(feed = endpoint.shown, "connected");
    protocol.connected();
    fanout.clock().resume();
    let mut pings = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    let mut pong_owed = false;
    let mut owed = Owed::new(protocol.awaits());
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            biased;
            () = stop.cancelled() => {
                let _ = timeout(Duration::from_secs(1), socket.close(None)).await; // a courtesy; the feed may be gone
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
            () = sleep_until(heard + QUIET_MAX), if owed.awaited.is_none() => {
                heard = Instant::now();
                let step = protocol.probe().map(Step::send).unwrap_or_default();
                if let Some(ended) = answer(&mut socket, step).await {
                    return ended;
                }
                owed.update(protocol.awaits());
                continue;
            }
            () = sleep_until(owed.deadline), if owed.awaited.is_some() => return Ended::Lost(owed.complaint()),
            // Where the cold path has no room left the socket is not read: the feed slows down, nothing is thrown away.
            message = async { fanout.room().await; socket.next().await } => message,
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
            Some(Err(error)) => return Ended::Lost(error.to_string()),
            None => return Ended::Lost("the feed closed the connection".to_owned()),
        };
        heard = Instant::now();
        let step = protocol.frame(frame, &mut |event| fanout.event(event));
        fanout.flush();
        gaps.heard(*fanout.clock());
        if let Some(ended) = answer(&mut socket, step).await {
            return ended;
        }
        owed.update(protocol.awaits());
        if owed.awaited.is_none() && streaming_since.is_none() {
            *streaming_since = Some(Instant::now());
            part.ok();
        }
    }
}

/// Sends what the conversation needs; `Some` where it is over.
async fn answer<I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    socket: &mut Socket<I>,
    step: Step,
) -> Option<Ended> {
    for message in step.send {
        if let Err(error) = socket.send(Message::text(message.0)).await {
            return Some(Ended::Lost(error.to_string()));
        }
    }
    match step.next {
        Next::GoOn => None,
        Next::Reconnect(reason) => Some(Ended::Lost(reason)),
        Next::Fatal(advice) => Some(Ended::Fatal(advice)),
    }
}

/// A handshake that was refused: some answers never change by themselves.
fn refused(error: &tungstenite::Error, shown: &str) -> Ended {
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
        tungstenite::Error::Url(error) => Ended::Fatal(format!("{shown} is no WebSocket address: {error}")),
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
