//! Records on disk while Kafka is away: numbered segment files, appended to and synced, read in order, deleted when delivered.
//!
//! A record is `length u32, crc32 u32, stream u8, symbol length u8, symbol, JSON`, integers little-endian; length counts what follows the
//! checksum, and the checksum covers it. A segment that a crash cut short ends at its last whole record. A segment with a record that
//! cannot be read otherwise is set aside when the rest of it is delivered, for a person to look at (`segment`).

mod segment;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Write as _};
use std::path::{Path, PathBuf};

use crate::fanout::record::Encoded;
use anyhow::{Context as _, bail};

use self::segment::{Next, read_record, write_record};

/// A segment is closed when it has grown past this.
const SEGMENT_BYTES: u64 = 64 << 20;
const SUFFIX: &str = ".spool";
/// What a segment is called that was set aside.
const ASIDE_SUFFIX: &str = ".unreadable";
/// Segments that are kept aside; the oldest go first.
const ASIDE_MAX: usize = 8;

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
    sync_folder: fn(&Path) -> io::Result<()>,
    _lock: File,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    /// It holds records that could not be read.
    damaged: bool,
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
                let bytes = entry.metadata().with_context(advice)?.len();
                segments.push(Segment { number, bytes, damaged: false });
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
            sync_folder: |folder| File::open(folder)?.sync_all(),
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
            self.undo_append();
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

    /// Cuts off what a failed append left, so that a disk that stays full is not filled with one segment after the other.
    fn undo_append(&mut self) {
        let Some((tail, last)) = self.tail.as_mut().zip(self.segments.back()) else { return };
        if tail.set_len(last.bytes).is_err() {
            self.close_segment(); // it may end in half a record; what follows goes into a new one
        }
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
            let ended = *number;
            match read_record(reader)? {
                Next::Record(record) => {
                    records.push(record);
                    continue;
                }
                Next::Unreadable(why) => {
                    self.unreadable(ended, why);
                    continue;
                }
                Next::End => {}
            }
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
            let path = self.path(first.number);
            if first.damaged {
                fs::rename(&path, path.with_extension(&ASIDE_SUFFIX[1..]))?;
                self.forget_oldest_aside();
            } else {
                fs::remove_file(path)?;
            }
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
            self.next_number += 1; // whatever happens: a file that was only half made must not be in the way of the next attempt
            let file = OpenOptions::new().create_new(true).append(true).open(self.path(number))?;
            let synced = (self.sync_folder)(&self.folder); // the file's name has to survive a crash too
            if let Err(error) = synced {
                let _ = fs::remove_file(self.path(number)); // it is empty, and read as such where it stays
                return Err(error);
            }
            self.segments.push_back(Segment { number, bytes: 0, damaged: false });
            self.tail = Some(file);
        }
        self.tail.as_mut().ok_or_else(|| io::Error::other("no open segment"))
    }

    /// Counts a record that cannot be read, and says so once a segment.
    fn unreadable(&mut self, number: u64, why: &'static str) {
        metrics::counter!("producer_spool_unreadable_total").increment(1);
        let Some(segment) = self.segments.iter_mut().find(|segment| segment.number == number) else { return };
        if !std::mem::replace(&mut segment.damaged, true) {
            let path = self.path(number).with_extension(&ASIDE_SUFFIX[1..]);
            tracing::error!(why, segment = number, set_aside = %path.display(), "a spooled record cannot be read; the rest of its segment is sent");
        }
    }

    /// Keeps the folder bounded.
    fn forget_oldest_aside(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut aside: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|end| end == &ASIDE_SUFFIX[1..])).collect();
        aside.sort_unstable();
        for path in aside.iter().rev().skip(ASIDE_MAX) {
            let _ = fs::remove_file(path);
        }
    }

    fn open_segment(&self, number: u64) -> io::Result<(u64, BufReader<File>)> {
        Ok((number, BufReader::with_capacity(1 << 20, File::open(self.path(number))?)))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:012}{SUFFIX}"))
    }
}

#[cfg(test)]
mod tests {
    use market::Symbol;

    use super::*;
    use crate::fanout::record::Stream;

    fn record(at: usize) -> Encoded {
        let stream = if at.is_multiple_of(3) { Stream::Bars } else { Stream::Trades };
        Encoded {
            stream,
            feed: None,
            symbol: Symbol::new("AAPL").unwrap(),
            ts_ns: 0,
            heard_ns: None,
            seq: 0,
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
    fn a_record_that_cannot_be_read_costs_itself_only_and_its_segment_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        append(&mut spool, 0..3);
        let path = folder.path().join("000000000001.spool");
        let whole = fs::read(&path).unwrap();
        // A stream of a newer version under a good checksum, between two whole records.
        let mut strange = vec![99, 1, b'A', b'{', b'}'];
        let checksum = crc32fast::hash(&strange);
        let mut bytes = whole.clone();
        bytes.extend(5_u32.to_le_bytes());
        bytes.extend(checksum.to_le_bytes());
        bytes.append(&mut strange);
        bytes.extend(&whole);
        fs::write(&path, &bytes).unwrap();
        spool.close_segment();
        append(&mut spool, 3..5);

        let mut wanted = expected(0..3);
        wanted.extend(expected(0..3));
        wanted.extend(expected(3..5));
        assert_eq!(texts(&spool.read(100).unwrap()), wanted);
        spool.clear().unwrap();
        assert!(spool.is_empty() && !path.exists());
        assert_eq!(fs::read(path.with_extension("unreadable")).unwrap(), bytes);
    }

    #[test]
    fn a_flipped_bit_costs_one_record() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        append(&mut spool, 0..9);
        let path = folder.path().join("000000000001.spool");
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(&path, &bytes).unwrap();
        let read = texts(&spool.read(100).unwrap());
        assert_eq!(read.len(), 8, "{read:?}");
    }

    #[test]
    fn a_failed_attempt_to_make_a_segment_is_not_in_the_way_of_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        let works = std::mem::replace(&mut spool.sync_folder, |_| Err(io::Error::other("injected")));
        let records: Vec<Encoded> = (0..3).map(record).collect();
        for _ in 0..3 {
            assert!(spool.append(&records).is_err());
        }
        assert!(spool.is_empty());
        spool.sync_folder = works;
        fs::write(folder.path().join("000000000004.spool"), []).unwrap(); // left by something else
        assert!(spool.append(&records).is_err());
        append(&mut spool, 0..3);
        assert_eq!(texts(&spool.read(100).unwrap()), expected(0..3));
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
