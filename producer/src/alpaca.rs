//! Alpaca's stock stream.
//!
//! [`protocol`] is the conversation (welcome, authentication, subscription, errors) as a state machine without a socket;
//! [`frame`] takes a frame apart; [`element`] turns one element into an [`Event`](crate::event::Event); `scan` does both at once for
//! what nearly every frame holds.

pub mod element;
pub mod errors;
pub mod frame;
pub mod protocol;
pub mod rest;
mod scan;

pub use frame::Encoding;
pub use protocol::{Alpaca, AlpacaSettings, Authentication};
