//! What the gateway remembers of one symbol: its newest records and its day, for the first paint and for clients that come back.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use market::{BarBuilder, Position, Timeframe, wire};
use service::web::scope::{Stream, Streams};

use super::log::{Bounds, Entry, Log};
use super::since::Since;
use crate::records::batch::Batch;
use crate::records::channel::{Channel, Channels};
use crate::records::event::{Day, Event};
use crate::records::feed_state::Carried;

/// The day as an outside source knows it, for symbols whose feed is silent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Background {
    /// Last price of the previous trading day, in dollars.
    pub previous_close: Option<f64>,
    /// Shares traded today until this was asked.
    pub volume: f64,
    /// The newest stored bar as JSON, for the time before the first live one.
    pub bar: Option<String>,
}

/// One symbol's memory.
#[derive(Debug, Default)]
pub struct Memory {
    logs: [Log; 3],
    background: Option<Background>,
    /// Shares traded since [`Self::set_background`].
    live_volume: f64,
    forming: Option<Forming>,
    /// Why the feed does not carry the symbol, where it said so.
    unavailable: Option<String>,
}

/// The running minute, folded as far as somebody asked for it.
#[derive(Debug)]
struct Forming {
    builder: BarBuilder,
    through_offset: u64,
    /// Whether the minute's first trades were seen.
    whole: bool,
}

impl Memory {
    /// Keeps a record; returns by how many bytes the memory grew.
    pub fn keep(&mut self, event: &Event, payload: &[u8], now: Instant, bounds: Bounds) -> isize {
        let Some(log) = self.logs.get_mut(event.channel as usize) else { return 0 };
        log.push(event.clone(), Arc::from(payload), now, bounds)
    }

    /// Drops what is too old; returns how many bytes that freed.
    pub fn expire(&mut self, now: Instant, bounds: Bounds) -> usize {
        self.logs.iter_mut().map(|log| log.expire(now, bounds)).sum()
    }

    /// Drops the oldest record of one stream, where it has others.
    pub fn shrink(&mut self, channel: Channel) -> usize {
        self.logs.get_mut(channel as usize).map_or(0, Log::drop_oldest)
    }

