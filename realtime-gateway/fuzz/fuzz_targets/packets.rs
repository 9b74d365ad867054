//! The first byte picks the reader, the rest is what came from outside. Nothing may panic or overflow the stack, and WebSocket messages
//! must not depend on how the bytes were cut on their way.

#![no_main]

use libfuzzer_sys::fuzz_target;
use realtime_gateway::subscriptions::contract::read_request;
use realtime_gateway::records::feed_state::FeedState;
use realtime_gateway::records::payload::read_header;
use realtime_gateway::redis::reply;
use realtime_gateway::dialects::socketio::packet::{read_msgpack, read_text};
use realtime_gateway::records::frame::{Incoming, Reader, Violation};

const MESSAGE_BYTES_MAX: usize = 1_000;

fuzz_target!(|input: &[u8]| {
    let Some((reader, bytes)) = input.split_first() else { return };
    match reader % 6 {
        0 => drop(std::str::from_utf8(bytes).map(read_text)),
        1 => drop(read_msgpack(bytes)),
        2 => {
            let whole = messages([bytes]);
            assert_eq!(whole, messages(bytes.chunks(1)), "one byte at a time");
        }
        3 => {
            let header = read_header(bytes);
            assert!(header.is_err() || serde_json::from_slice::<serde_json::Value>(bytes).is_ok() || out_of_f64(bytes));
            FeedState::read(bytes).carried();
        }
        4 => drop(serde_json::from_slice(bytes).map(|request| read_request(&request))),
        _ => {
            let mut rest = bytes;
            while let Ok(Some((_, length))) = reply::read(rest) {
                rest = &rest[length..];
            }
        }
    }
});

/// A full parser also refuses numbers that no `f64` holds, such as `1e999`.
fn out_of_f64(bytes: &[u8]) -> bool {
    serde_json::from_slice::<&serde_json::value::RawValue>(bytes).is_ok()
}

fn messages<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Incoming>, Option<Violation>) {
    let mut reader = Reader::default();
    let mut all = Vec::new();
    for piece in pieces {
        reader.feed(piece);
        loop {
            match reader.next(MESSAGE_BYTES_MAX) {
                Ok(Some(message)) => all.push(message),
                Ok(None) => break,
                Err(violation) => return (all, Some(violation)),
            }
        }
    }
    (all, None)
}
