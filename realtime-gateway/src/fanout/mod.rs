//! The fan-out: from one record to everybody who wants it. Knows no transport and, apart from one non-blocking write, no I/O.
//!
//! [`payload`] lets valid records in, [`batch`] holds them encoded once for everybody, [`hub`] knows who follows what, [`outbox`]
//! bounds what one client can owe, `flush` writes to all, [`log`] remembers for those who come back, [`contract`] reads what clients ask for.

pub mod batch;
pub mod channel;
pub mod client;
pub mod contract;
pub mod encoding;
pub mod event;
pub mod feed_state;
mod flush;
pub mod gate;
pub mod hub;
pub mod log;
pub mod outbox;
pub mod payload;
pub mod symbol;
