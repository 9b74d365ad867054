//! A bar as a file has it, before anything is concluded from the rest of the file.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use market::{Position, Source, Symbol, Timeframe};

use super::open::{Input, Kind};
use super::value::Number;
use super::when::When;
use super::{delimited, json};

/// What a row says.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// Where it is, for people: `line 7`.
    pub(super) place: String,
    pub(super) symbol: Option<Symbol>,
    pub(super) timeframe: Option<Timeframe>,
    pub(super) source: Option<Source>,
    pub(super) when: When,
    pub(super) open: Number,
    pub(super) high: Number,
    pub(super) low: Number,
    pub(super) close: Number,
    pub(super) volume: Number,
    pub(super) trade_count: Option<u64>,
    pub(super) vwap: Option<f64>,
    pub(super) is_final: bool,
    /// Told apart from 0, because rows that count their versions may repeat a time.
    pub(super) revision: Option<u32>,
    pub(super) position: Option<Position>,
}

/// The rows of a file in its order, and what is known of the file as a whole.
pub(super) struct Drafts {
    rows: Box<dyn Iterator<Item = anyhow::Result<Draft>> + Send>,
    /// What the file is, for people.
    pub(super) form: String,
    tap: Tap,
}

impl Drafts {
    /// Checksum of the bytes that were read.
    pub(super) fn checksum(&self) -> u32 {
        self.tap.state().hasher.clone().finalize()
    }
}

impl Iterator for Drafts {
    type Item = anyhow::Result<Draft>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next()
    }
}

/// Opens a file and understands its header.
///
/// # Errors
/// If it cannot be read, or its header is not understood.
pub(super) fn drafts(input: &Input) -> anyhow::Result<Drafts> {
    let tap = Tap::default();
    let bytes = Tapped { inner: input.open()?, tap: tap.clone() };
    let (form, rows) = match input.kind() {
        Kind::Delimited => delimited::rows(bytes, tap.clone())?,
        Kind::JsonLines => ("JSON lines".to_owned(), json::lines(bytes)),
        Kind::Json => ("a JSON document".to_owned(), json::document(bytes)?),
    };
    Ok(Drafts { rows, form, tap })
}

/// Rows of some form.
pub(super) type Rows = Box<dyn Iterator<Item = anyhow::Result<Draft>> + Send>;

/// What passed through a [`Tapped`] reader so far.
#[derive(Clone, Default)]
pub(super) struct Tap(Arc<Mutex<TapState>>);

#[derive(Default)]
struct TapState {
    hasher: crc32fast::Hasher,
    last: Option<u8>,
}

impl Tap {
    fn state(&self) -> std::sync::MutexGuard<'_, TapState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // each field stands for itself
    }

    /// Whether the bytes so far end with a line's end.
    pub(super) fn ends_with_newline(&self) -> bool {
        matches!(self.state().last, Some(b'\n' | b'\r'))
    }
}

/// A reader that takes note of what it gives.
pub(super) struct Tapped {
    inner: Box<dyn Read + Send>,
    tap: Tap,
}

impl Read for Tapped {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(out)?;
        if let Some(last) = out[..length].last() {
            let mut state = self.tap.state();
            state.hasher.update(&out[..length]);
            state.last = Some(*last);
        }
        Ok(length)
    }
}
