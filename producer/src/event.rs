//! What a feed adapter makes of a frame: valid records, and a reason for each element that is none.

use compact_str::CompactString;
use market::{Bar, Quote, Reject, Symbol, Trade};

/// One element of a frame, past the only door.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A trade on the tape.
    Trade(Trade),
    /// A bar, forming or final.
    Bar(Bar),
    /// Best bid and offer.
    Quote(Quote),
    /// A trade is void and another holds in its place.
    Correction(Correction),
    /// A trade is void.
    Cancel(Cancel),
    /// An element that carries nothing this system stores, such as a trading status; named for the counters.
    Other(&'static str),
    /// An element that could not become a record.
    Skipped(Skip),
}

/// A trade that was reported wrongly, and what it should have been.
#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    /// The void trade.
    pub original: VoidTrade,
    /// The trade that holds. Its time is that of the message.
    pub corrected: Trade,
}

/// A trade that never was.
#[derive(Clone, Debug, PartialEq)]
pub struct Cancel {
    /// The void trade.
    pub original: VoidTrade,
    /// `C` cancelled, `E` entered in error; anything else means void too.
    pub action: CompactString,
}

/// Enough of a void trade to find it among those of its New York day.
#[derive(Clone, Debug, PartialEq)]
pub struct VoidTrade {
    /// What was traded.
    pub symbol: Symbol,
    /// Exchange code.
    pub exchange: Option<CompactString>,
    /// Trade id; absent where the feed gave none.
    pub trade_id: Option<CompactString>,
    /// Dollars.
    pub price: f64,
    /// Shares.
    pub size: f64,
    /// Time of the message in Unix nanoseconds, which may not be the trade's.
    pub ts_ns: i64,
}

/// Why an element was skipped. The connection goes on in every case.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Skip {
    /// The frame is not what the protocol speaks; nothing of it was used.
    #[error("malformed frame: {0}")]
    Frame(String),
    /// An element of the array is not an object.
    #[error("an element is not an object")]
    NotAnObject,
    /// A message type that this decoder does not know.
    #[error("unknown message type {0:?}")]
    UnknownType(String),
    /// A field is missing or has the wrong type.
    #[error("{0}")]
    Field(String),
    /// A value breaks a limit.
    #[error(transparent)]
    Reject(#[from] Reject),
}

impl Skip {
    /// A short name from a closed set, for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Frame(_) => "malformed_frame",
            Self::NotAnObject => "not_an_object",
            Self::UnknownType(_) => "unknown_type",
            Self::Field(_) => "bad_field",
            Self::Reject(_) => "out_of_limits",
        }
    }
}
