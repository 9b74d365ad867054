//! What a feed adapter makes of a frame: valid records, and a reason for each element that is not valid.

use market::{Bar, Correction, MS_PER_MINUTE, NS_PER_MS, Quote, Reject, Symbol, Timeframe, Trade};

/// One element of a frame, past the only door.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A trade on the tape.
    Trade(Trade),
    /// A bar, forming or final.
    Bar(Bar),
    /// Best bid and offer.
    Quote(Quote),
    /// A trade is void, and perhaps another holds in its place. Boxed because it is rare and large.
    Correction(Box<Correction>),
    /// A symbol is halted, or trades again.
    Halt(Symbol, bool),
    /// An element that carries nothing this system stores, such as a trading status; named for the counters.
    Other(&'static str),
    /// An element that could not become a record.
    Skipped(Skip),
}

impl Event {
    /// The time of what comes as it happens, in Unix nanoseconds: a trade, a quote, a bar at its end.
    #[must_use]
    pub fn stamp_ns(&self) -> Option<i64> {
        match self {
            Self::Trade(trade) => Some(trade.ts_ns),
            Self::Quote(quote) => Some(quote.ts_ns),
            Self::Bar(bar) if bar.timeframe == Timeframe::MINUTE => {
                Some(bar.start_ms.saturating_add(MS_PER_MINUTE).saturating_mul(NS_PER_MS))
            }
            _ => None,
        }
    }
}

/// One element of a frame: data for the pipeline, or part of the conversation (`C`, which differs from feed to feed).
#[derive(Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every element is an event; a box would cost each of them an allocation"
)]
pub enum Element<C> {
    /// Data, or the reason why it is none.
    Event(Event),
    /// Part of the conversation.
    Control(C),
}

impl<C> Element<C> {
    /// An element that was skipped.
    #[must_use]
    pub fn skipped(skip: Skip) -> Self {
        Self::Event(Event::Skipped(skip))
    }
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
