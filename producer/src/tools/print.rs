//! Events as JSON lines.

use std::io::{self, Write};

use market::wire;
use serde_json::json;

use crate::feeds::event::Event;

/// Writes one event as one line: a record as it travels, without a position; `{"skipped":…,"detail":…}` for an element that became none;
/// `{"other":…}` for one that carries nothing this system stores. `frame` counts from 1.
///
/// # Errors
/// Where `out` cannot be written.
pub fn line(event: &Event, frame: u64, out: &mut impl Write) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(512);
    match event {
        Event::Trade(trade) => wire::encode_trade(trade, None, &mut bytes),
        Event::Bar(bar) => wire::encode_bar(bar, None, &mut bytes),
        Event::Quote(quote) => wire::encode_quote(quote, None, &mut bytes),
        Event::Correction(correction) => wire::encode_correction(correction, None, &mut bytes),
        Event::Halt(..) => serde_json::to_writer(&mut bytes, &json!({"other": "status", "frame": frame}))?,
        Event::Other(kind) => serde_json::to_writer(&mut bytes, &json!({"other": kind, "frame": frame}))?,
        Event::Skipped(skip) => {
            let detail = skip.to_string();
            let line = json!({"skipped": skip.reason(), "detail": detail, "frame": frame});
            serde_json::to_writer(&mut bytes, &line)?;
        }
    }
    bytes.push(b'\n');
    out.write_all(&bytes)
}
