//! Counts the records of a topic and compares their numbers with what the producer reports. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::sent::{Run, Runs};
use super::{MINUTE_NS, Minute, Tally};
use crate::row::Identity;

/// What was read of the topic.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    keys: BTreeMap<Minute, HashSet<u64>>,
    /// By symbol and epoch.
    numbers: BTreeMap<(String, i64), Vec<Number>>,
}

/// A number with the minute and the size of its record, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Number {
    seq: u64,
    minute_ns: i64,
    millionths: i64,
}

/// Which part of the topic was read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
    /// All that was ever sent.
    Whole,
    /// What was sent since this moment, Unix nanoseconds, if it is known: earlier numbers are not missing.
    Since(Option<i64>),
}

impl Counter {
    /// Adds a record that should be stored.
    pub(crate) fn add(&mut self, record: &Identity) {
        self.keys.entry((record.symbol.clone(), minute_of(record))).or_default().insert(record.key);
    }

    /// Adds the number of a record, if it has one, whatever becomes of the record.
    pub(crate) fn add_number(&mut self, record: &Identity) {
        if let Some((epoch, seq)) = record.position {
            let number = Number { seq, minute_ns: minute_of(record), millionths: record.millionths };
            self.numbers.entry((record.symbol.clone(), epoch)).or_default().push(number);
        }
    }

    /// Different records by minute, and numbers that are missing: those that the producer reports, and behind its last report those before
    /// the first record after them.
    pub(crate) fn finish(mut self, runs: &Runs, extent: Extent) -> BTreeMap<Minute, Tally> {
        let mut tallies: BTreeMap<Minute, Tally> = BTreeMap::new();
        for (minute, keys) in std::mem::take(&mut self.keys) {
            tallies.entry(minute).or_default().kafka = keys.len() as u64;
        }
        for numbers in self.numbers.values_mut() {
            numbers.sort_unstable();
            numbers.dedup_by_key(|number| number.seq);
        }
        for (epoch, run) in runs.iter() {
            let arrived = self.arrived(*epoch, run);
            for ((symbol, minute_ns), sent) in &run.cells {
                let numbers = self.numbers.get(&(symbol.clone(), *epoch)).map(Vec::as_slice).unwrap_or_default();
                let is_covered = match (extent, numbers.first()) {
                    (Extent::Whole, _) => true,
                    (Extent::Since(_), Some(first)) => sent.first >= first.seq,
                    (Extent::Since(since_ns), None) => since_ns.is_some_and(|since_ns| *minute_ns >= since_ns),
                };
                if !is_covered {
                    continue;
                }
                let tally = tallies.entry((symbol.clone(), *minute_ns)).or_default();
                let known = tally.sent.get_or_insert((0, 0));
                *known = (known.0 + sent.count, known.1.wrapping_add(sent.millionths));
                let more = arrived.get(&(symbol.as_str(), *minute_ns)).copied().unwrap_or_default();
                tally.arrived = (tally.arrived.0 + more.0, tally.arrived.1.wrapping_add(more.1));
            }
        }
        for ((symbol, epoch), numbers) in &self.numbers {
            let reported = runs.get(*epoch).and_then(|run| run.numbers.get(symbol)).map_or(0, |(_, last)| *last);
            for pair in numbers.windows(2) {
                let missing = pair[1].seq.saturating_sub(pair[0].seq.max(reported)).saturating_sub(1);
                if missing > 0 {
                    tallies.entry((symbol.clone(), pair[1].minute_ns)).or_default().skipped += missing;
                }
            }
        }
        tallies
    }

    /// How many of the numbers that a run reports are here, by symbol and minute, and the sizes of their records.
    fn arrived<'a>(&self, epoch: i64, run: &'a Run) -> HashMap<(&'a str, i64), (u64, i64)> {
        let mut arrived: HashMap<(&str, i64), (u64, i64)> = HashMap::new();
        for (symbol, range) in &run.numbers {
            let numbers = self.numbers.get(&(symbol.clone(), epoch)).into_iter().flatten();
            for number in numbers.filter(|number| (range.0..=range.1).contains(&number.seq)) {
                let known = arrived.entry((symbol, number.minute_ns)).or_default();
                *known = (known.0 + 1, known.1.wrapping_add(number.millionths));
            }
        }
        arrived
    }
}

