//! Raw records to the bytes of a binary COPY. Pure, and the only place where payloads are looked into.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use bytes::Bytes;

use crate::batch::{Batch, RawRecord};
use crate::row::{Place, Refusal, Row, StartRow};

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
    /// Times of the first and the last row in Unix nanoseconds; the first is the greater where there is no row.
    pub reach: (i64, i64),
    /// Under which names something may wait for the rows; empty for a kind of row that nothing waits for.
    awaited_as: Vec<u64>,
    /// Records that are no rows, and why.
    pub refused: Vec<(usize, Refusal)>,
}

impl Encoded {
    /// Makes rows of all records of a batch; those that are none end in [`Encoded::refused`].
    ///
    /// Rows are put in the order of their [places](crate::row::Place::order): neighbours in the table's index are then written together,
    /// which saves PostgreSQL a fifth of its work (docs/decisions/0010).
    #[must_use]
    pub fn new<R: Row>(batch: Batch, window: Window) -> Self {
        let mut rows = Vec::with_capacity(batch.bytes()); // a row is shorter than its JSON
        let mut written = Vec::with_capacity(batch.len());
        let mut days = BTreeSet::new();
        let mut refused = Vec::new();
        let mut newest_day = None;
        let mut reach = (i64::MAX, i64::MIN);
        let mut awaited = Vec::with_capacity(if R::AWAITED.is_some() { batch.len() } else { 0 });
        for index in 0..batch.len() {
            let start = rows.len();
            match encode_one::<R>(&batch.record(index), window, &mut rows) {
                Ok(Place { order, ts_ns, awaited_as }) => {
                    if R::AWAITED.is_some() {
                        awaited.push(awaited_as);
                    }
                    reach = (reach.0.min(ts_ns), reach.1.max(ts_ns));
                    let day = Day::of_ns(ts_ns);
                    if newest_day != Some(day) {
                        days.insert(day);
                        newest_day = Some(day);
                    }
                    written.push(Written { order, record: index, start, end: rows.len() });
                }
                Err(refusal) => {
                    rows.truncate(start);
                    refused.push((index, refusal));
                }
            }
        }
        if !written.is_sorted_by_key(|row| row.order) {
            written.sort_unstable_by_key(|row| (row.order, row.record));
            let mut sorted = Vec::with_capacity(rows.len());
            written.iter().for_each(|row| sorted.extend_from_slice(&rows[row.start..row.end]));
            rows = sorted;
        }
        let mut end = 0;
        let ends = written.iter().map(|row| {
            end += row.end - row.start;
            end
        });
        Self {
            ends: ends.collect(),
            records: written.iter().map(|row| row.record).collect(),
            rows: rows.into(),
            batch,
            days,
            reach,
            awaited_as: awaited,
            refused,
        }
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

    /// Those of these names that rows of this batch have; `key` is [`crate::row::Awaited::key`].
    #[must_use]
    pub fn named<'n>(&self, names: impl IntoIterator<Item = &'n str>, key: fn(&str) -> u64) -> Vec<String> {
        let mut wanted: HashMap<u64, Vec<&str>> = HashMap::new();
        names.into_iter().for_each(|name| wanted.entry(key(name)).or_default().push(name));
        let mut found = Vec::new();
        for key in &self.awaited_as {
            if wanted.is_empty() {
                break;
            }
            found.extend(wanted.remove(key).into_iter().flatten().map(str::to_owned));
        }
        found
    }

    /// The index of the record that a row was made from.
    #[must_use]
    pub fn record_of(&self, row: usize) -> usize {
        self.records[row]
    }
}

/// Where a row was written, before rows are put in order.
struct Written {
    order: u64,
    record: usize,
    start: usize,
    end: usize,
}

fn encode_one<R: Row>(record: &RawRecord<'_>, window: Window, rows: &mut Vec<u8>) -> Result<Place, Refusal> {
    let payload = record.payload.ok_or_else(|| Refusal("it has no value".to_owned()))?;
    let place = R::encode(payload, record.at, StartRow { out: rows, fields: R::COLUMNS.len() })?;
    window.check(Day::of_ns(place.ts_ns))?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Coordinates, Tenure};
    use crate::row::Store;
    use proptest::prelude::*;

    /// A row that is its payload: a letter to sort by and a byte; a zero is refused.
    struct Byte;

    impl Row for Byte {
        const TABLE: &'static str = "bytes";
        const COLUMNS: &'static [&'static str] = &["byte"];
        const STORE: Store = Store::Merge("");
        const EXPIRE: Option<&'static str> = None;

        fn encode(payload: &[u8], _at: Coordinates, row: StartRow<'_>) -> Result<Place, Refusal> {
            match payload {
                [_, 0] => Err(Refusal("zero".to_owned())),
                [letter, byte] => {
                    row.start().int8(i64::from(*byte));
                    Ok(Place::near(&[*letter], i64::from(*byte) * DAY_NS))
                }
                _ => Err(Refusal("not two bytes".to_owned())),
            }
        }
    }

    const EVER: Window = Window { first: Day(0), last: Day(200) };

    fn encode(records: &[(u8, u8)]) -> Encoded {
        let mut batch = Batch::default();
        for (offset, (letter, byte)) in (0..).zip(records) {
            let at = Coordinates { partition: 0, offset };
            let record = RawRecord { at, sent_ms: None, key: None, payload: Some(&[*letter, *byte]) };
            batch.push(record, Tenure { partition: 0, number: 0 }, offset);
        }
        Encoded::new::<Byte>(batch, EVER)
    }

    #[test]
    fn a_day_outside_the_window_is_refused_with_a_sentence() {
        let today = Day::of_second(1_717_423_200);
        let window = Window::on(today, Some(30));
        assert_eq!(today.to_string(), "2024-06-03");
        assert!(window.check(Day(today.0 + 7)).is_ok() && window.check(Day(today.0 - 30)).is_ok());
        assert!(window.check(Day(today.0 + 8)).unwrap_err().0.contains("7 days ahead"));
        assert!(window.check(Day(today.0 - 31)).unwrap_err().0.contains("2024-05-04"));
        assert!(Window::on(today, None).check(Day(-1)).is_err(), "nothing is older than 1970");
    }

    proptest! {
        #[test]
        fn every_record_is_one_row_or_one_refusal_and_a_row_knows_its_record(
            records in prop::collection::vec((b'A'..=b'C', 0_u8..=255), 0..60),
        ) {
            let encoded = encode(&records);
            prop_assert_eq!(encoded.len() + encoded.refused.len(), records.len());
            prop_assert!(encoded.refused.iter().all(|(record, _)| matches!(records[*record].1, 0 | 201..)));
            for row in 0..encoded.len() {
                let bytes = encoded.bytes_of(row..row + 1);
                prop_assert_eq!(bytes.last(), Some(&records[encoded.record_of(row)].1));
            }
            let order: Vec<_> = (0..encoded.len()).map(|row| (records[encoded.record_of(row)].0, encoded.record_of(row))).collect();
            prop_assert!(order.is_sorted(), "by letter, then as they came");
            prop_assert_eq!(encoded.bytes_of(0..encoded.len()).len(), encoded.len() * (2 + 4 + 8));
        }
    }
}