    /// Whether no record of the symbol ever came by, so that forgetting it loses nothing that anybody could come back for.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.unavailable.is_none() && self.logs.iter().all(|log| log.newest().is_none())
    }

    /// Notes whether the feed carries the symbol.
    pub fn set_carried(&mut self, carried: Carried) {
        self.unavailable = match carried {
            Carried::Yes => None,
            Carried::No(reason) => Some(reason),
        };
    }

    /// Sets what an outside source knows of the day.
    pub fn set_background(&mut self, background: Background) {
        self.background = Some(background);
        self.live_volume = 0.0;
    }

    /// Whether [`Self::set_background`] was called.
    #[must_use]
    pub fn has_background(&self) -> bool {
        self.background.is_some()
    }

    /// The day so far, with one more trade of `size` shares; `None` while the previous close is not known.
    pub fn day(&mut self, size: f64) -> Option<Day> {
        self.live_volume += size;
        let background = self.background.as_ref()?;
        Some(Day { previous_close: background.previous_close?, volume: background.volume + self.live_volume })
    }

    /// Everything after `since` in the streams that `wants` accepts, oldest first; `None` where that cannot be vouched for.
    #[must_use]
    pub fn after(&self, since: &Since, wants: impl Fn(Channel) -> bool) -> Option<Vec<Entry>> {
        let mut all = Vec::new();
        for (channel, log) in self.streams().filter(|(channel, _)| wants(*channel)) {
            // Of a stream without a position the client has nothing, so nothing of it can be missing: it starts with the next record.
            if let Some(position) = since.of(channel) {
                all.extend(log.after(position)?.cloned());
            }
        }
        all.sort_unstable_by_key(|entry| entry.event.offset);
        Some(all)
    }

    /// Everything after `offset` in the streams that `wants` accepts; `None` where some of it is gone.
    #[must_use]
    pub fn after_offset(&self, offset: u64, wants: impl Fn(Channel) -> bool) -> Option<Vec<Entry>> {
        let mut all = Vec::new();
        for (_, log) in self.streams().filter(|(channel, _)| wants(*channel)) {
            all.extend(log.after_offset(offset)?.cloned());
        }
        Some(all)
    }

    /// The newest trade as a batch of its own, for dialects whose first paint is a trade.
    #[must_use]
    pub fn newest_trade(&self) -> Option<Arc<Batch>> {
        self.logs[Channel::Trades as usize].newest().map(|entry| replay(std::slice::from_ref(entry)))
    }

    /// Where a stream stands.
    #[must_use]
    pub fn position(&self, channel: Channel) -> Option<Position> {
        self.logs.get(channel as usize)?.position()
    }

    /// The newest record of a stream as JSON.
    #[must_use]
    pub fn newest(&self, channel: Channel) -> Option<&str> {
        let entry = self.logs.get(channel as usize)?.newest()?;
        std::str::from_utf8(&entry.payload).ok()
    }

    /// The `snapshot` event: newest trade, quote and bar, previous close, positions, and where the feed cannot carry the symbol why
    /// it is `unavailable`; parts that nobody knows are left out, and so is what belongs to a stream that is not in `streams`.
    pub fn snapshot(&mut self, symbol: &str, streams: Streams) -> String {
        let mut json = String::from("{\"symbol\":");
        json.push_str(&serde_json::to_string(symbol).unwrap_or_default());
        for (key, stream) in [("trade", Stream::Trades), ("quote", Stream::Quotes)] {
            if let Some(payload) = self.newest(stream.into()).filter(|_| streams.has(stream)) {
                let _ = write!(json, ",\"{key}\":{payload}"); // a String takes every write
            }
        }
        if streams.has(Stream::Bars) {
            if let Some(bar) = self.bar() {
                let _ = write!(json, ",\"bar\":{bar}");
            }
            if let Some(close) = self.background.as_ref().and_then(|background| background.previous_close) {
                let _ = write!(json, ",\"previous_close\":{close}");
            }
        }
        if let Some(reason) = &self.unavailable {
            json.push_str(",\"unavailable\":");
            json.push_str(&serde_json::to_string(reason).unwrap_or_default());
        }
        json.push_str(",\"position\":{");
        let mut separator = "";
        let within = Channels::within(streams);
        for (channel, log) in self.streams().filter(|(channel, _)| within.has(*channel)) {
            if let Some(Position { epoch, seq }) = log.position() {
                let _ = write!(json, "{separator}\"{}\":{{\"epoch\":{epoch},\"seq\":{seq}}}", channel.name());
                separator = ",";
            }
        }
        json.push_str("}}");
        json
    }

    /// The running minute's bar, else the newest one that was published or stored.
    fn bar(&mut self) -> Option<String> {
        self.fold();
        let forming = self.forming.as_ref().and_then(|forming| {
            let bar = forming.builder.bar(false, 0)?;
            let mut out = Vec::new();
            wire::encode_bar(&bar, Position { epoch: 0, seq: 0 }, &mut out);
            let text = String::from_utf8(out).ok()?;
            let text = text.strip_suffix(",\"epoch\":0,\"seq\":0}")?; // this bar was never published: it has no position
            Some((bar.start_ms, format!("{text},\"partial\":{}}}", !forming.whole)))
        });
        let published = self.newest(Channel::Bars);
        let published_start = published.and_then(|text| Some(wire::decode_bar(text.as_bytes()).ok()?.0.start_ms));
        match forming {
            Some((start, text)) if published_start.is_none_or(|published| published < start) => Some(text),
            _ => published.map(str::to_owned).or_else(|| self.background.as_ref()?.bar.clone()),
        }
    }

    /// Adds the trades since the last call to the running minute. Each trade is read once, and only where somebody subscribes.
    fn fold(&mut self) {
        let log = &self.logs[Channel::Trades as usize];
        let Some((newest, _)) = log.newest().and_then(|entry| wire::decode_trade(&entry.payload).ok()) else { return };
        let start_ms = Timeframe::MINUTE.start_of(newest.ts_ms());
        let known = self.forming.take().filter(|forming| forming.builder.start_ms() == start_ms);
        let resumed = known.and_then(|forming| log.after_offset(forming.through_offset).is_some().then_some(forming));
        let through = resumed.as_ref().map_or(0, |forming| forming.through_offset);
        let mut minute = Vec::new();
        let mut reached_start = false;
        for entry in log.entries().rev().take_while(|entry| entry.event.offset > through) {
            let Ok((trade, _)) = wire::decode_trade(&entry.payload) else { continue };
            if trade.ts_ms() < start_ms {
                reached_start = true;
                break;
            }
            minute.push((trade, entry.event.offset));
        }
        let mut forming = resumed.unwrap_or_else(|| Forming {
            builder: BarBuilder::for_trade(&newest, Timeframe::MINUTE),
            through_offset: 0,
            whole: reached_start,
        });
        for (trade, offset) in minute.iter().rev() {
            if Timeframe::MINUTE.start_of(trade.ts_ms()) == start_ms {
                forming.builder.add(trade);
            }
            forming.through_offset = *offset;
        }
        self.forming = Some(forming);
    }

    fn streams(&self) -> impl Iterator<Item = (Channel, &Log)> {
        Channel::ALL.into_iter().zip(&self.logs)
    }
}

