//! The records that travel: [`Trade`], [`Bar`], [`Quote`], and the limits that each of them keeps.

use compact_str::CompactString;
use smallvec::SmallVec;

use crate::NS_PER_MS;
use crate::reject::Reject;
use crate::symbol::{Source, Symbol};
use crate::timeframe::Timeframe;

/// Highest price in dollars that is believed.
pub const PRICE_MAX: f64 = 1e9;
/// Largest size of one trade in shares that is believed.
pub const SIZE_MAX: f64 = 1e15;
/// Largest volume of one bar in shares that is believed.
pub const VOLUME_MAX: f64 = 1e18;
/// Longest trade id in bytes.
pub const TRADE_ID_BYTES_MAX: usize = 64;

/// Sale conditions in the order the feed gave them, e.g. `["@", "F", "I"]`. Four fit without an allocation.
pub type Conditions = SmallVec<[CompactString; 4]>;

/// A place in the live stream: the `seq`-th record of one symbol and stream in the producer run `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Start of the producer's run in Unix milliseconds.
    pub epoch: i64,
    /// Counts from 1 within the run, per symbol and stream; a step of more than one is a miss.
    pub seq: u64,
}

/// One trade on the tape.
#[derive(Clone, Debug, PartialEq)]
pub struct Trade {
    /// What was traded.
    pub symbol: Symbol,
    /// Dollars.
    pub price: f64,
    /// Shares; fractions occur.
    pub size: f64,
    /// Exchange time in Unix nanoseconds (Massive: SIP time).
    pub ts_ns: i64,
    /// The exchange's id of the trade; unique only together with symbol, exchange, time and source.
    pub trade_id: Option<CompactString>,
    /// Exchange code, e.g. `Q`.
    pub exchange: Option<CompactString>,
    /// Sale conditions in the feed's own vocabulary.
    pub conditions: Conditions,
    /// `A` NYSE, `B` regional, `C` Nasdaq, `O` OTC, `N` overnight.
    pub tape: Option<CompactString>,
    /// Who reported it.
    pub source: Source,
}

impl Trade {
    /// Lets a trade through that keeps every limit.
    ///
    /// # Errors
    /// The first [`Reject`] that applies.
    pub fn checked(self) -> Result<Self, Reject> {
        price(self.price)?;
        if !(self.size.is_finite() && self.size > 0.0 && self.size <= SIZE_MAX) {
            return Err(Reject::Size);
        }
        if let Some(id) = &self.trade_id {
            if id.is_empty() || id.len() > TRADE_ID_BYTES_MAX {
                return Err(Reject::TradeId);
            }
            no_nul(id)?;
        }
        self.exchange.as_deref().map_or(Ok(()), no_nul)?;
        self.tape.as_deref().map_or(Ok(()), no_nul)?;
        self.conditions.iter().try_for_each(|code| no_nul(code))?;
        Ok(self)
    }

    /// Exchange time in Unix milliseconds, rounded down.
    #[must_use]
    pub fn ts_ms(&self) -> i64 {
        self.ts_ns.div_euclid(NS_PER_MS)
    }
}

/// Prices and volume of one symbol over one interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What was traded.
    pub symbol: Symbol,
    /// Length of the interval.
    pub timeframe: Timeframe,
    /// First price in dollars.
    pub open: f64,
    /// Highest price in dollars.
    pub high: f64,
    /// Lowest price in dollars.
    pub low: f64,
    /// Last price in dollars.
    pub close: f64,
    /// Shares.
    pub volume: f64,
    /// Number of trades.
    pub trade_count: Option<u64>,
    /// Volume-weighted average price in dollars.
    pub vwap: Option<f64>,
    /// Start of the interval in Unix milliseconds.
    pub start_ms: i64,
    /// Whether the interval is over; a forming bar has `false`.
    pub is_final: bool,
    /// 0 for the first version of the interval; a correction counts up, and the highest wins.
    pub revision: u32,
    /// Who reported it.
    pub source: Source,
}

impl Bar {
    /// Lets a bar through that keeps every limit. Open, high, low and close are not compared with each other: the tape lets
    /// different trades set them.
    ///
    /// # Errors
    /// The first [`Reject`] that applies.
    pub fn checked(mut self) -> Result<Self, Reject> {
        for value in [self.open, self.high, self.low, self.close] {
            price(value)?;
        }
        if !(self.volume.is_finite() && (0.0..=VOLUME_MAX).contains(&self.volume)) {
            return Err(Reject::Volume);
        }
        match self.vwap {
            Some(vwap) if vwap == 0.0 && self.volume == 0.0 => self.vwap = None,
            Some(vwap) if !(vwap.is_finite() && vwap > 0.0) => return Err(Reject::Vwap),
            _ => {}
        }
        self.start_ms.checked_mul(NS_PER_MS).ok_or(Reject::Time)?;
        Ok(self)
    }
}

/// One side of a quote.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// Dollars; 0 means that nobody quotes this side.
    pub price: f64,
    /// Shares.
    pub size: f64,
    /// Exchange code.
    pub exchange: Option<CompactString>,
}

/// Best bid and offer at one moment. Quotes travel the hot way only.
#[derive(Clone, Debug, PartialEq)]
pub struct Quote {
    /// What is quoted.
    pub symbol: Symbol,
    /// Highest price that somebody would pay.
    pub bid: Side,
    /// Lowest price that somebody would take.
    pub ask: Side,
    /// Exchange time in Unix nanoseconds.
    pub ts_ns: i64,
    /// Quote conditions in the feed's own vocabulary.
    pub conditions: Conditions,
    /// As in [`Trade::tape`].
    pub tape: Option<CompactString>,
    /// Who reported it.
    pub source: Source,
}

impl Quote {
    /// Lets a quote through that keeps every limit.
    ///
    /// # Errors
    /// The first [`Reject`] that applies.
    pub fn checked(self) -> Result<Self, Reject> {
        for side in [&self.bid, &self.ask] {
            if !(side.price.is_finite() && (0.0..=PRICE_MAX).contains(&side.price)) {
                return Err(Reject::Price);
            }
            if !(side.size.is_finite() && (0.0..=SIZE_MAX).contains(&side.size)) {
                return Err(Reject::Size);
            }
            side.exchange.as_deref().map_or(Ok(()), no_nul)?;
        }
        self.tape.as_deref().map_or(Ok(()), no_nul)?;
        self.conditions.iter().try_for_each(|code| no_nul(code))?;
        Ok(self)
    }
}

pub(crate) fn price(value: f64) -> Result<(), Reject> {
    (value.is_finite() && value > 0.0 && value <= PRICE_MAX).then_some(()).ok_or(Reject::Price)
}

pub(crate) fn no_nul(text: &str) -> Result<(), Reject> {
    (!text.as_bytes().contains(&0)).then_some(()).ok_or(Reject::Nul)
}
