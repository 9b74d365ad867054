//! Which units are done: a text file with a title and one line a unit.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, ensure};

/// Appends to the file.
#[derive(Debug)]
pub(crate) struct Journal(Mutex<File>);

impl Journal {
    /// Opens or begins the journal, and says what is done already. A last line without an end was cut off by a crash and does not count.
    ///
    /// # Errors
    /// Where the file cannot be used, or belongs to another backfill.
    pub(crate) fn open(path: &Path, title: &str) -> anyhow::Result<(Self, HashSet<String>)> {
        let name = path.display();
        let opened = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = opened.with_context(|| format!("cannot open the journal {name}"))?;
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(|| format!("cannot read the journal {name}"))?;
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        if text.len() > whole.len() {
            file.set_len(whole.len() as u64).with_context(|| format!("cannot mend the journal {name}"))?;
        }
        let mut lines = whole.lines();
        match lines.next() {
            None => append(&mut file, title)?,
            Some(known) => ensure!(
                known == title,
                "{name} is the journal of another backfill ({known}); name another file with --journal, or remove it"
            ),
        }
        let done = lines.map(str::to_owned).collect();
        Ok((Self(Mutex::new(file)), done))
    }

    /// Notes a unit that is stored.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub(crate) fn note(&self, unit: &str) -> anyhow::Result<()> {
        append(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), unit) // an append is whole or not there
    }
}

fn append(file: &mut File, line: &str) -> anyhow::Result<()> {
    file.write_all(format!("{}\n", line.replace('\n', " ")).as_bytes()).context("cannot write the journal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_again_and_half_a_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (journal, done) = Journal::open(&path, "one").unwrap();
        assert!(done.is_empty());
        journal.note("AAPL 2024-01").unwrap();
        drop(journal);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"MSFT 20").unwrap();
        let (journal, done) = Journal::open(&path, "one").unwrap();
        assert_eq!(done, HashSet::from(["AAPL 2024-01".to_owned()]));
        journal.note("MSFT 2024-01").unwrap();
        assert_eq!(Journal::open(&path, "one").unwrap().1.len(), 2);
        assert!(Journal::open(&path, "two").unwrap_err().to_string().contains("--journal"));
    }
}