fn minute_of(record: &Identity) -> i64 {
    record.ts_ns - record.ts_ns.rem_euclid(MINUTE_NS)
}

#[cfg(test)]
mod tests {
    use market::{Sent, SentReport};

    use super::*;
    use crate::audit::sent::Reports;

    fn record(key: u64, seq: u64, second: i64) -> Identity {
        let position = Some((1, seq));
        Identity { symbol: "AAPL".to_owned(), ts_ns: second * 1_000_000_000, key, position, millionths: 10 }
    }

    fn counter(records: &[(u64, u64, i64)]) -> Counter {
        let mut counter = Counter::default();
        for (key, seq, second) in records {
            counter.add(&record(*key, *seq, *second));
            counter.add_number(&record(*key, *seq, *second));
        }
        counter
    }

    fn runs(cells: &[(i64, Sent)]) -> Runs {
        let trades = [("AAPL".to_owned(), cells.iter().copied().collect())].into();
        let mut reports = Reports::default();
        reports.add(SentReport { epoch: 1, report: 1, parts: 1, trades, ..SentReport::default() });
        reports.runs()
    }

    fn sent(count: u64, first: u64, last: u64) -> Sent {
        Sent { count, millionths: i64::try_from(count).unwrap() * 10, first, last }
    }

    fn minute(minute: i64) -> Minute {
        ("AAPL".to_owned(), minute * MINUTE_NS)
    }

    #[test]
    fn repeats_count_once_and_without_a_report_a_step_in_the_numbers_is_missed_where_it_ends() {
        let counter = counter(&[(1, 1, 10), (2, 2, 20), (2, 2, 20), (5, 5, 70)]);
        let tallies = counter.finish(&Runs::default(), Extent::Whole);
        assert_eq!(tallies[&minute(0)], Tally { kafka: 2, ..Tally::default() });
        assert_eq!(tallies[&minute(1)], Tally { kafka: 1, skipped: 2, ..Tally::default() });
    }

    #[test]
    fn what_the_producer_reports_is_compared_number_by_number_and_what_it_has_not_reported_yet_is_not() {
        let all = [(1, 1, 10), (2, 2, 20), (3, 3, 70), (4, 4, 80)];
        let reported = runs(&[(0, sent(2, 1, 2)), (1, sent(1, 3, 3))]);
        let tallies = counter(&all).finish(&reported, Extent::Whole);
        assert!(tallies.values().all(|tally| tally.missing() == 0 && tally.sent == Some(tally.arrived)), "{tallies:?}");
        // The loss at the end of a run, which no later number shows.
        let tallies = counter(&all[..1]).finish(&reported, Extent::Whole);
        assert_eq!([tallies[&minute(0)].missing(), tallies[&minute(1)].missing()], [1, 1]);
        // The same count, but another size.
        let mut other = counter(&all[..2]);
        other.numbers.get_mut(&("AAPL".to_owned(), 1)).unwrap()[0].millionths = 11;
        let tally = &other.finish(&reported, Extent::Whole)[&minute(0)];
        assert!(tally.missing() == 0 && tally.sent != Some(tally.arrived));
    }

    #[test]
    fn a_minute_of_which_the_beginning_was_not_read_is_not_compared() {
        let reported = runs(&[(0, sent(2, 1, 2)), (1, sent(2, 3, 4))]);
        let tallies = counter(&[(2, 2, 20), (3, 3, 70)]).finish(&reported, Extent::Since(Some(15_000_000_000)));
        assert_eq!(tallies[&minute(0)].sent, None);
        assert_eq!(tallies[&minute(1)].missing(), 1);
        let nothing = || Counter::default().finish(&reported, Extent::Since(Some(MINUTE_NS)));
        assert!(!nothing().contains_key(&minute(0)) && nothing()[&minute(1)].missing() == 2);
        assert!(Counter::default().finish(&reported, Extent::Since(None)).is_empty());
    }
}
