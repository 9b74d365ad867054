//! Bars from files of other tools and of our own.
//!
//! A file is read twice. The first reading understands everything or refuses the whole file, so nothing of a file is stored that a later
//! line would have shown to be misread. The second reading stores it, some thousand rows at a time.
//!
//! | module | does |
//! | --- | --- |
//! | [`open`] | plain, gzip and zip files to bytes |
//! | [`delimited`], [`header`], [`wide`] | CSV of any tool to drafts of bars |
//! | [`json`] | JSON documents and JSON lines to drafts |
//! | [`value`], [`when`] | numbers, flags and times as people write them |
//! | [`check`], [`spacing`] | drafts to bars: what a file must keep to be believed |

mod check;
mod delimited;
mod draft;
mod header;
mod json;
mod open;
mod spacing;
mod value;
mod when;
mod wide;

#[cfg(test)]
mod samples;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use jiff::tz::TimeZone;
use market::{Source, Symbol, Timeframe, wire};

use super::Unit;
use check::{Checker, Summary};
use draft::Drafts;
use open::Input;

/// Rows that are stored in one transaction.
const PART_ROWS: u64 = 20_000;

/// Which files, and what they leave unsaid.
#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// .csv, .tsv, .txt, .json, .ndjson or .jsonl, each also as .gz or inside a .zip
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Symbol of rows that name none
    #[arg(long, value_parser = parse_symbol)]
    symbol: Option<Symbol>,
    /// Name of the feed for rows that name none
    #[arg(long, default_value = "alpaca", value_parser = parse_source)]
    source: Source,
    /// Length of the bars (1Min, 5Min, 1Hour, 1Day …) for rows that name none
    #[arg(long)]
    timeframe: Option<Timeframe>,
    /// Time zone of times without an offset, such as America/New_York or UTC
    #[arg(long, value_parser = parse_zone)]
    tz: Option<TimeZone>,
    /// Show what would be stored, and store nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

fn parse_symbol(text: &str) -> Result<Symbol, String> {
    Symbol::parse(text).map(|parsed| parsed.symbol).map_err(|error| error.to_string())
}

fn parse_source(text: &str) -> Result<Source, String> {
    Source::new(text).map_err(|error| error.to_string())
}

fn parse_zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text)
        .map_err(|_| format!("`{text}` is not a time zone; write a name such as America/New_York or UTC"))
}

/// Files that were understood from their first to their last row.
pub(super) struct Files {
    options: Options,
    known: Vec<Known>,
    /// Readers that have given some parts and will be asked for the next.
    open: Mutex<HashMap<PathBuf, Reading>>,
}

struct Known {
    input: Input,
    summary: Summary,
}

struct Reading {
    drafts: Drafts,
    checker: Checker,
    row: u64,
}

impl Files {
    /// Reads every file once.
    ///
    /// # Errors
    /// What could not be understood: file, line, field, and what would help.
    pub(super) fn new(options: Options) -> anyhow::Result<Self> {
        let mut known = Vec::new();
        for path in &options.paths {
            for input in open::inputs(path)? {
                let summary = survey(&input, &options).with_context(|| input.name().display().to_string())?;
                known.push(Known { input, summary });
            }
        }
        Ok(Self { options, known, open: Mutex::default() })
    }

    /// Cuts the files into parts.
    pub(super) fn units(&self) -> Vec<Unit> {
        let parts = |known: &Known| {
            let (path, checksum, rows) = (known.input.name().to_owned(), known.summary.checksum, known.summary.rows);
            let starts = (0..rows).step_by(usize::try_from(PART_ROWS).unwrap_or(usize::MAX));
            starts.map(move |start| {
                let end = rows.min(start + PART_ROWS);
                Unit::Part { path: path.clone(), checksum, start, end }
            })
        };
        self.known.iter().flat_map(parts).collect()
    }

    /// The bars of the rows `start..end` of a file, as the wire has them. Parts are asked for in ascending order.
    ///
    /// # Errors
    /// If the file is not what it was when it was read first.
    pub(super) fn read(&self, path: &Path, start: u64, end: u64) -> anyhow::Result<Vec<Vec<u8>>> {
        let known = self.known.iter().find(|known| known.input.name() == path).context("not one of the files")?;
        let kept = self.readings().remove(path).filter(|reading| reading.row <= start);
        let mut reading = match kept {
            Some(reading) => reading,
            None => {
                let checker = Checker::new(&self.options, known.summary.timeframe);
                Reading { drafts: draft::drafts(&known.input)?, checker, row: 0 }
            }
        };
        let mut bars = Vec::new();
        while reading.row < end {
            let Some(draft) = reading.drafts.next() else { bail!("the file has become shorter while it was read") };
            let (bar, position) = reading.checker.bar(&draft?)?;
            if reading.row >= start {
                let mut out = Vec::with_capacity(280);
                wire::encode_bar(&bar, position, &mut out);
                bars.push(out);
            }
            reading.row += 1;
        }
        if end < known.summary.rows {
            self.readings().insert(path.to_owned(), reading);
        }
        Ok(bars)
    }

    /// What would be stored, for people.
    pub(super) fn report(&self) -> String {
        let mut out = String::new();
        for Known { input, summary } in &self.known {
            let _ = writeln!(out, "{}: {summary}", input.name().display()); // a String takes every write
        }
        out
    }

    fn readings(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Reading>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner) // readers are put in whole
    }
}

/// The first reading of a file.
fn survey(input: &Input, options: &Options) -> anyhow::Result<Summary> {
    let timeframe = match options.timeframe {
        Some(timeframe) => Some(timeframe),
        None => spacing::infer(draft::drafts(input)?)?,
    };
    let mut checker = Checker::new(options, timeframe);
    let mut drafts = draft::drafts(input)?;
    for draft in drafts.by_ref() {
        checker.bar(&draft?)?;
    }
    let summary = checker.finish(&drafts)?;
    ensure!(summary.rows > 0, "holds no bars");
    Ok(summary)
}
