//! What the producer must remember across a crash: how far the feed's records are safe, and which gaps are not settled.
//!
//! One small JSON file, replaced atomically by a thread of its own: a sync may take a second where the disk is busy, and no task that
//! carries records may wait for it. A record is safe when Kafka has acknowledged it or the spool has it on disk.

mod handover;
pub mod looks;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use market::{Gap, Symbol};
use serde::{Deserialize, Serialize};
use service::Part;

use crate::feeds::protocol::Feed;
use crate::gaps::clock::Habits;

/// Pause before a file that could not be written is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The file. Clones share it; the last one to go waits until all is written.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Keeper>);

#[derive(Debug)]
struct Keeper {
    page: Arc<Page>,
    writer: Option<JoinHandle<()>>,
}

/// What the writer's thread and the others share.
#[derive(Debug, Default)]
struct Page {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    memory: Memory,
    /// Counts changes.
    noted: u64,
    /// As many of them are in the file.
    written: u64,
    closed: bool,
    /// The file could not be written last time.
    failed: bool,
    part: Option<Part>,
}

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    /// By the feed's name.
    feeds: BTreeMap<String, Known>,
    /// Gaps of which the last word is not safe yet, by source and start.
    gaps: BTreeMap<String, Gap>,
    /// Second looks that are owed, by start and source of their gap.
    looks: BTreeMap<String, looks::Look>,
    /// Symbols that were wanted last.
    wanted: BTreeSet<String>,
}

/// What is known of one feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    /// Feed time at which the newest record that is safe arrived, Unix nanoseconds. No record's stamp: one may be wrong.
    safe_ns: Option<i64>,
    /// What is known of its time and lateness.
    habits: Option<Habits>,
    /// Start of the last gap, Unix milliseconds.
    last_gap: Option<i64>,
    /// Symbols that had records: what to ask for where the subscription is `*`.
    symbols: BTreeSet<String>,
    /// Those of them whose bars from before the first record were fetched.
    with_past: BTreeSet<String>,
}

