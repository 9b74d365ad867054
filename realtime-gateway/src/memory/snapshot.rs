//! The first paint of a symbol: references taken in an instant, made into text when there is time.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use market::{BarBuilder, Position, Symbol, Timeframe, wire};

use super::log::Entry;
use super::symbol::Background;
use crate::records::batch::Batch;
use crate::records::channel::Channel;

/// What was known of a symbol at one moment.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) symbol: Symbol,
    pub(super) trade: Option<Entry>,
    pub(super) quote: Option<Entry>,
    pub(super) bar: Option<Entry>,
    pub(super) positions: Vec<(Channel, Position)>,
    pub(super) background: Option<Arc<Background>>,
    /// The running minute as the producer published it last.
    pub(super) forming_bar: Option<Entry>,
    /// Whether bars may be shown.
    pub(super) bars: bool,
    pub(super) unavailable: Option<Arc<str>>,
    pub(super) forming: Arc<Forming>,
    /// The newest trades, newest first, as far as the running minute does not hold them.
    pub(super) minute: Vec<Entry>,
    /// Whether no trade between the running minute and these is gone.
    pub(super) whole: bool,
}

/// The running minute, folded as far as somebody asked for it. Its lock is held for no other.
#[derive(Debug, Default)]
pub struct Forming {
    /// Offset of the newest trade in it.
    pub(super) through: AtomicU64,
    minute: Mutex<Option<Minute>>,
}

#[derive(Debug)]
struct Minute {
    builder: BarBuilder,
    through_offset: u64,
    /// Whether the minute's first trades were seen.
    whole: bool,
}

impl Snapshot {
    /// The `snapshot` event: newest trade, quote and bar, previous close, positions, and, if the feed cannot carry the symbol, why it
    /// is `unavailable`. Parts that nobody knows are left out.
    #[must_use]
    pub fn render(&self) -> String {
        let mut json = String::from("{\"symbol\":");
        json.push_str(&quoted(self.symbol.as_str()));
        for (key, entry) in [("trade", &self.trade), ("quote", &self.quote)] {
            if let Some(payload) = entry.as_ref().and_then(text) {
                let _ = write!(json, ",\"{key}\":{payload}"); // a String takes every write
            }
        }
        if let Some(bar) = self.bar() {
            let _ = write!(json, ",\"bar\":{bar}");
        }
        let background = self.background.as_ref().filter(|_| self.bars);
        if let Some(close) = background.and_then(|background| background.previous_close) {
            let _ = write!(json, ",\"previous_close\":{close}");
        }
        if let Some(reason) = &self.unavailable {
            json.push_str(",\"unavailable\":");
            json.push_str(&quoted(reason));
        }
        json.push_str(",\"position\":{");
        let mut separator = "";
        for (channel, Position { epoch, seq }) in &self.positions {
            let _ = write!(json, "{separator}\"{}\":{{\"epoch\":{epoch},\"seq\":{seq}}}", channel.name());
            separator = ",";
        }
        json.push_str("}}");
        json
    }

    /// The running minute's bar, else the newest one that was published or stored.
    fn bar(&self) -> Option<String> {
        if !self.bars {
            return None;
        }
        let start_of = |entry: &Entry| Some(wire::decode_bar(&entry.payload).ok()?.0.start_ms);
        let formed = |entry: &Entry| Some((start_of(entry)?, text(entry)?.to_owned()));
        let forming = self.forming_bar.as_ref().and_then(formed).or_else(|| self.fold());
        let published = self.bar.as_ref().and_then(text);
        let published_start = self.bar.as_ref().and_then(start_of);
        match forming {
            Some((start, text)) if published_start.is_none_or(|published| published < start) => Some(text),
            _ => published.map(str::to_owned).or_else(|| self.background.as_ref()?.bar.clone()),
        }
    }

    /// Adds the trades since the last call to the running minute. Each trade is read once, and only if somebody subscribes.
    fn fold(&self) -> Option<(i64, String)> {
        let newest_trade = self.trade.as_ref().or(self.minute.first())?;
        let (newest, _) = wire::decode_trade(&newest_trade.payload).ok()?;
        let start_ms = Timeframe::MINUTE.start_of(newest.ts_ms());
        let mut slot = self.forming.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(|minute| minute.builder.start_ms() > start_ms) {
            return None; // a later snapshot was rendered first
        }
        // The minute before was followed to its end, and nothing since is gone: this one was seen from its start.
        let mut reached_start = self.whole && slot.as_ref().is_some_and(|minute| minute.builder.start_ms() < start_ms);
        let known = slot.take().filter(|minute| minute.builder.start_ms() == start_ms && self.whole);
        let through = known.as_ref().map_or(0, |minute| minute.through_offset);
        let mut trades = Vec::new();
        for entry in self.minute.iter().take_while(|entry| entry.event.offset > through) {
            let Ok((trade, _)) = wire::decode_trade(&entry.payload) else { continue };
            if trade.ts_ms() < start_ms {
                reached_start = true;
                break;
            }
            trades.push((trade, entry.event.offset));
        }
        let mut minute = known.unwrap_or_else(|| Minute {
            builder: BarBuilder::for_trade(&newest, Timeframe::MINUTE),
            through_offset: 0,
            whole: reached_start,
        });
        for (trade, offset) in trades.iter().rev() {
            if Timeframe::MINUTE.start_of(trade.ts_ms()) == start_ms {
                minute.builder.add(trade);
            }
            minute.through_offset = *offset;
        }
        let bar = minute.builder.bar(false, 0);
        let partial = !minute.whole;
        self.forming.through.store(minute.through_offset, Ordering::Release);
        *slot = Some(minute);
        drop(slot);
        let bar = bar?;
        let mut out = Vec::new();
        wire::encode_bar(&bar, Position { epoch: 0, seq: 0 }, &mut out);
        let text = String::from_utf8(out).ok()?;
        let text = text.strip_suffix(",\"epoch\":0,\"seq\":0}")?; // this bar was never published: it has no position
        Some((bar.start_ms, format!("{text},\"partial\":{partial}}}")))
    }
}

fn text(entry: &Entry) -> Option<&str> {
    std::str::from_utf8(&entry.payload).ok()
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Records of a log as a batch.
#[must_use]
pub fn batch_of(entries: &[Entry]) -> Batch {
    let mut batch = Batch::default();
    for entry in entries {
        batch.push(entry.event.clone(), &entry.payload);
    }
    batch
}
