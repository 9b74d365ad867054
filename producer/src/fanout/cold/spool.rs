//! Records on disk while Kafka is away: numbered segment files, appended to and synced, read in order, deleted when delivered.
//!
//! A record is `length u32, crc32 u32, stream u8, symbol length u8, symbol, JSON`, integers little-endian; length counts what follows the
//! checksum, and the checksum covers it. A segment that a crash cut short ends at its last whole record.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use market::Symbol;

use crate::fanout::record::{Encoded, Stream};

/// A segment is closed when it has grown past this.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Length and checksum.
const HEADER_BYTES: usize = 8;
/// Longest record that is believed when reading.
const RECORD_BYTES_MAX: usize = 16 << 20;
const SUFFIX: &str = ".spool";

/// A queue on disk.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    bytes_max: u64,
    segments: VecDeque<Segment>,
    tail: Option<File>,
    /// The segment being read, by number.
    reader: Option<(u64, BufReader<File>)>,
    next_number: u64,
    _lock: File,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
}

impl Spool {
    /// Opens a folder, made where it is missing, with whatever an earlier run left there.
    ///
    /// # Errors
    /// Where the folder cannot be used or another producer uses it.
    pub fn open(folder: &Path, bytes_max: u64) -> anyhow::Result<Self> {
        let advice =
            || format!("cannot use {} for the spool: set SPOOL_DIR to a folder that can be written", folder.display());
        fs::create_dir_all(folder).with_context(advice)?;
        let lock = File::create(folder.join("lock")).with_context(advice)?;
        if lock.try_lock().is_err() {
            bail!("another producer uses the spool in {}: give each its own SPOOL_DIR", folder.display());
        }
        let mut segments = Vec::new();
        for entry in fs::read_dir(folder).with_context(advice)? {
            let entry = entry.with_context(advice)?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).and_then(|stem| stem.parse().ok());
            if let Some(number) = number {
                segments.push(Segment { number, bytes: entry.metadata().with_context(advice)?.len() });
            }
        }
        segments.sort_by_key(|segment| segment.number);
        let next_number = segments.last().map_or(1, |segment| segment.number + 1);
        Ok(Self {
            folder: folder.to_owned(),
            bytes_max,
            segments: segments.into(),
            tail: None,
            reader: None,
            next_number,
            _lock: lock,
        })
    }

    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Whether there is no segment at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Appends records and syncs them to disk. Returns how many found room; the rest must be offered again.
    ///
    /// # Errors
    /// Where the disk refuses. What was written before stays readable; nothing of this call counts as written.
    pub fn append<'a>(&mut self, records: impl IntoIterator<Item = &'a Encoded>) -> io::Result<usize> {
        let room = self.bytes_max.saturating_sub(self.bytes());
        let mut buffer = Vec::new();
        let mut count = 0;
        for record in records {
            if (buffer.len() + record.json.len()) as u64 + 64 > room {
                break;
            }
            write_record(record, &mut buffer);
            count += 1;
        }
        if count == 0 {
            return Ok(0);
        }
        let written = self.tail().and_then(|tail| tail.write_all(&buffer).and_then(|()| tail.sync_data()));
        if let Err(error) = written {
            self.close_segment(); // it may end in half a record; what follows goes into a new one
            return Err(error);
        }
        if let Some(last) = self.segments.back_mut() {
            last.bytes += buffer.len() as u64;
            if last.bytes >= SEGMENT_BYTES {
                self.close_segment();
            }
        }
        Ok(count)
    }

    /// Ends the present segment and returns the number of the next one: what was appended so far is in segments below it.
    pub fn close_segment(&mut self) -> u64 {
        self.tail = None;
        self.next_number
    }

    /// Reads up to `max` records from where the last read ended. An empty answer means that everything was read.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn read(&mut self, max: usize) -> io::Result<Vec<Encoded>> {
        let mut records = Vec::new();
        while records.len() < max {
            let Some((number, reader)) = &mut self.reader else {
                let Some(first) = self.segments.front() else { break };
                self.reader = Some(self.open_segment(first.number)?);
                continue;
            };
            if let Some(record) = read_record(reader)? {
                records.push(record);
                continue;
            }
            let ended = *number;
            let Some(next) = self.segments.iter().find(|segment| segment.number > ended) else { break };
            self.reader = Some(self.open_segment(next.number)?);
        }
        Ok(records)
    }

    /// Deletes the segments that were read to their end. Call it when all that was read has been delivered.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn release(&mut self) -> io::Result<()> {
        match &self.reader {
            Some((number, _)) => self.discard_below(*number),
            None => Ok(()),
        }
    }

    /// Deletes everything. Call it when [`Spool::read`] came back empty and all was delivered.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn clear(&mut self) -> io::Result<()> {
        self.reader = None;
        let end = self.close_segment();
        self.discard_below(end)
    }

    /// Deletes all segments below a number, read or not.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn discard_below(&mut self, number: u64) -> io::Result<()> {
        while let Some(first) = self.segments.front().filter(|first| first.number < number) {
            fs::remove_file(self.path(first.number))?;
            self.segments.pop_front();
        }
        if self.reader.as_ref().is_some_and(|(reading, _)| *reading < number) {
            self.reader = None;
        }
        Ok(())
    }

    fn tail(&mut self) -> io::Result<&mut File> {
        if self.tail.is_none() {
            let number = self.next_number;
            let file = OpenOptions::new().create_new(true).append(true).open(self.path(number))?;
            File::open(&self.folder)?.sync_all()?; // the file's name has to survive a crash too
            self.next_number += 1;
            self.segments.push_back(Segment { number, bytes: 0 });
            self.tail = Some(file);
        }
        self.tail.as_mut().ok_or_else(|| io::Error::other("no open segment"))
    }

    fn open_segment(&self, number: u64) -> io::Result<(u64, BufReader<File>)> {
        Ok((number, BufReader::with_capacity(1 << 20, File::open(self.path(number))?)))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:012}{SUFFIX}"))
    }
}

