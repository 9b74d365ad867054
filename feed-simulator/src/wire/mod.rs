//! Messages to bytes: JSON and msgpack exactly as Alpaca writes them.

pub mod json;
pub mod msgpack;
pub mod text;

use crate::message::Message;
use crate::symbols::SymbolTable;

/// The encoding that a client chose at the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Text frames (default).
    Json,
    /// Binary frames, chosen by `Content-Type: application/msgpack`.
    Msgpack,
}

impl Encoding {
    /// As the statistics name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Msgpack => "msgpack",
        }
    }
}

/// Appends one data message to `out`.
pub fn write_element(encoding: Encoding, message: &Message, symbols: &SymbolTable, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Json => json::write_element(message, symbols, out),
        Encoding::Msgpack => msgpack::write_element(message, symbols, out),
    }
}
