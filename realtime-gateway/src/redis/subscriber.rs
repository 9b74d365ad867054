//! Keeps the subscription to Redis and hands everything that one read brought to the hub at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, BytesMut};
use service::{Backoff, CancellationToken, Part};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::continuity::Continuity;
use super::reply::{self, Reply};
use crate::access::unix_ms;
use crate::gateway::Gateway;
use crate::records::batch::Batch;
use crate::records::channel::Channel;
use crate::records::event::Event;
use crate::records::feed_state::FeedState;
use crate::records::payload::{Refusal, read_header};

const CONNECT_MAX: Duration = Duration::from_secs(3);
/// A connection that is silent for so long is asked whether it still lives.
const PING_AFTER: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 256 << 10;

/// Runs until `stop`. Redis being away is no failure: clients keep their connections and get a status.
///
/// # Errors
/// Never for now; the type is that of a supervised task.
pub async fn run(gateway: Arc<Gateway>, part: Part, stop: CancellationToken) -> anyhow::Result<()> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    let address = format!("{}:{}", gateway.config.redis.host, gateway.config.redis.port);
    let mut continuity = Continuity::default();
    while !stop.is_cancelled() {
        let mut connected_at = None;
        let subscription = subscribe(&gateway, &address, &part, &mut continuity, &mut connected_at);
        let ended = stop.run_until_cancelled(subscription).await;
        let Some(Err(error)) = ended else { break };
        if gateway.feed.connected() {
            gateway.feed.set_connected(false);
            // What is published now is lost for this gateway: nobody may be told later that nothing was missed.
            gateway.hub.break_off();
            gateway.hub.announce(
                "status",
                &status("down", "Redis is away; records may be missed until it is back"),
                false,
            );
        }
        part.down(format!("{address}: {error:#}"));
        if connected_at.is_some_and(|at: Instant| at.elapsed() > Duration::from_secs(5)) {
            backoff.reset();
        }
        let wait = backoff.next_wait(&mut rand::rng());
        let _ = stop.run_until_cancelled(tokio::time::sleep(wait)).await; // the loop looks at `stop` itself
    }
    Ok(())
}

fn status(redis: &str, detail: &str) -> String {
    serde_json::json!({ "type": "redis", "redis": redis, "detail": detail, "time": unix_ms() }).to_string()
}

async fn subscribe(
    gateway: &Gateway,
    address: &str,
    part: &Part,
    continuity: &mut Continuity,
    connected_at: &mut Option<Instant>,
) -> anyhow::Result<()> {
    let redis = &gateway.config.redis;
    let mut socket = timeout(CONNECT_MAX, TcpStream::connect(address)).await.context("no answer")??;
    socket.set_nodelay(true)?;
    if let Some(password) = &redis.password {
        socket.write_all(&reply::command(&["AUTH", password.expose()])).await?;
    }
    let channels = [&redis.channel_trades, &redis.channel_bars, &redis.channel_quotes, &redis.channel_status];
    let mut words = vec!["SUBSCRIBE"];
    words.extend(channels.iter().map(|name| name.as_str()));
    socket.write_all(&reply::command(&words)).await?;

    let channel_of =
        |name: &[u8]| channels.iter().position(|known| known.as_bytes() == name).map(|at| Channel::ALL[at]);
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let (mut subscribed, mut asked) = (0, false);
    loop {
        input.reserve(READ_BYTES / 4);
        match timeout(PING_AFTER, socket.read_buf(&mut input)).await {
            Ok(read) => {
                ensure!(read? > 0, "the connection was closed");
                asked = false;
            }
            Err(_) if asked => bail!("silent for {} seconds", 2 * PING_AFTER.as_secs()),
            Err(_) => {
                asked = true;
                socket.write_all(&reply::command(&["PING"])).await?;
                continue;
            }
        }
        let mut intake = Intake::default();
        let mut taken = 0;
        while let Some((reply, length)) = reply::read(&input[taken..])? {
            match reply {
                Reply::Message { channel, payload } => {
                    if let Some(channel) = channel_of(channel) {
                        intake.add(channel, payload, continuity);
                    }
                }
                Reply::Subscribed => {
                    subscribed += 1;
                    if subscribed == channels.len() {
                        *connected_at = Some(Instant::now());
                        back(gateway, part);
                    }
                }
                Reply::Error(text) => bail!("{}", String::from_utf8_lossy(text)),
                Reply::Pong | Reply::Ok | Reply::Other => {}
            }
            taken += length;
        }
        input.advance(taken);
        intake.hand_over(gateway);
    }
}

fn back(gateway: &Gateway, part: &Part) {
    part.ok();
    gateway.feed.set_connected(true);
    gateway.hub.break_off(); // whatever was published before this moment
    gateway.hub.announce("status", &status("up", "Redis is there"), false);
}

