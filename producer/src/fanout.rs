//! Gives each record its position, encodes it once, and hands the same bytes to both paths.

use std::collections::HashMap;

use bytes::Bytes;
use market::{NS_PER_MS, Position, Symbol};
use metrics::Counter;

use crate::cold::Cold;
use crate::event::Event;
use crate::hot::Hot;

/// The streams that records travel in; each has its channel, and all but quotes their topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Trades.
    Trades,
    /// Bars.
    Bars,
    /// Quotes, hot only.
    Quotes,
    /// Outages; their key is the feed's name.
    Gaps,
}

impl Stream {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Trades, Self::Bars, Self::Quotes, Self::Gaps];
}

/// One encoded record. Cloning it copies no data.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Where it belongs.
    pub stream: Stream,
    /// Its Kafka key.
    pub symbol: Symbol,
    /// Feed time in Unix nanoseconds; 0 where it says nothing about how far the feed is known.
    pub ts_ns: i64,
    /// JSON.
    pub json: Bytes,
}

/// The point where the two paths part.
pub struct Fanout {
    epoch: i64,
    last_seq: [HashMap<Symbol, u64>; 3],
    clock: FeedClock,
    buffer: Vec<u8>,
    frame: Vec<Encoded>,
    hot: Hot,
    cold: Cold,
    counters: Counters,
}

struct Counters {
    records: [Counter; 3],
    corrections: Counter,
    cancels: Counter,
}

impl Fanout {
    /// `epoch`: this run's start in Unix milliseconds.
    #[must_use]
    pub fn new(epoch: i64, hot: Hot, cold: Cold) -> Self {
        let counter = |stream: &'static str| metrics::counter!("producer_records_total", "stream" => stream);
        Self {
            epoch,
            last_seq: Default::default(),
            clock: FeedClock::default(),
            buffer: Vec::with_capacity(64 * 1024),
            frame: Vec::new(),
            hot,
            cold,
            counters: Counters {
                records: [counter("trades"), counter("bars"), counter("quotes")],
                corrections: metrics::counter!("producer_corrections_total"),
                cancels: metrics::counter!("producer_cancels_total"),
            },
        }
    }

    /// What the records say about the feed's time.
    pub fn clock(&mut self) -> &mut FeedClock {
        &mut self.clock
    }

    /// Waits until the cold path can take more. Cancel safe.
    pub async fn room(&self) {
        self.cold.room().await;
    }

    /// Takes one event; records wait for [`Fanout::flush`].
    pub fn event(&mut self, event: Event) {
        use market::wire::{encode_bar, encode_quote, encode_trade};
        match event {
            Event::Trade(trade) => {
                self.record(Stream::Trades, trade.symbol, trade.ts_ns, |position, out| {
                    encode_trade(&trade, position, out)
                });
            }
            Event::Bar(bar) => {
                let ts_ns = bar.start_ms.saturating_mul(NS_PER_MS);
                self.record(Stream::Bars, bar.symbol, ts_ns, |position, out| encode_bar(&bar, position, out));
            }
            Event::Quote(quote) => {
                self.record(Stream::Quotes, quote.symbol, quote.ts_ns, |position, out| {
                    encode_quote(&quote, position, out)
                });
            }
            Event::Correction(_) => self.counters.corrections.increment(1),
            Event::Cancel(_) => self.counters.cancels.increment(1),
            Event::Other(kind) => metrics::counter!("producer_other_messages_total", "kind" => kind).increment(1),
            Event::Skipped(skip) => {
                metrics::counter!("producer_skipped_total", "reason" => skip.reason()).increment(1);
                tracing::debug!(%skip, "skipped an element");
            }
        }
    }

    fn record(&mut self, stream: Stream, symbol: Symbol, ts_ns: i64, encode: impl FnOnce(Position, &mut Vec<u8>)) {
        if stream != Stream::Bars {
            self.clock.hear(ts_ns);
        }
        let last = self.last_seq[stream as usize].entry(symbol).or_default();
        *last += 1;
        self.buffer.clear();
        encode(Position { epoch: self.epoch, seq: *last }, &mut self.buffer);
        self.counters.records[stream as usize].increment(1);
        self.frame.push(Encoded { stream, symbol, ts_ns, json: Bytes::copy_from_slice(&self.buffer) });
    }

    /// Hands everything since the last flush to both paths: to the hot one first, it is the one in a hurry.
    pub fn flush(&mut self) {
        if self.frame.is_empty() {
            return;
        }
        self.hot.publish(&self.frame);
        self.frame.retain(|record| record.stream != Stream::Quotes);
        self.cold.accept(&mut self.frame);
        self.frame.clear();
    }
}

/// Feed time as trades and quotes tell it. A replayed day has its own time, so the wall clock is not asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct FeedClock {
    newest_ns: Option<i64>,
    first_ns: Option<i64>,
}

impl FeedClock {
    fn hear(&mut self, ts_ns: i64) {
        self.newest_ns = self.newest_ns.max(Some(ts_ns));
        self.first_ns.get_or_insert(ts_ns);
    }

    /// Time of the newest record so far, Unix nanoseconds.
    #[must_use]
    pub fn newest_ns(self) -> Option<i64> {
        self.newest_ns
    }

    /// Time of the first record since [`FeedClock::resume`], Unix nanoseconds.
    #[must_use]
    pub fn first_ns(self) -> Option<i64> {
        self.first_ns
    }

    /// A new connection begins.
    pub fn resume(&mut self) {
        self.first_ns = None;
    }
}
