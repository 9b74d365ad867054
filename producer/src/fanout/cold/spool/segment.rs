//! Records as bytes of a segment file.

use std::io::{self, Read};

use market::Symbol;

use crate::fanout::record::{Encoded, Stream};

/// Length and checksum.
const HEADER_BYTES: usize = 8;
/// Longest record that is believed when reading.
const RECORD_BYTES_MAX: usize = 16 << 20;

/// What comes next in a segment.
pub(super) enum Next {
    /// A record.
    Record(Encoded),
    /// Something that is not a record of ours; what follows it may be.
    Unreadable(&'static str),
    /// Nothing: the file ends, in a whole record or where a crash tore it.
    End,
}

/// Appends a record.
pub(super) fn write_record(record: &Encoded, out: &mut Vec<u8>) {
    let symbol = record.symbol.as_bytes();
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    out.push(record.stream as u8);
    out.push(u8::try_from(symbol.len()).unwrap_or(u8::MAX)); // a symbol has 32 bytes at most
    out.extend_from_slice(symbol);
    out.extend_from_slice(&record.json);
    let body = start + HEADER_BYTES;
    let length = u32::try_from(out.len() - body).unwrap_or(u32::MAX); // a record has a few hundred bytes
    let checksum = crc32fast::hash(&out[body..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..body].copy_from_slice(&checksum.to_le_bytes());
}

/// Reads what comes next.
///
/// # Errors
/// Where the disk refuses.
pub(super) fn read_record(reader: &mut impl Read) -> io::Result<Next> {
    let mut header = [0; HEADER_BYTES];
    if !fill(reader, &mut header)? {
        return Ok(Next::End);
    }
    let [l0, l1, l2, l3, c0, c1, c2, c3] = header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length == 0 {
        return Ok(Next::End); // a crash may leave zeros where data was to come
    }
    if length > RECORD_BYTES_MAX {
        // Nothing says where the next record begins. The reader is at its end from now on: what it reads is no header either.
        io::copy(reader, &mut io::sink())?;
        return Ok(Next::Unreadable("its length is beyond reason, and what follows it in the segment cannot be found"));
    }
    let mut body = vec![0; length];
    if !fill(reader, &mut body)? {
        tracing::warn!("a spool segment ends in a torn record; everything before it is whole");
        return Ok(Next::End);
    }
    if crc32fast::hash(&body) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Ok(Next::Unreadable("its checksum is wrong"));
    }
    Ok(parse_body(&body).map_or(Next::Unreadable("it is not a record that this version knows"), Next::Record))
}

fn parse_body(body: &[u8]) -> Option<Encoded> {
    let (&[stream, symbol_length], rest) = body.split_first_chunk::<2>()?;
    let (symbol, json) = rest.split_at_checked(usize::from(symbol_length))?;
    let stream = Stream::ALL.into_iter().find(|known| *known as u8 == stream)?;
    let symbol = Symbol::stored(std::str::from_utf8(symbol).ok()?).ok()?;
    Some(Encoded {
        stream,
        feed: None,
        symbol,
        ts_ns: 0,
        heard_ns: None,
        seq: 0,
        json: bytes::Bytes::copy_from_slice(json),
    })
}

/// Fills the buffer; `false` where the file ends first.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
