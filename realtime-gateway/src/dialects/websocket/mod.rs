//! Our own WebSocket transport: a few hundred bytes per idle connection, one write per client and batch.
//!
//! [`handshake`] takes a connection over from the HTTP server, [`connection`] reads it and ends it, [`crate::records::frame`] knows the bytes. What is
//! said on it is a [`Conversation`]; the hub writes records past all of them straight to the socket.

pub mod connection;
pub mod handshake;
pub mod plain;

use std::time::Instant;

use crate::delivery::client::Cut;

/// What is said on a connection, whatever carries it.
pub trait Conversation: Send + 'static {
    /// The client sent a text.
    ///
    /// # Errors
    /// [`Cut`] ends the connection.
    fn text(&mut self, text: &str) -> Result<(), Cut>;

    /// The client sent bytes.
    ///
    /// # Errors
    /// [`Cut`] ends the connection.
    fn binary(&mut self, bytes: &[u8]) -> Result<(), Cut>;

    /// When the connection is to end unless something happens before.
    fn deadline(&self) -> Option<Instant>;

    /// The connection is over.
    fn closed(&mut self, reason: Cut);
}
