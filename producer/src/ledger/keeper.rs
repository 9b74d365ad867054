//! The thread that writes the ledger and reports from it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use market::{SentReport, Symbol};
use service::Part;

use super::entry::Cells;
use super::files::Files;
use super::{Ledger, Waiting};
use crate::fanout::cold::Cold;
use crate::fanout::record::{Encoded, Stream};

/// How often a report is made.
const INTERVAL: Duration = Duration::from_secs(5);
/// Reports that may wait for their records to be safe, on disk and in memory: three quarters of an hour with Kafka away and the spool full.
const UNSENT_MAX: usize = 500;
/// Kafka key of all reports, so that they are in one partition.
const KEY: &str = "producer";

/// Owns the files of this run.
pub struct Keeper {
    ledger: Ledger,
    files: Files,
    part: Part,
    outbox: Outbox,
    epoch: i64,
    /// The report that is being counted.
    report: u64,
    file: Option<File>,
    /// Its file could not be written: what follows would not join what is there.
    broken: bool,
    cells: Cells,
    uncounted: u64,
}

/// Reports that wait for their records to be safe. Clones share it.
#[derive(Clone)]
struct Outbox {
    cold: Cold,
    files: Files,
    unsent: Arc<Mutex<Unsent>>,
}

/// By epoch and number.
type Unsent = BTreeMap<(i64, u64), Vec<Encoded>>;

impl Outbox {
    /// Sends a report once everything that was accepted so far is safe.
    fn send_when_safe(&self, epoch: i64, report: u64, records: Vec<Encoded>) {
        self.unsent().insert((epoch, report), records);
        let outbox = self.clone();
        self.cold.when_safe(move || outbox.send_up_to((epoch, report)));
    }

    fn send_up_to(&self, limit: (i64, u64)) {
        let due = {
            let mut unsent = self.unsent();
            let mut later = unsent.split_off(&limit);
            unsent.extend(later.remove_entry(&limit));
            std::mem::replace(&mut *unsent, later)
        };
        for ((epoch, report), mut records) in due {
            self.cold.accept(&mut records);
            metrics::counter!("producer_ledger_reports_total").increment(1);
            let files = self.files.clone();
            self.cold.when_safe(move || files.remove(epoch, report));
        }
    }

    fn unsent(&self) -> MutexGuard<'_, Unsent> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    /// Opens the folder and sends what earlier runs left there. `epoch`: this run.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn open(folder: PathBuf, epoch: i64, cold: Cold, part: Part) -> anyhow::Result<(Ledger, Self)> {
        let advice =
            || format!("cannot use {} for the ledger: set SPOOL_DIR to a folder that can be written", folder.display());
        let files = Files::open(folder.clone()).with_context(advice)?;
        let outbox = Outbox { cold, files: files.clone(), unsent: Arc::default() };
        for parts in files.left().with_context(advice)? {
            let Some((epoch, report)) = parts.first().map(|part| (part.epoch, part.report)) else { continue };
            outbox.unsent().insert((epoch, report), parts.iter().filter_map(encode).collect());
            outbox.send_up_to((epoch, report));
        }
        part.ok();
        let ledger = Ledger::default();
        let keeper = Self {
            ledger: ledger.clone(),
            files,
            part,
            outbox,
            epoch,
            report: 1,
            file: None,
            broken: false,
            cells: Cells::default(),
            uncounted: 0,
        };
        Ok((ledger, keeper))
    }

    /// Writes and reports until the ledger is closed.
    ///
    /// # Errors
    /// Never: without an account the records still go on.
    pub fn run(mut self) -> anyhow::Result<()> {
        let mut due = Instant::now() + INTERVAL;
        loop {
            let closed = self.take(due.saturating_duration_since(Instant::now()));
            if closed {
                self.report(true);
                self.outbox.send_up_to((i64::MAX, u64::MAX));
                self.ledger.0.lock().ended = true;
                self.ledger.0.filled.notify_all();
                return Ok(());
            }
            if Instant::now() >= due {
                due = Instant::now() + INTERVAL;
                self.report(false);
            }
        }
    }

    /// Takes what waits; returns whether no more will come.
    fn take(&mut self, wait: Duration) -> bool {
        let shared = &self.ledger.0;
        let idle = |waiting: &mut Waiting| waiting.entries.is_empty() && !waiting.closed;
        let waited = shared.filled.wait_timeout_while(shared.lock(), wait, idle);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let entries = std::mem::take(&mut waiting.entries);
        self.uncounted += std::mem::take(&mut waiting.uncounted);
        let closed = waiting.closed;
        drop(waiting);
        if !entries.is_empty() {
            if let Err(error) = self.write(&entries) {
                self.broken = true;
                self.failed(&error);
            }
            self.cells.read(&entries);
        }
        closed
    }

    fn write(&mut self, entries: &[u8]) -> io::Result<()> {
        if self.broken {
            return Ok(()); // the report still counts it, from memory
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(self.files.begin(self.epoch, self.report)?),
        };
        file.write_all(entries)
    }

    /// Closes the report that is being counted, and begins the next one.
    fn report(&mut self, last: bool) {
        let at = jiff::Timestamp::now().as_millisecond();
        let (epoch, report) = (self.epoch, self.report);
        let uncounted = std::mem::take(&mut self.uncounted);
        let parts = self.cells.take(&SentReport { epoch, report, at, last, uncounted, ..SentReport::default() });
        if self.outbox.unsent().len() >= UNSENT_MAX {
            // Its number stays free, so whoever adds the reports up sees that one is missing.
            metrics::counter!("producer_ledger_reports_dropped_total").increment(1);
            self.files.remove(epoch, report);
        } else {
            let closed = if last { self.files.close(&parts) } else { self.begin_next(&parts) };
            match closed {
                Ok(()) => self.part.ok(),
                Err(error) => self.failed(&error),
            }
            self.outbox.send_when_safe(epoch, report, parts.iter().filter_map(encode).collect());
        }
        self.report += 1;
    }

    /// A file for the next report is there before this one's may go: a kill never leaves a run without a trace.
    fn begin_next(&mut self, parts: &[SentReport]) -> io::Result<()> {
        self.file = None;
        self.broken = true;
        self.file = Some(self.files.begin(self.epoch, self.report + 1)?);
        self.broken = false;
        self.files.close(parts)
    }

    fn failed(&self, error: &io::Error) {
        metrics::counter!("producer_ledger_failures_total").increment(1);
        self.part.degraded(format!(
            "the ledger of what was sent cannot be written ({error}): if this producer is killed, the audit cannot see what was lost then; free the disk of SPOOL_DIR"
        ));
    }
}

