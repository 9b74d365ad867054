//! Massive's stock stream, formerly Polygon's.
//!
//! [`protocol`] is the conversation; [`frame`] takes a frame apart; [`element`] turns one element into an event; [`codes`] holds the
//! tables of exchanges and tapes; [`symbol`] maps names; [`rest`] reads the history.

pub mod codes;
pub mod element;
pub mod frame;
pub mod protocol;
pub mod rest;
pub mod symbol;

pub use protocol::{Massive, MassiveSettings};