/// Records that are sent again, as a batch.
#[must_use]
pub fn replay(entries: &[Entry]) -> Arc<Batch> {
    let mut batch = Batch::default();
    for entry in entries {
        batch.push(entry.event.clone(), &entry.payload);
    }
    Arc::new(batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::Symbol;
    use serde_json::{Value, json};
    use std::time::Duration;

    const BOUNDS: Bounds = Bounds { count: 100, age: Duration::from_secs(600) };

    fn keep(memory: &mut Memory, channel: Channel, offset: u64, payload: &Value) {
        let symbol = Symbol::new("A").unwrap();
        let position = Some(Position { epoch: 5, seq: offset });
        let event = Event { symbol, channel, offset, position, day: None };
        memory.keep(&event, payload.to_string().as_bytes(), Instant::now(), BOUNDS);
    }

    fn trade(ms: i64, price: f64) -> Value {
        json!({"symbol": "A", "price": price, "size": 10, "timestamp": ms, "source": "alpaca"})
    }

    fn snapshot(memory: &mut Memory) -> Value {
        serde_json::from_str(&memory.snapshot("A", Streams::ALL)).unwrap()
    }

    #[test]
    fn a_snapshot_holds_what_is_known_and_no_more() {
        let mut memory = Memory::default();
        assert_eq!(snapshot(&mut memory), json!({"symbol": "A", "position": {}}));
        memory.set_background(Background {
            previous_close: Some(9.5),
            volume: 100.0,
            bar: Some(r#"{"close":9}"#.to_owned()),
        });
        assert_eq!(
            snapshot(&mut memory),
            json!({"symbol": "A", "bar": {"close": 9}, "previous_close": 9.5, "position": {}})
        );
        assert_eq!(memory.day(10.0), Some(Day { previous_close: 9.5, volume: 110.0 }));
        memory.set_carried(Carried::No("the plan is full".to_owned()));
        assert_eq!(snapshot(&mut memory)["unavailable"], "the plan is full");
        memory.set_carried(Carried::Yes);
        assert_eq!(snapshot(&mut memory).get("unavailable"), None);
    }

    #[test]
    fn the_running_minute_is_made_of_its_trades_and_says_whether_it_saw_them_all() {
        let minute = 1_700_000_040_000;
        let mut memory = Memory::default();
        keep(&mut memory, Channel::Trades, 1, &trade(minute + 1_000, 10.0));
        keep(&mut memory, Channel::Trades, 2, &trade(minute + 2_000, 12.0));
        let bar = &snapshot(&mut memory)["bar"];
        assert_eq!(
            (&bar["open"], &bar["high"], &bar["volume"], &bar["partial"]),
            (&json!(10), &json!(12), &json!(20), &json!(true))
        );
        keep(&mut memory, Channel::Trades, 3, &trade(minute + 60_500, 11.0));
        keep(&mut memory, Channel::Bars, 4, &json!({"symbol": "A", "timestamp": minute, "close": 12}));
        keep(&mut memory, Channel::Trades, 5, &trade(minute + 61_000, 13.0));
        let whole = snapshot(&mut memory);
        let bar = &whole["bar"];
        assert_eq!((&bar["open"], &bar["close"], &bar["partial"]), (&json!(11), &json!(13), &json!(false)));
        assert!(bar.get("seq").is_none(), "a bar that was never published has no position");
        keep(&mut memory, Channel::Trades, 6, &trade(minute + 62_000, 9.0));
        assert_eq!(snapshot(&mut memory)["bar"]["low"], json!(9), "goes on where it stopped");
        assert_eq!(snapshot(&mut memory)["bar"]["volume"], json!(30), "counts each trade once");
        assert_eq!(whole["position"], json!({"trades": {"epoch": 5, "seq": 5}, "bars": {"epoch": 5, "seq": 4}}));
    }
}