fn write_record(record: &Encoded, out: &mut Vec<u8>) {
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

/// The next whole record; `None` at the end of the file and where a crash tore it.
fn read_record(reader: &mut impl Read) -> io::Result<Option<Encoded>> {
    let mut header = [0; HEADER_BYTES];
    if !fill(reader, &mut header)? {
        return Ok(None);
    }
    let [l0, l1, l2, l3, c0, c1, c2, c3] = header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let mut body = vec![0; length.min(RECORD_BYTES_MAX)];
    if length > RECORD_BYTES_MAX
        || !fill(reader, &mut body)?
        || crc32fast::hash(&body) != u32::from_le_bytes([c0, c1, c2, c3])
    {
        tracing::warn!("a spool segment ends in a torn record; everything before it is whole");
        return Ok(None);
    }
    Ok(parse_body(&body))
}

fn parse_body(body: &[u8]) -> Option<Encoded> {
    let (&[stream, symbol_length], rest) = body.split_first_chunk::<2>()?;
    let (symbol, json) = rest.split_at_checked(usize::from(symbol_length))?;
    let stream = Stream::ALL.into_iter().find(|known| *known as u8 == stream)?;
    let symbol = Symbol::stored(std::str::from_utf8(symbol).ok()?).ok()?;
    Some(Encoded { stream, feed: None, symbol, ts_ns: 0, json: bytes::Bytes::copy_from_slice(json) })
}

/// Fills the buffer; `false` where the file ends first.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: usize) -> Encoded {
        let stream = if at.is_multiple_of(3) { Stream::Bars } else { Stream::Trades };
        Encoded {
            stream,
            feed: None,
            symbol: Symbol::new("AAPL").unwrap(),
            ts_ns: 0,
            json: format!(r#"{{"at":{at}}}"#).into(),
        }
    }

    fn texts(records: &[Encoded]) -> Vec<String> {
        records.iter().map(|record| String::from_utf8(record.json.to_vec()).unwrap()).collect()
    }

    fn expected(range: std::ops::Range<usize>) -> Vec<String> {
        range.map(|at| format!(r#"{{"at":{at}}}"#)).collect()
    }

    fn append(spool: &mut Spool, range: std::ops::Range<usize>) {
        let records: Vec<Encoded> = range.map(record).collect();
        assert_eq!(spool.append(&records).unwrap(), records.len());
    }

    #[test]
    fn records_come_back_in_order_also_while_more_are_appended() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        append(&mut spool, 0..10);
        assert_eq!(texts(&spool.read(4).unwrap()), expected(0..4));
        append(&mut spool, 10..20);
        spool.close_segment();
        append(&mut spool, 20..30);
        assert_eq!(texts(&spool.read(100).unwrap()), expected(4..30));
        assert!(spool.read(100).unwrap().is_empty());
        append(&mut spool, 30..31);
        let last = spool.read(100).unwrap();
        assert_eq!((texts(&last), last[0].stream), (expected(30..31), Stream::Bars));
        spool.clear().unwrap();
        assert!(spool.is_empty() && spool.bytes() == 0);
    }

    #[test]
    fn a_new_run_finds_what_the_last_one_left_and_a_torn_end_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        append(&mut spool, 0..5);
        drop(spool);
        let segment = folder.path().join("000000000001.spool");
        let length = fs::metadata(&segment).unwrap().len();
        OpenOptions::new().write(true).open(&segment).unwrap().set_len(length - 3).unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        append(&mut spool, 5..7);
        let mut wanted = expected(0..4);
        wanted.extend(expected(5..7));
        assert_eq!(texts(&spool.read(100).unwrap()), wanted);
    }

    #[test]
    fn a_full_spool_says_how_much_it_took() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 400).unwrap();
        let records: Vec<Encoded> = (0..100).map(record).collect();
        let taken = spool.append(&records).unwrap();
        assert!(taken > 0 && taken < 100 && spool.bytes() <= 400);
        assert_eq!(spool.append(&records[taken..]).unwrap(), 0);
        assert_eq!(texts(&spool.read(100).unwrap()), expected(0..taken));
    }

    #[test]
    fn copies_can_be_discarded_without_reading_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        append(&mut spool, 0..5);
        let end_of_copies = spool.close_segment();
        append(&mut spool, 5..8);
        spool.discard_below(end_of_copies).unwrap();
        assert_eq!(texts(&spool.read(100).unwrap()), expected(5..8));
        spool.release().unwrap();
        assert!(!spool.is_empty(), "the segment that is still written stays");
    }

    #[test]
    fn two_producers_cannot_share_a_spool() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Spool::open(folder.path(), 1 << 20).unwrap();
        let error = Spool::open(folder.path(), 1 << 20).unwrap_err().to_string();
        assert!(error.contains("SPOOL_DIR"), "{error}");
    }
}
