//! A trade that does not hold as it was reported: cancelled, or replaced by another one.

use compact_str::CompactString;

use crate::record::{SIZE_MAX, TRADE_ID_BYTES_MAX, Trade, no_nul, price};
use crate::reject::Reject;
use crate::symbol::{Source, Symbol};

/// Says that a trade is void, and what holds in its place. The stored trade is changed by this record, never silently removed.
#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    /// The trade that does not hold.
    pub void: VoidTrade,
    /// What became of it.
    pub outcome: Outcome,
    /// Who reported it.
    pub source: Source,
}

/// What became of a void trade.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It never was: `C` cancelled, `E` entered in error; any other code means void too.
    Cancelled(CompactString),
    /// This trade holds instead. It also travels as a trade of its own.
    Corrected(Box<Trade>),
}

/// Enough of a void trade to find it among those of its New York day: by symbol, exchange and id, and where several match by price
/// and size.
#[derive(Clone, Debug, PartialEq)]
pub struct VoidTrade {
    /// What was traded.
    pub symbol: Symbol,
    /// Dollars.
    pub price: f64,
    /// Shares.
    pub size: f64,
    /// Time of the message in Unix nanoseconds, which may not be the trade's.
    pub ts_ns: i64,
    /// Trade id; absent where the feed gave none.
    pub trade_id: Option<CompactString>,
    /// Exchange code.
    pub exchange: Option<CompactString>,
}

impl VoidTrade {
    /// Whether this is the trade that does not hold. Its time is not looked at: the message has one of its own.
    #[must_use]
    pub fn means(&self, trade: &Trade) -> bool {
        self.symbol == trade.symbol
            && self.trade_id == trade.trade_id
            && self.exchange == trade.exchange
            && self.price == trade.price
            && self.size == trade.size
    }
}

impl Correction {
    /// Lets a correction through that keeps every limit of a trade.
    ///
    /// # Errors
    /// The first [`Reject`] that applies.
    pub fn checked(self) -> Result<Self, Reject> {
        let void = &self.void;
        price(void.price)?;
        if !(void.size.is_finite() && void.size > 0.0 && void.size <= SIZE_MAX) {
            return Err(Reject::Size);
        }
        if void.trade_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > TRADE_ID_BYTES_MAX) {
            return Err(Reject::TradeId);
        }
        [&void.trade_id, &void.exchange].into_iter().flatten().try_for_each(|text| no_nul(text))?;
        let outcome = match self.outcome {
            Outcome::Cancelled(action) => {
                no_nul(&action)?;
                Outcome::Cancelled(action)
            }
            Outcome::Corrected(trade) => Outcome::Corrected(Box::new(trade.checked()?)),
        };
        Ok(Self { outcome, ..self })
    }
}
