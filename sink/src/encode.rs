//! Raw records to the bytes of a binary COPY. Pure, and the only place where payloads are looked into.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;

use crate::batch::{Batch, RawRecord};
use crate::row::{Refusal, Row, StartRow};

/// Nanoseconds in a day.
const DAY_NS: i64 = 86_400_000_000_000;

/// A UTC day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    /// The day that holds a moment in Unix nanoseconds.
    #[must_use]
    pub fn of_ns(ts_ns: i64) -> Self {
        Self(ts_ns.div_euclid(DAY_NS))
    }

    /// The day that holds a moment in Unix seconds.
    #[must_use]
    pub fn of_second(second: i64) -> Self {
        Self(second.div_euclid(86_400))
    }

    /// The day as a date.
    #[must_use]
    pub fn date(self) -> jiff::civil::Date {
        let epoch = jiff::civil::date(1970, 1, 1);
        epoch.checked_add(jiff::Span::new().days(self.0)).unwrap_or(epoch) // every i64 of nanoseconds is within jiff's range
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.date().fmt(f)
    }
}

/// The days that are stored; a record outside them becomes a dead letter, because a wrong clock must not make thousands of partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First day.
    pub first: Day,
    /// Last day.
    pub last: Day,
}

/// How far ahead of the clock a record may be, in days.
const AHEAD_DAYS: i64 = 7;

impl Window {
    /// What is stored on `today` when rows are kept for `keep_days`, or for ever.
    #[must_use]
    pub fn on(today: Day, keep_days: Option<u32>) -> Self {
        let first = keep_days.map_or(0, |days| today.0 - i64::from(days));
        Self { first: Day(first), last: Day(today.0 + AHEAD_DAYS) }
    }

    fn check(self, day: Day) -> Result<(), Refusal> {
        if day > self.last {
            return Err(Refusal(format!("its day {day} is more than {AHEAD_DAYS} days ahead of this machine's clock")));
        }
        if day < self.first {
            return Err(Refusal(format!("its day {day} is before {}, the first day that is kept", self.first)));
        }
        Ok(())
    }
}

/// A batch that is ready to be stored.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The raw records, still needed where one is refused.
    pub batch: Batch,
    /// Rows without header and trailer.
    rows: Bytes,
    /// End of each row in `rows`.
    ends: Vec<usize>,
    /// Which record each row was made from.
    records: Vec<usize>,
    /// Days that need a partition.
    pub days: BTreeSet<Day>,
    /// Records that are no rows, and why.
    pub refused: Vec<(usize, Refusal)>,
}

impl Encoded {
    /// Makes rows of all records of a batch; those that are none end in [`Encoded::refused`].
    #[must_use]
    pub fn new<R: Row>(batch: Batch, window: Window) -> Self {
        let mut rows = Vec::with_capacity(batch.bytes()); // a row is shorter than its JSON
        let mut ends = Vec::with_capacity(batch.len());
        let mut records = Vec::with_capacity(batch.len());
        let mut days = BTreeSet::new();
        let mut refused = Vec::new();
        let mut newest_day = None;
        for index in 0..batch.len() {
            let start = rows.len();
            match encode_one::<R>(&batch.record(index), window, &mut rows) {
                Ok(day) => {
                    if newest_day != Some(day) {
                        days.insert(day);
                        newest_day = Some(day);
                    }
                    ends.push(rows.len());
                    records.push(index);
                }
                Err(refusal) => {
                    rows.truncate(start);
                    refused.push((index, refusal));
                }
            }
        }
        Self { batch, rows: rows.into(), ends, records, days, refused }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row to store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of some rows; costs no copy.
    #[must_use]
    pub fn bytes_of(&self, rows: Range<usize>) -> Bytes {
        let end_of = |row: usize| if row == 0 { 0 } else { self.ends[row - 1] };
        self.rows.slice(end_of(rows.start)..end_of(rows.end))
    }

    /// The index of the record that a row was made from.
    #[must_use]
    pub fn record_of(&self, row: usize) -> usize {
        self.records[row]
    }
}

fn encode_one<R: Row>(record: &RawRecord<'_>, window: Window, rows: &mut Vec<u8>) -> Result<Day, Refusal> {
    let payload = record.payload.ok_or_else(|| Refusal("it has no value".to_owned()))?;
    let ts_ns = R::encode(payload, record.at, StartRow { out: rows, fields: R::COLUMNS.len() })?;
    let day = Day::of_ns(ts_ns);
    window.check(day)?;
    Ok(day)
}