fn encode(part: &SentReport) -> Option<Encoded> {
    let (stream, symbol) = (Stream::Sent, Symbol::stored(KEY).ok()?);
    Some(Encoded { stream, feed: None, symbol, ts_ns: 0, heard_ns: None, seq: 0, json: Bytes::from(part.encode()) })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use market::{Source, Trade};
    use service::Health;

    use super::*;
    use crate::ledger::entry;

    fn entries(numbers: std::ops::RangeInclusive<u64>) -> Vec<u8> {
        let mut entries = Vec::new();
        let trade = Trade {
            symbol: Symbol::new("AAPL").unwrap(),
            price: 1.0,
            size: 2.0,
            ts_ns: 1_700_000_000_000_000_000,
            trade_id: None,
            exchange: None,
            conditions: Default::default(),
            tape: None,
            source: Source::alpaca(),
        };
        numbers.for_each(|seq| entry::write(&trade, seq, &mut entries));
        entries
    }

    fn open(folder: &tempfile::TempDir, epoch: i64, cold: &Cold) -> (Ledger, Keeper) {
        Keeper::open(folder.path().to_owned(), epoch, cold.clone(), Health::new("test").part("ledger")).unwrap()
    }

    /// Epoch, number, trades and end of each report that went down the cold path, once each is safe.
    fn sent(cold: &Cold) -> Vec<(i64, u64, u64, bool)> {
        let mut records = Vec::new();
        cold.take(&mut records, usize::MAX, usize::MAX, Duration::ZERO);
        cold.settled([u64::MAX, 0]);
        let told = |record: &Encoded| {
            let report = SentReport::decode(&record.json).unwrap();
            let count = report.trades.values().flat_map(BTreeMap::values).map(|sent| sent.count).sum();
            (report.epoch, report.report, count, report.last)
        };
        records.iter().map(told).collect()
    }

    #[test]
    fn what_a_killed_run_numbered_is_reported_by_the_next_one_however_often_that_is_killed() {
        let (folder, cold) = (tempfile::tempdir().unwrap(), Cold::default());
        let (_, mut keeper) = open(&folder, 5, &cold);
        keeper.write(&entries(1..=3)).unwrap();
        keeper.cells.read(&entries(1..=3));
        keeper.report(false); // waits for its records to be safe
        keeper.write(&entries(4..=8)[..entries(4..=8).len() - 1]).unwrap(); // a kill cuts the last entry short
        drop(keeper);
        for _ in 0..2 {
            let cold = Cold::default(); // what this one sends is lost with it
            let _killed = open(&folder, 6, &cold);
        }
        let cold = Cold::default();
        let _running = open(&folder, 7, &cold);
        assert_eq!(sent(&cold), [(5, 1, 3, false), (5, 2, 4, false), (5, 3, 0, true)]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "safe, so nothing is kept");
    }

    #[test]
    fn a_run_that_ends_in_order_sends_its_last_report_before_the_cold_path_is_closed() {
        let (folder, cold) = (tempfile::tempdir().unwrap(), Cold::default());
        let (ledger, keeper) = open(&folder, 5, &cold);
        let running = std::thread::spawn(move || keeper.run());
        ledger.note(&mut entries(1..=3), 3);
        ledger.close();
        assert_eq!(sent(&cold), [(5, 1, 3, true)]);
        running.join().unwrap().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_report_is_sent_only_when_all_that_it_counts_is_safe() {
        let (folder, cold) = (tempfile::tempdir().unwrap(), Cold::default());
        let (_, mut keeper) = open(&folder, 5, &cold);
        keeper.cells.read(&entries(1..=3));
        let mut trade = vec![Encoded { stream: Stream::Trades, feed: None, ..encode(&SentReport::default()).unwrap() }];
        cold.accept(&mut trade);
        keeper.report(false);
        cold.settled([0, 0]);
        assert_eq!(keeper.outbox.unsent().len(), 1);
        cold.settled([0, 1]);
        assert!(keeper.outbox.unsent().is_empty());
    }

    #[test]
    fn trades_that_find_no_room_are_said_to_be_uncounted() {
        let (folder, cold) = (tempfile::tempdir().unwrap(), Cold::default());
        let (ledger, mut keeper) = open(&folder, 5, &cold);
        ledger.note(&mut vec![0; super::super::WAITING_BYTES_MAX + 1], 9);
        keeper.take(Duration::ZERO);
        keeper.report(true);
        keeper.outbox.send_up_to((i64::MAX, 0));
        let mut records = Vec::new();
        cold.take(&mut records, 9, 9, Duration::ZERO);
        assert_eq!(SentReport::decode(&records[0].json).unwrap().uncounted, 9);
    }
}
