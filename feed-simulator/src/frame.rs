//! One data frame: messages that leave together, encoded at most once per encoding however many clients read them.

use std::sync::OnceLock;

use bytes::Bytes;
use tokio::time::Instant;

use crate::message::Message;
use crate::symbols::SymbolTable;
use crate::wire::{Encoding, msgpack, write_element};

/// Messages that are sent as one array.
#[derive(Debug)]
pub struct Frame {
    messages: Vec<Message>,
    published: Instant,
    json: OnceLock<Encoded>,
    msgpack: OnceLock<Encoded>,
}

/// All messages as one array, and where each element lies in it.
#[derive(Debug)]
struct Encoded {
    bytes: Bytes,
    elements: Vec<(usize, usize)>,
}

impl Frame {
    /// A frame that is published now.
    #[must_use]
    pub fn new(messages: Vec<Message>) -> Self {
        Self { messages, published: Instant::now(), json: OnceLock::new(), msgpack: OnceLock::new() }
    }

    /// What it holds.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// When it was published.
    #[must_use]
    pub fn published(&self) -> Instant {
        self.published
    }

    /// The whole frame as bytes.
    pub fn bytes(&self, encoding: Encoding, symbols: &SymbolTable) -> Bytes {
        self.encoded(encoding, symbols).bytes.clone()
    }

    /// The frame with only the messages at `chosen` (ascending), as bytes.
    pub fn selected(&self, encoding: Encoding, symbols: &SymbolTable, chosen: &[usize]) -> Bytes {
        let encoded = self.encoded(encoding, symbols);
        if chosen.len() == self.messages.len() {
            return encoded.bytes.clone();
        }
        let mut out = Vec::with_capacity(chosen.len() * 160 + 8);
        let elements = chosen.iter().map(|&at| {
            let (start, end) = encoded.elements[at];
            &encoded.bytes[start..end]
        });
        match encoding {
            Encoding::Json => {
                for element in elements {
                    out.push(if out.is_empty() { b'[' } else { b',' });
                    out.extend_from_slice(element);
                }
                out.push(b']');
            }
            Encoding::Msgpack => {
                msgpack::write_array_header(chosen.len(), &mut out);
                elements.for_each(|element| out.extend_from_slice(element));
            }
        }
        out.into()
    }

    fn encoded(&self, encoding: Encoding, symbols: &SymbolTable) -> &Encoded {
        let cell = match encoding {
            Encoding::Json => &self.json,
            Encoding::Msgpack => &self.msgpack,
        };
        cell.get_or_init(|| encode(&self.messages, encoding, symbols))
    }
}

fn encode(messages: &[Message], encoding: Encoding, symbols: &SymbolTable) -> Encoded {
    let mut out = Vec::with_capacity(messages.len() * 160 + 8);
    let mut elements = Vec::with_capacity(messages.len());
    if encoding == Encoding::Msgpack {
        msgpack::write_array_header(messages.len(), &mut out);
    }
    for (at, message) in messages.iter().enumerate() {
        if encoding == Encoding::Json {
            out.push(if at == 0 { b'[' } else { b',' });
        }
        let start = out.len();
        write_element(encoding, message, symbols, &mut out);
        elements.push((start, out.len()));
    }
    if encoding == Encoding::Json {
        out.push(b']');
    }
    Encoded { bytes: out.into(), elements }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Luld, Message};

    #[test]
    fn a_selection_is_an_array_of_just_those_messages() {
        let symbols = SymbolTable::new(["A", "B", "C"]);
        let messages: Vec<Message> =
            (0..3).map(|symbol| Message::Luld(Luld { symbol, ts_ns: 0, up: 10_000, down: 5_000 })).collect();
        let frame = Frame::new(messages);
        for chosen in [vec![0, 1, 2], vec![1], vec![0, 2]] {
            let json = frame.selected(Encoding::Json, &symbols, &chosen);
            let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
            let names: Vec<&str> = value.as_array().unwrap().iter().map(|item| item["S"].as_str().unwrap()).collect();
            let expected: Vec<&str> = chosen.iter().map(|&at| ["A", "B", "C"][at]).collect();
            assert_eq!(names, expected);

            let packed = frame.selected(Encoding::Msgpack, &symbols, &chosen);
            let value = rmpv::decode::read_value(&mut packed.as_ref()).unwrap();
            assert_eq!(value.as_array().unwrap().len(), chosen.len());
        }
        assert_eq!(frame.bytes(Encoding::Json, &symbols), frame.selected(Encoding::Json, &symbols, &[0, 1, 2]));
    }
}
