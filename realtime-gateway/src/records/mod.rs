//! What a record is: its stream, symbol and position, its JSON, and its bytes for each kind of client. No I/O.
//!
//! [`payload`] lets only valid records in; [`batch`] holds them, [`encoding`] writes them once for every kind of client.

pub mod batch;
pub mod channel;
pub mod encoding;
pub mod event;
pub mod feed_state;
pub mod frame;
pub mod payload;
