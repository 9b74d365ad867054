//! Alpaca's stock stream.
//!
//! [`protocol`] is the conversation (welcome, authentication, subscription, errors) as a state machine without a socket,
//! with what a person decides about it in [`settings`].
//! [`frame`] takes a frame apart; [`element`] tells what each element is: part of the conversation ([`control`]) or a record (`wire`),
//! which becomes an [`Event`](crate::feeds::event::Event). `scan` does all of that at once for what nearly every frame holds.
//! [`rest`] reads the same records from the history.

pub mod control;
pub mod element;
pub mod errors;
pub mod frame;
pub mod protocol;
pub mod rest;
mod scan;
pub mod settings;
mod wire;

pub use frame::Encoding;
pub use protocol::Alpaca;
pub use settings::{AlpacaSettings, Authentication};
