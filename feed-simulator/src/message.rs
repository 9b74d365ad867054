//! What the simulated market says: the data messages of the stream, small and `Copy`, with integer prices.

use crate::conditions::Conditions;
use crate::symbols::SymbolId;

/// One trade (`t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// What was traded.
    pub symbol: SymbolId,
    /// Exchange time in Unix nanoseconds.
    pub ts_ns: i64,
    /// The exchange's id.
    pub id: u64,
    /// Price in 1/10,000 dollar.
    pub price: i64,
    /// Shares.
    pub size: u32,
    /// Exchange letter.
    pub exchange: u8,
    /// Sale conditions.
    pub conditions: Conditions,
}

/// One quote (`q`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// What is quoted.
    pub symbol: SymbolId,
    /// Exchange time in Unix nanoseconds.
    pub ts_ns: i64,
    /// Best bid in 1/10,000 dollar.
    pub bid: i64,
    /// Shares bid.
    pub bid_size: u32,
    /// Exchange letter of the bid.
    pub bid_exchange: u8,
    /// Best offer in 1/10,000 dollar.
    pub ask: i64,
    /// Shares offered.
    pub ask_size: u32,
    /// Exchange letter of the offer.
    pub ask_exchange: u8,
}

/// Which message a bar travels in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// A minute that has just ended (`b`).
    Minute,
    /// A minute that a late trade has changed (`u`).
    Updated,
    /// The running day (`d`).
    Daily,
}

/// Prices and volume of one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// What was traded.
    pub symbol: SymbolId,
    /// Start of the interval in Unix nanoseconds.
    pub start_ns: i64,
    /// First price in 1/10,000 dollar.
    pub open: i64,
    /// Highest price in 1/10,000 dollar.
    pub high: i64,
    /// Lowest price in 1/10,000 dollar.
    pub low: i64,
    /// Last price in 1/10,000 dollar.
    pub close: i64,
    /// Shares.
    pub volume: u64,
    /// Number of trades.
    pub trade_count: u64,
    /// Volume-weighted average price in millionths of a dollar.
    pub vwap: i64,
}

/// The part of a trade that a correction names twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The exchange's id.
    pub id: u64,
    /// Price in 1/10,000 dollar.
    pub price: i64,
    /// Shares.
    pub size: u32,
    /// Sale conditions.
    pub conditions: Conditions,
}

impl From<&Trade> for Report {
    fn from(trade: &Trade) -> Self {
        Self { id: trade.id, price: trade.price, size: trade.size, conditions: trade.conditions }
    }
}

/// A trade was wrong and another one holds (`c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    /// What was traded.
    pub symbol: SymbolId,
    /// Time of the original trade in Unix nanoseconds.
    pub ts_ns: i64,
    /// Exchange letter.
    pub exchange: u8,
    /// The trade that is void.
    pub original: Report,
    /// The trade that holds instead.
    pub corrected: Report,
}

/// A trade never was (`x`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// The void trade.
    pub trade: Trade,
    /// `C` cancel or `E` error.
    pub action: u8,
}

/// Trading status (`s`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// What is halted or resumed.
    pub symbol: SymbolId,
    /// Time in Unix nanoseconds.
    pub ts_ns: i64,
    /// Status code of the symbol's tape.
    pub code: &'static str,
    /// Status in words.
    pub text: &'static str,
}

/// Limit-up limit-down price band (`l`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Luld {
    /// What the band is for.
    pub symbol: SymbolId,
    /// Time in Unix nanoseconds.
    pub ts_ns: i64,
    /// Highest allowed price in 1/10,000 dollar.
    pub up: i64,
    /// Lowest allowed price in 1/10,000 dollar.
    pub down: i64,
}

/// One element of a data frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// `t`
    Trade(Trade),
    /// `q`
    Quote(Quote),
    /// `b`, `u` or `d`
    Bar(BarKind, Bar),
    /// `c`
    Correction(Correction),
    /// `x`
    Cancel(Cancel),
    /// `s`
    Status(Status),
    /// `l`
    Luld(Luld),
}

impl Message {
    /// The message's type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Trade(_) => Kind::Trade,
            Self::Quote(_) => Kind::Quote,
            Self::Bar(BarKind::Minute, _) => Kind::Bar,
            Self::Bar(BarKind::Updated, _) => Kind::UpdatedBar,
            Self::Bar(BarKind::Daily, _) => Kind::DailyBar,
            Self::Correction(_) => Kind::Correction,
            Self::Cancel(_) => Kind::Cancel,
            Self::Status(_) => Kind::Status,
            Self::Luld(_) => Kind::Luld,
        }
    }

    /// The symbol that the message is about.
    #[must_use]
    pub fn symbol(&self) -> SymbolId {
        match self {
            Self::Trade(trade) => trade.symbol,
            Self::Quote(quote) => quote.symbol,
            Self::Bar(_, bar) => bar.symbol,
            Self::Correction(correction) => correction.symbol,
            Self::Cancel(cancel) => cancel.trade.symbol,
            Self::Status(status) => status.symbol,
            Self::Luld(luld) => luld.symbol,
        }
    }
}

/// The type of a data message, which is also the index of its counter and channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `t`
    Trade,
    /// `q`
    Quote,
    /// `b`
    Bar,
    /// `u`
    UpdatedBar,
    /// `d`
    DailyBar,
    /// `s`
    Status,
    /// `l`
    Luld,
    /// `c`
    Correction,
    /// `x`
    Cancel,
}

impl Kind {
    /// How many there are.
    pub const COUNT: usize = 9;
    /// All types, in the order of their indices.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Trade,
        Self::Quote,
        Self::Bar,
        Self::UpdatedBar,
        Self::DailyBar,
        Self::Status,
        Self::Luld,
        Self::Correction,
        Self::Cancel,
    ];

    /// Place in [`Kind::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The value of `T` on the wire.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Self::Trade => "t",
            Self::Quote => "q",
            Self::Bar => "b",
            Self::UpdatedBar => "u",
            Self::DailyBar => "d",
            Self::Status => "s",
            Self::Luld => "l",
            Self::Correction => "c",
            Self::Cancel => "x",
        }
    }

    /// The key of the subscribe message and of its acknowledgement.
    #[must_use]
    pub fn channel(self) -> &'static str {
        match self {
            Self::Trade => "trades",
            Self::Quote => "quotes",
            Self::Bar => "bars",
            Self::UpdatedBar => "updatedBars",
            Self::DailyBar => "dailyBars",
            Self::Status => "statuses",
            Self::Luld => "lulds",
            Self::Correction => "corrections",
            Self::Cancel => "cancelErrors",
        }
    }
}
