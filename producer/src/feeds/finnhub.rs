//! Finnhub's trade stream: no welcome, no acknowledgements, no ids, no bars.
//!
//! [`protocol`] is the conversation; [`frame`] takes a frame apart; [`occurrences`](crate::feeds::occurrences) gives trades the ids that the feed does not;
//! [`symbol`] maps names, [`conditions`] the numbers of sale conditions; [`rest`] reads candles.

pub mod conditions;
pub mod frame;
pub mod protocol;
pub mod rest;
pub mod symbol;

pub use protocol::{Finnhub, FinnhubSettings};
