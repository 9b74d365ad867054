//! The market's vocabulary, and nothing that touches the world: no clock, no socket, no file.
//!
//! Values of these types are valid by construction. A [`Trade`], [`Bar`] or [`Quote`] can only be made
//! through a constructor that checks it, so the stages behind that door never check again.
//!
//! | module | holds |
//! | --- | --- |
//! | [`symbol`] | [`Symbol`], [`Source`]: names of instruments and of feeds, and the one door for them |
//! | [`record`] | [`Trade`], [`Bar`], [`Quote`], [`Position`] and the limits they keep |
//! | [`reject`] | [`Reject`]: why a value is refused |
//! | [`wire`] | records to and from the JSON that Redis, Kafka and the browser see |
//! | [`timeframe`] | [`Timeframe`] and where its bars start |
//! | [`calendar`] | sessions, holidays and early closes of the US stock market |
//! | [`conditions`] | which sale condition lets a trade move which field of a bar |
//! | [`bar_builder`] | trades to bars |
//! | [`correction`] | [`Correction`]: a trade that does not hold as it was reported |
//! | [`gap`] | [`Gap`]: an outage, admitted |
//! | [`sent`] | [`SentReport`]: how many trades the producer numbered |
//! | [`availability`] | [`Availability`]: a symbol that a feed does not carry, or carries again |

pub mod availability;
pub mod bar_builder;
pub mod calendar;
pub mod conditions;
pub mod correction;
pub mod gap;
pub mod record;
pub mod reject;
pub mod sent;
pub mod symbol;
pub mod timeframe;
pub mod wire;

pub use availability::Availability;
pub use bar_builder::BarBuilder;
pub use correction::{Correction, Outcome, VoidTrade};
pub use gap::Gap;
pub use record::{Bar, Conditions, Position, Quote, Side, Trade};
pub use reject::Reject;
pub use sent::{Sent, SentReport};
pub use symbol::{Source, Symbol};
pub use timeframe::Timeframe;

/// Nanoseconds in a millisecond.
pub const NS_PER_MS: i64 = 1_000_000;
/// Milliseconds in a second.
pub const MS_PER_SECOND: i64 = 1_000;
/// Milliseconds in a minute.
pub const MS_PER_MINUTE: i64 = 60_000;
