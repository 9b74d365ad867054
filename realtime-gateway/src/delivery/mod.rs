//! The way out: one bounded outbox per client, and one system call per client and batch.

pub mod budget;
pub mod client;
pub(crate) mod flush;
pub mod outbox;
mod piece;
