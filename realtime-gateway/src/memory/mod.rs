//! What can be sent again: the newest records of each symbol, its day, and its running minute, within one budget of bytes.

pub mod log;
pub mod since;
pub mod snapshot;
pub mod symbol;

use std::collections::HashMap;
use std::time::Instant;

use market::Symbol;

use crate::records::batch::Batch;
use crate::records::channel::{Channel, Channels};
use crate::records::feed_state::Carried;
use log::{Bounds, Entry};
use since::Since;
use symbol::Memory;

/// What the memory keeps to.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What is kept of each symbol and stream.
    pub log: Bounds,
    /// Bytes that all logs together may hold.
    pub bytes_max: usize,
}

/// The memory of every symbol.
#[derive(Debug)]
pub struct Memories {
    settings: Settings,
    symbols: HashMap<Symbol, Memory>,
    last_offset: u64,
    /// Offsets up to here may have been followed by records that never arrived.
    broken_through: Option<u64>,
    bytes: usize,
}

/// What was read of a batch before the memory is locked for it.
#[derive(Debug, Default)]
pub struct Read {
    /// Shares of each trade, by its place in the batch.
    pub sizes: Vec<f64>,
    /// Records that say whether the feed carries a symbol.
    pub carried: Vec<(Symbol, Carried)>,
}

impl Memories {
    /// Nothing known.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, symbols: HashMap::new(), last_offset: 0, broken_through: None, bytes: 0 }
    }

    /// Bytes that the logs hold.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of the newest record.
    #[must_use]
    pub fn last_offset(&self) -> u64 {
        self.last_offset
    }

    /// One symbol's memory.
    #[must_use]
    pub fn get(&self, symbol: &Symbol) -> Option<&Memory> {
        self.symbols.get(symbol)
    }

    /// One symbol's memory, an empty one if nothing is known.
    pub fn entry(&mut self, symbol: Symbol) -> &mut Memory {
        self.symbols.entry(symbol).or_default()
    }

    /// Symbols of which something is known or was wanted.
    #[must_use]
    pub fn symbols(&self) -> usize {
        self.symbols.len()
    }

    /// Numbers the records of a batch and keeps them.
    pub fn remember(&mut self, batch: &mut Batch, read: Read, now: Instant) {
        for (symbol, carried) in read.carried {
            self.entry(symbol).set_carried(carried);
        }
        for index in 0..batch.len() {
            self.last_offset += 1;
            let event = &mut batch.events_mut()[index];
            event.offset = self.last_offset;
            let (symbol, channel) = (event.symbol, event.channel);
            if channel.is_about_the_feed() {
                continue;
            }
            let memory = self.symbols.entry(symbol).or_default();
            if channel == Channel::Trades && memory.has_background() {
                batch.events_mut()[index].day = memory.day(read.sizes.get(index).copied().unwrap_or(0.0));
            }
            let grown = memory.keep(&batch.events()[index], batch.payload(index), now, self.settings.log);
            self.bytes = self.bytes.saturating_add_signed(grown);
            for _ in 0..2 {
                if self.bytes > self.settings.bytes_max {
                    self.bytes -= memory.shrink(channel);
                }
            }
        }
    }

    /// Notes that records may have been missed: from here on no recovery is complete.
    pub fn break_off(&mut self) {
        self.broken_through = Some(self.last_offset);
    }

    /// Whether every record after `offset` came by here.
    #[must_use]
    pub fn vouches_for(&self, offset: u64) -> bool {
        offset <= self.last_offset && self.broken_through.is_none_or(|broken| offset > broken)
    }

    /// Everything of a symbol after a client's positions; `None` if that cannot be vouched for or is more than `bytes_max`.
    #[must_use]
    pub fn after(&self, symbol: &Symbol, since: &Since, channels: Channels, bytes_max: usize) -> Option<Vec<Entry>> {
        self.symbols.get(symbol)?.after(since, |channel| channels.has(channel), bytes_max)
    }

    /// Everything of a symbol after the record number `offset`; `None` if that cannot be vouched for or is more than `bytes_max`.
    #[must_use]
    pub fn after_offset(
        &self,
        symbol: &Symbol,
        offset: u64,
        channels: Channels,
        bytes_max: usize,
    ) -> Option<Vec<Entry>> {
        if !self.vouches_for(offset) {
            return None;
        }
        match self.symbols.get(symbol) {
            Some(memory) => memory.after_offset(offset, |channel| channels.has(channel), bytes_max),
            None => Some(Vec::new()), // no record ever came
        }
    }

    /// Drops what is too old, and symbols that nobody follows and of which no record ever came: anybody may ask for symbols that do not
    /// exist, and for other ones the next moment.
    pub fn sweep(&mut self, now: Instant, followed: impl Fn(&Symbol) -> bool) {
        self.symbols.retain(|symbol, memory| followed(symbol) || !memory.is_blank());
        let freed: usize = self.symbols.values_mut().map(|memory| memory.expire(now, self.settings.log)).sum();
        self.bytes -= freed;
    }
}
