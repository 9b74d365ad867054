//! What the gateway remembers of one symbol: its newest records and its day, for the first paint and for clients that come back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use market::Symbol;

use super::log::{Bounds, Entry, Log, Record};
use super::since::Since;
use super::snapshot::{Forming, Snapshot, batch_of};
use crate::records::batch::Batch;
use crate::records::channel::{Channel, Channels};
use crate::records::event::{Day, Event};
use crate::records::feed_state::Carried;

/// How far back the trades of the running minute are looked for.
const MINUTE_MAX: Duration = Duration::from_secs(75);

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
    background: Option<Arc<Background>>,
    /// Shares traded since [`Self::set_background`].
    live_volume: f64,
    forming: Arc<Forming>,
    /// The newest bar that the producer published of the running minute.
    forming_bar: Option<Arc<Record>>,
    /// Why the feed does not carry the symbol, where it said so.
    unavailable: Option<Arc<str>>,
}

impl Memory {
    /// Keeps a record; returns by how many bytes the memory grew.
    pub fn keep(&mut self, event: &Event, payload: &[u8], now: Instant, bounds: Bounds) -> isize {
        if event.channel == Channel::Forming {
            self.forming_bar = Some(Arc::new(Record::new(event.clone(), payload.into(), now)));
            return 0; // one a symbol, in the place of the one before
        }
        let Some(log) = self.logs.get_mut(event.channel as usize) else { return 0 };
        log.push(event.clone(), Box::from(payload), now, bounds)
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
        self.unavailable.is_none() && self.forming_bar.is_none() && self.logs.iter().all(|log| log.newest().is_none())
    }

    /// Notes whether the feed carries the symbol.
    pub fn set_carried(&mut self, carried: Carried) {
        self.unavailable = match carried {
            Carried::Yes => None,
            Carried::No(reason) => Some(reason.into()),
        };
    }

    /// Sets what an outside source knows of the day.
    pub fn set_background(&mut self, background: Background) {
        self.background = Some(Arc::new(background));
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
        self.day_now()
    }

    fn day_now(&self) -> Option<Day> {
        let background = self.background.as_ref()?;
        Some(Day { previous_close: background.previous_close?, volume: background.volume + self.live_volume })
    }

    /// Everything after `since` in the streams that `wants` accepts, stream by stream; `None` if that cannot be vouched for or is more
    /// than `bytes_max`. References only: the records stay where they are.
    #[must_use]
    pub fn after(&self, since: &Since, wants: impl Fn(Channel) -> bool, bytes_max: usize) -> Option<Vec<Entry>> {
        let (mut all, mut bytes) = (Vec::new(), 0);
        for (channel, log) in self.streams().filter(|(channel, _)| wants(*channel)) {
            // Of a stream without a position the client has nothing, so nothing of it can be missing: it starts with the next record.
            if let Some(position) = since.of(channel) {
                gather(&mut all, &mut bytes, bytes_max, log.after(position)?)?;
            }
        }
        Some(all)
    }

    /// Everything after `offset` in the streams that `wants` accepts; `None` if some of it is gone or it is more than `bytes_max`.
    #[must_use]
    pub fn after_offset(&self, offset: u64, wants: impl Fn(Channel) -> bool, bytes_max: usize) -> Option<Vec<Entry>> {
        let (mut all, mut bytes) = (Vec::new(), 0);
        for (_, log) in self.streams().filter(|(channel, _)| wants(*channel)) {
            gather(&mut all, &mut bytes, bytes_max, log.after_offset(offset)?)?;
        }
        Some(all)
    }

    /// The newest trade as a batch of its own, for dialects whose first paint is a trade. With the day as it is known now: the trade may
    /// have passed before the history answered.
    #[must_use]
    pub fn newest_trade(&self) -> Option<Arc<Batch>> {
        let newest = self.logs[Channel::Trades as usize].newest()?;
        let mut batch = batch_of(std::slice::from_ref(newest));
        for event in batch.events_mut() {
            event.day = event.day.or_else(|| self.day_now());
        }
        Some(Arc::new(batch))
    }

    /// What is known of the symbol at this moment, of the streams in `channels`. Takes references only; [`Snapshot::render`] makes the text
    /// of them, later and outside of any lock.
    #[must_use]
    pub fn snapshot(&self, symbol: Symbol, channels: Channels) -> Snapshot {
        let newest = |channel: Channel| self.logs[channel as usize].newest().filter(|_| channels.has(channel)).cloned();
        let trades = &self.logs[Channel::Trades as usize];
        let through = self.forming.through.load(Ordering::Acquire);
        let recent = |entry: &&Entry| entry.event.offset > through && entry.at().elapsed() < MINUTE_MAX;
        let shows_bars = channels.has(Channel::Bars);
        let forming_bar =
            self.forming_bar.as_ref().filter(|bar| shows_bars && bar.at().elapsed() < MINUTE_MAX).cloned();
        let minute = match shows_bars && forming_bar.is_none() {
            true => trades.entries().rev().take_while(recent).cloned().collect(),
            false => Vec::new(),
        };
        let positions = self.streams().filter(|(channel, _)| channels.has(*channel));
        Snapshot {
            symbol,
            trade: newest(Channel::Trades),
            quote: newest(Channel::Quotes),
            bar: newest(Channel::Bars),
            positions: positions.filter_map(|(channel, log)| Some((channel, log.position()?))).collect(),
            background: self.background.clone(),
            bars: shows_bars,
            forming_bar,
            unavailable: self.unavailable.clone(),
            forming: Arc::clone(&self.forming),
            whole: trades.after_offset(through).is_some(),
            minute,
        }
    }

    fn streams(&self) -> impl Iterator<Item = (Channel, &Log)> {
        Channel::ALL.into_iter().zip(&self.logs)
    }
}

fn gather<'a>(
    all: &mut Vec<Entry>,
    bytes: &mut usize,
    bytes_max: usize,
    some: impl Iterator<Item = &'a Entry>,
) -> Option<()> {
    for entry in some {
        *bytes += entry.payload.len();
        if *bytes > bytes_max {
            return None;
        }
        all.push(Arc::clone(entry));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::Position;
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
        let text = memory.snapshot(Symbol::new("A").unwrap(), Channels::ALL).render();
        serde_json::from_str(&text).unwrap()
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

    #[test]
    fn a_bar_that_the_producer_is_forming_is_painted_and_is_no_record_of_the_log() {
        let minute = 1_700_000_040_000_i64;
        let mut memory = Memory::default();
        let bar = |ms: i64, close: f64, last: bool| {
            json!({"symbol": "A", "timeframe": "1Min", "open": 1, "high": 20, "low": 1, "close": close, "volume": 5,
                   "timestamp": ms, "final": last, "revision": 0, "source": "alpaca", "epoch": 5, "seq": 1})
        };
        keep(&mut memory, Channel::Bars, 1, &bar(minute, 10.0, true));
        keep(&mut memory, Channel::Forming, 2, &bar(minute + 60_000, 11.0, false));
        keep(&mut memory, Channel::Forming, 3, &bar(minute + 60_000, 12.0, false));
        assert_eq!(
            (&snapshot(&mut memory)["bar"]["close"], memory.logs[Channel::Bars as usize].position().unwrap().seq),
            (&json!(12.0), 1)
        );
        keep(&mut memory, Channel::Bars, 4, &bar(minute + 60_000, 13.0, true));
        assert_eq!(snapshot(&mut memory)["bar"]["close"], json!(13.0), "the final one takes its place");
    }
}