impl Journal {
    /// Opens the file, or begins with an empty one.
    ///
    /// # Errors
    /// Where the file exists and cannot be read: starting without it would hide a gap.
    pub fn open(path: PathBuf) -> anyhow::Result<Self> {
        let memory = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!("{} is damaged: remove it to start without the record of past gaps", path.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Memory::default(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let page = Arc::new(Page { state: Mutex::new(State { memory, ..State::default() }), ..Page::default() });
        let shared = Arc::clone(&page);
        let writer = thread::Builder::new().name("journal".to_owned()).spawn(move || shared.keep_written(&path));
        Ok(Self(Arc::new(Keeper { page, writer: Some(writer.context("cannot start the journal's thread")?) })))
    }

    /// Reports from now on whether the file can be written.
    pub fn report_to(&self, part: Part) {
        part.ok();
        self.0.page.lock().part = Some(part);
    }

    /// Waits until everything noted so far is in the file, or could not be written.
    pub fn flush(&self) {
        let state = self.0.page.lock();
        let noted = state.noted;
        drop(self.0.page.changed.wait_while(state, |state| state.written < noted));
    }

    /// Feed time at which the newest safe record arrived, in Unix nanoseconds; `None` where there never was one.
    #[must_use]
    pub fn safe_ns(&self, feed: Feed) -> Option<i64> {
        self.0.page.lock().memory.feeds.get(feed.name())?.safe_ns
    }

    /// What the last run knew of this feed's time and lateness.
    #[must_use]
    pub fn habits(&self, feed: Feed) -> Option<Habits> {
        self.0.page.lock().memory.feeds.get(feed.name())?.habits
    }

    /// What this run knows of them.
    pub fn note_habits(&self, feed: Feed, habits: Habits) {
        self.change(|memory| {
            memory.feeds.entry(feed.name().to_owned()).or_default().habits.replace(habits) != Some(habits)
        });
    }

    /// Symbols that ever had records.
    #[must_use]
    pub fn symbols(&self, feed: Feed) -> Vec<Symbol> {
        let memory = &self.0.page.lock().memory;
        let symbols = memory.feeds.get(feed.name()).into_iter().flat_map(|known| &known.symbols);
        symbols.filter_map(|text| Symbol::new(text).ok()).collect()
    }

    /// Symbols whose past was not fetched as yet, the most urgent first: those that are `wanted` and had records, the other wanted ones,
    /// and of those that only had records as many as make `unasked_max` with a past.
    #[must_use]
    pub fn symbols_without_past(&self, feed: Feed, wanted: &[Symbol], unasked_max: usize) -> Vec<Symbol> {
        let memory = &self.0.page.lock().memory;
        let Some(known) = memory.feeds.get(feed.name()) else { return Vec::new() };
        let lacks = |symbol: &Symbol| !known.with_past.contains(symbol.as_str());
        let (carried, unheard): (Vec<Symbol>, Vec<Symbol>) =
            wanted.iter().filter(|symbol| lacks(symbol)).partition(|symbol| known.symbols.contains(symbol.as_str()));
        let asked: BTreeSet<Symbol> = wanted.iter().copied().collect();
        let room = unasked_max.saturating_sub(known.with_past.len());
        let heard = known.symbols.iter().filter_map(|text| Symbol::new(text).ok());
        let unasked = heard.filter(|symbol| lacks(symbol) && !asked.contains(symbol)).take(room);
        carried.into_iter().chain(unheard).chain(unasked).collect()
    }

    /// Symbols that were wanted when this file was last written.
    #[must_use]
    pub fn wanted(&self) -> Vec<Symbol> {
        self.0.page.lock().memory.wanted.iter().filter_map(|text| Symbol::new(text).ok()).collect()
    }

    /// These symbols are wanted now.
    pub fn note_wanted(&self, symbols: impl Iterator<Item = Symbol>) {
        let wanted = symbols.map(|symbol| symbol.to_string()).collect();
        self.change(|memory| std::mem::replace(&mut memory.wanted, wanted) != memory.wanted);
    }

    /// The past of these symbols has been fetched, and is safe.
    pub fn note_past(&self, feed: Feed, symbols: &[Symbol]) {
        self.change(|memory| {
            let known = memory.feeds.entry(feed.name().to_owned()).or_default();
            known.with_past.extend(symbols.iter().map(ToString::to_string));
            true
        });
    }

    /// When the last gap began, healed or not: Unix milliseconds.
    #[must_use]
    pub fn last_gap(&self, feed: Feed) -> Option<i64> {
        self.0.page.lock().memory.feeds.get(feed.name())?.last_gap
    }

    /// A feed's gaps of which the last word is not safe yet, oldest first; some may be healed.
    #[must_use]
    pub fn gaps(&self, feed: Feed) -> Vec<Gap> {
        self.0.page.lock().memory.gaps.values().filter(|gap| gap.source == feed.name()).cloned().collect()
    }

    /// Everything of this feed up to `safe_ns` is safe.
    pub fn advance(&self, feed: Feed, safe_ns: i64, symbols: impl IntoIterator<Item = Symbol>) {
        self.change(|memory| {
            let known = memory.feeds.entry(feed.name().to_owned()).or_default();
            let before = (known.safe_ns, known.symbols.len());
            known.safe_ns = known.safe_ns.max(Some(safe_ns));
            known.symbols.extend(symbols.into_iter().map(|symbol| symbol.to_string()));
            before != (known.safe_ns, known.symbols.len())
        });
    }

    /// Remembers a gap in its present version.
    pub fn note(&self, gap: &Gap) {
        self.change(|memory| {
            if gap.healed_at.is_none() {
                memory.feeds.entry(gap.source.clone()).or_default().last_gap = Some(gap.from);
            }
            memory.gaps.insert(key(gap), gap.clone());
            true
        });
    }

    /// Forgets a gap of which the last word is said and safe.
    pub fn forget(&self, gap: &Gap) {
        self.change(|memory| memory.gaps.remove(&key(gap)).is_some());
    }

    /// Changes the memory. `change` says whether there is something new to write.
    fn change(&self, change: impl FnOnce(&mut Memory) -> bool) {
        let mut state = self.0.page.lock();
        if change(&mut state.memory) {
            state.noted += 1;
            self.0.page.changed.notify_all();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.page.lock().closed = true;
        self.page.changed.notify_all();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join(); // a panic there was told already
        }
    }
}

impl Page {
    /// Writes the file whenever something was noted, until the journal is closed and all is written.
    fn keep_written(&self, path: &Path) {
        loop {
            let idle = |state: &mut State| state.noted == state.written && !state.closed;
            let state = self.lock();
            // What could not be written is tried again although nothing changes.
            let wait = if state.failed { RETRY_PAUSE } else { Duration::from_secs(86_400) };
            let (state, _) = self.changed.wait_timeout_while(state, wait, idle).unwrap_or_else(PoisonError::into_inner);
            if state.closed && state.noted == state.written {
                return;
            }
            let (noted, bytes) = (state.noted, serde_json::to_vec(&state.memory));
            drop(state);
            let written = bytes.map_err(Into::into).and_then(|bytes| replace(path, &bytes));
            let mut state = self.lock();
            (state.written, state.failed) = (noted, written.is_err());
            self.changed.notify_all();
            let part = state.part.clone();
            drop(state);
            match (written, part) {
                (Ok(()), Some(part)) => part.ok(),
                (Ok(()), None) => {}
                (Err(error), part) => Self::failed(path, &error, part.as_ref()),
            }
        }
    }

    /// Records go on; only the account of a later gap would begin too early, and so fetch too much.
    fn failed(path: &Path, error: &std::io::Error, part: Option<&Part>) {
        metrics::counter!("producer_journal_failures_total").increment(1);
        tracing::warn!(path = %path.display(), %error, "cannot write the journal");
        if let Some(part) = part {
            part.degraded(format!(
                "the journal {} cannot be written ({error}): after a restart, gaps begin where it was written last, and which of them are \
                 healed is not known; free the disk of SPOOL_DIR",
                path.display()
            ));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let next = path.with_extension("next");
    let mut file = File::create(&next)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&next, path)
}

fn key(gap: &Gap) -> String {
    format!("{:020} {}", gap.from, gap.source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::Source;

    #[test]
    fn junk_never_stands_before_a_symbol_that_the_feed_carries() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path().join("journal.json")).unwrap();
        let symbol = |name: &str| Symbol::new(name).unwrap();
        let junk: Vec<Symbol> = (0..600).map(|at| symbol(&format!("J{at}"))).collect();
        journal.note_past(Feed::Alpaca, &junk[..500]); // as earlier versions did
        journal.advance(Feed::Alpaca, 1, [symbol("TSLA"), symbol("NVDA")]);
        let wanted: Vec<Symbol> = junk.iter().copied().chain([symbol("TSLA")]).collect();
        let without = journal.symbols_without_past(Feed::Alpaca, &wanted, 500);
        assert_eq!((without[0], without.len()), (symbol("TSLA"), 101), "NVDA, which nobody wants, waits");
    }

    #[test]
    fn a_journal_that_cannot_be_written_is_seen_and_written_as_soon_as_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool/journal.json");
        let health = service::Health::new("test");
        let status = || serde_json::to_value(health.report()).unwrap()["parts"]["journal"].clone();
        let journal = Journal::open(path.clone()).unwrap();
        journal.report_to(health.part("journal"));
        assert_eq!(status()["status"], "ok");
        journal.advance(Feed::Alpaca, 5, []); // there is no such folder
        let wait = |what: &str| {
            let deadline = std::time::Instant::now() + Duration::from_secs(60);
            while status()["status"] != what {
                assert!(std::time::Instant::now() < deadline, "not {what}: {}", status());
                std::thread::park_timeout(Duration::from_millis(10));
            }
        };
        wait("degraded");
        assert!(status()["detail"].as_str().unwrap().contains("SPOOL_DIR"), "{}", status());
        fs::create_dir(path.parent().unwrap()).unwrap();
        wait("ok"); // nothing more was noted meanwhile
        assert_eq!(Journal::open(path).unwrap().safe_ns(Feed::Alpaca), Some(5));
    }

    #[test]
    fn a_new_run_knows_what_the_last_one_had() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.json");
        let journal = Journal::open(path.clone()).unwrap();
        let known = |journal: &Journal, feed| (journal.safe_ns(feed), journal.symbols(feed).len(), journal.gaps(feed));
        assert_eq!(known(&journal, Feed::Alpaca), (None, 0, vec![]));
        journal.advance(Feed::Alpaca, 5, [Symbol::new("AAPL").unwrap()]);
        journal.advance(Feed::Alpaca, 3, []);
        journal.advance(Feed::Finnhub, 9, []);
        let mut first = Gap::open(&Source::alpaca(), 1, "cut");
        let second = Gap::open(&Source::alpaca(), 2, "cut again");
        let third = Gap::open(&Source::finnhub(), 2, "cut");
        for gap in [&first, &second, &third] {
            journal.note(gap);
        }
        first.healed_at = Some(9);
        journal.note(&first);
        assert_eq!(journal.gaps(Feed::Alpaca), [first.clone(), second.clone()]);
        journal.forget(&first);
        journal.forget(&third);
        journal.flush();

        let journal = Journal::open(path.clone()).unwrap();
        assert_eq!(known(&journal, Feed::Alpaca), (Some(5), 1, vec![second]));
        assert_eq!(known(&journal, Feed::Finnhub), (Some(9), 0, vec![]));
        let look = looks::Look { source: "alpaca".to_owned(), from: 1, to: 2, ahead: 3, due: 4 };
        journal.note_look(&look);
        journal.flush();
        let journal = Journal::open(path.clone()).unwrap();
        assert_eq!((journal.looks(Feed::Alpaca), journal.looks(Feed::Finnhub)), (vec![look.clone()], vec![]));
        journal.forget_look(&look);
        assert_eq!(journal.looks(Feed::Alpaca), []);
        drop(journal);
        fs::write(&path, "{").unwrap();
        assert!(Journal::open(path).unwrap_err().to_string().contains("damaged"));
    }
}