/// What one read brought.
#[derive(Default)]
struct Intake {
    batch: Batch,
    counts: [u64; Channel::ALL.len()],
    refused: [u64; 2],
    announcements: Vec<(Channel, String)>,
    /// When it was read, in Unix milliseconds.
    now_ms: Option<u64>,
}

impl Intake {
    fn add(&mut self, channel: Channel, payload: &[u8], continuity: &mut Continuity) {
        let channel = if channel == Channel::Status { FeedState::read(payload).channel() } else { channel };
        self.counts[channel as usize] += 1;
        match read_header(payload) {
            // What is about all symbols, or names none, is about the whole feed and goes to everybody.
            Ok(header) if channel.is_about_the_feed() && header.symbol.as_str() == "*" => {
                self.announce(channel, payload)
            }
            Ok(header) if channel == Channel::Bars && header.forming => {
                let event =
                    Event { symbol: header.symbol, channel: Channel::Forming, offset: 0, position: None, day: None };
                self.batch.push(event, payload);
            }
            Ok(header) => {
                let symbol = header.symbol;
                let now_ms = *self.now_ms.get_or_insert_with(unix_ms);
                let missed = header.position.and_then(|position| continuity.note(symbol, channel, position, now_ms));
                if let Some(missed) = missed {
                    metrics::counter!("gateway_records_missed_total", "stream" => missed.channel().name())
                        .increment(missed.count());
                    let event = Event { symbol, channel: Channel::Missed, offset: 0, position: None, day: None };
                    self.batch.push(event, missed.to_json().as_bytes());
                }
                let event = Event { symbol, channel, offset: 0, position: header.position, day: None };
                self.batch.push(event, payload);
            }
            Err(Refusal::NoSymbol) if channel.is_about_the_feed() => self.announce(channel, payload),
            Err(refusal) => self.refused[usize::from(refusal == Refusal::NoSymbol)] += 1,
        }
    }

    fn announce(&mut self, channel: Channel, payload: &[u8]) {
        self.announcements.extend(std::str::from_utf8(payload).ok().map(|json| (channel, json.to_owned())));
    }

    fn hand_over(self, gateway: &Gateway) {
        for (channel, count) in Channel::ALL.into_iter().zip(self.counts).filter(|(_, count)| *count > 0) {
            metrics::counter!("gateway_records_in_total", "stream" => channel.name()).increment(count);
        }
        for (refusal, count) in
            [Refusal::NotJson, Refusal::NoSymbol].into_iter().zip(self.refused).filter(|(_, count)| *count > 0)
        {
            metrics::counter!("gateway_records_refused_total", "reason" => refusal.label()).increment(count);
        }
        if !self.batch.is_empty() {
            gateway.feed.record_at(unix_ms());
            let start = Instant::now();
            gateway.hub.publish(self.batch);
            metrics::histogram!("gateway_fanout_seconds").record(start.elapsed());
        }
        for (channel, json) in self.announcements {
            gateway.hub.announce(channel.event(), &json, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_may_come_without_a_symbol_and_nothing_that_is_not_json() {
        let (mut intake, mut continuity) = (Intake::default(), Continuity::default());
        intake.add(Channel::Trades, br#"{"symbol":"A"}"#, &mut continuity);
        intake.add(Channel::Trades, br#"{"price":1}"#, &mut continuity);
        intake.add(Channel::Status, br#"{"type":"gap"}"#, &mut continuity);
        intake.add(Channel::Status, br#"{"type":"gap","symbol":"*"}"#, &mut continuity);
        intake.add(Channel::Status, b"{", &mut continuity);
        assert_eq!((intake.batch.len(), intake.announcements.len(), intake.refused), (1, 2, [1, 1]));
    }

    #[test]
    fn what_never_came_is_declared_before_the_next_record_and_forming_bars_have_no_place_in_the_count() {
        let (mut intake, mut continuity) = (Intake::default(), Continuity::default());
        intake.add(Channel::Bars, br#"{"symbol":"A","epoch":1,"seq":2,"final":true}"#, &mut continuity);
        intake.add(Channel::Bars, br#"{"symbol":"A","final":false}"#, &mut continuity);
        intake.add(Channel::Bars, br#"{"symbol":"A","epoch":1,"seq":5,"final":true}"#, &mut continuity);
        let channels: Vec<Channel> = intake.batch.events().iter().map(|event| event.channel).collect();
        assert_eq!(channels, [Channel::Bars, Channel::Forming, Channel::Missed, Channel::Bars]);
        let missed: serde_json::Value = serde_json::from_slice(intake.batch.payload(2)).unwrap();
        assert_eq!((&missed["stream"], &missed["from_seq"], &missed["to_seq"]), (&"bars".into(), &3.into(), &4.into()));
    }
}
