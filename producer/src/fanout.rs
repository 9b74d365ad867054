//! Gives each record its position, encodes it once, and hands the same bytes to both paths.

use std::collections::HashMap;

use bytes::Bytes;
use market::{Position, Symbol};
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
}

/// One encoded record. Cloning it copies no data.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Where it belongs.
    pub stream: Stream,
    /// Its Kafka key.
    pub symbol: Symbol,
    /// JSON.
    pub json: Bytes,
}

/// The point where the two paths part.
pub struct Fanout {
    epoch: i64,
    last_seq: [HashMap<Symbol, u64>; 3],
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

    /// Waits until the cold path can take more. Cancel safe.
    pub async fn room(&self) {
        self.cold.room().await;
    }

    /// Takes one event; records wait for [`Fanout::flush`].
    pub fn event(&mut self, event: Event) {
        use market::wire::{encode_bar, encode_quote, encode_trade};
        match event {
            Event::Trade(trade) => {
                self.record(Stream::Trades, trade.symbol, |position, out| encode_trade(&trade, position, out));
            }
            Event::Bar(bar) => self.record(Stream::Bars, bar.symbol, |position, out| encode_bar(&bar, position, out)),
            Event::Quote(quote) => {
                self.record(Stream::Quotes, quote.symbol, |position, out| encode_quote(&quote, position, out));
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

    fn record(&mut self, stream: Stream, symbol: Symbol, encode: impl FnOnce(Position, &mut Vec<u8>)) {
        let last = self.last_seq[stream as usize].entry(symbol).or_default();
        *last += 1;
        self.buffer.clear();
        encode(Position { epoch: self.epoch, seq: *last }, &mut self.buffer);
        self.counters.records[stream as usize].increment(1);
        self.frame.push(Encoded { stream, symbol, json: Bytes::copy_from_slice(&self.buffer) });
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
