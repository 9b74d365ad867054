//! A server that speaks Alpaca's stream and REST protocols: a seeded synthetic market or the replay of recorded days, and faults on demand.
//!
//! ```text
//! synthetic ─┐                    ┌─▶ tape ──▶ rest
//!            ├─▶ source ─▶ engine ┤
//! replay ────┘            (pacing)└─▶ faults ─▶ hub ─▶ session (one a connection) ─▶ wire
//! ```
//!
//! Sources are pure functions of their settings in virtual time ([`source`]); the [`engine`] maps that to the clock, writes everything
//! into the [`tape`] before any client sees it, and hands frames to the [`hub`]. Each [`session`] picks what its client subscribed to.

pub mod app;
pub mod bars;
pub mod conditions;
pub mod control;
pub mod counts;
pub mod dice;
pub mod engine;
pub mod faults;
pub mod frame;
pub mod hours;
pub mod hub;
pub mod message;
pub mod options;
pub mod pacing;
pub mod protocol;
pub mod rate_limit;
pub mod recording;
pub mod replay;
pub mod rest;
mod server;
pub mod session;
pub mod source;
mod start;
pub mod symbols;
pub mod synthetic;
pub mod tape;
pub mod units;
pub mod venue;
pub mod wire;

pub use options::{Options, Settings};
pub use start::{Simulator, start};
