//! Alpaca's stock stream.
//!
//! [`protocol`] is the conversation (welcome, authentication, subscription, errors) as a state machine without a socket;
//! [`frame`] takes a frame apart; [`element`] turns one element into an [`Event`](crate::event::Event).

pub mod element;
pub mod errors;
pub mod frame;
pub mod protocol;
pub mod rest;

pub use frame::Encoding;
pub use protocol::{Alpaca, AlpacaSettings, Authentication};
