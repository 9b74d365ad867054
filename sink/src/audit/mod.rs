//! Compares, by symbol and minute, what the producer numbered, what Kafka holds, what PostgreSQL holds and what the API serves. Pure;
//! the counting is done by the modules below.

pub(crate) mod command;
mod http;
mod kafka;

use std::collections::{BTreeMap, HashSet};

use crate::row::Identity;

/// Nanoseconds in a minute.
const MINUTE_NS: i64 = 60_000_000_000;

/// A symbol's minute, by its start in Unix nanoseconds.
pub(crate) type Minute = (String, i64);

/// Rows of one minute in PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    /// All of them.
    pub(crate) stored: u64,
    /// Those that hold: trades that were cancelled or corrected since are not served.
    pub(crate) holding: u64,
}

/// What the API answered, between two looks at PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// Records that it serves.
    pub(crate) served: u64,
    pub(crate) before: Rows,
    pub(crate) after: Rows,
}

impl Answered {
    /// Whether the answer is one that PostgreSQL could have given at some moment between the two looks: rows that came in the meantime may
    /// be in it, and rows that were voided may not.
    fn is_right(&self) -> bool {
        let void = |rows: &Rows| rows.stored.saturating_sub(rows.holding);
        let came = self.after.stored.saturating_sub(self.before.stored);
        let voided = void(&self.after).saturating_sub(void(&self.before));
        let (least, most) = (self.before.holding.saturating_sub(voided), self.before.holding + came);
        (least..=most).contains(&self.served)
    }
}

/// Records of one minute at each hop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Numbers that the producer gave and that no record in Kafka has.
    pub(crate) missing: u64,
    /// Different records in Kafka that are no dead letters.
    pub(crate) kafka: u64,
    /// Rows in PostgreSQL.
    pub(crate) rows: Rows,
    /// What the API serves; `None` where it was not asked.
    pub(crate) served: Option<Answered>,
}

/// A hop at which records went missing, or came from nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hop {
    /// From the producer to Kafka.
    ProducerToKafka,
    /// From Kafka to PostgreSQL.
    KafkaToPostgres,
    /// From PostgreSQL to the API.
    PostgresToApi,
}

impl std::fmt::Display for Hop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::ProducerToKafka => "producer → Kafka",
            Self::KafkaToPostgres => "Kafka → PostgreSQL",
            Self::PostgresToApi => "PostgreSQL → API",
        })
    }
}

impl Tally {
    /// Where the counts of two neighbours differ. PostgreSQL may hold more than Kafka, which forgets.
    pub(crate) fn differences(&self) -> Vec<Hop> {
        let hops = [
            (self.missing > 0, Hop::ProducerToKafka),
            (self.rows.stored < self.kafka, Hop::KafkaToPostgres),
            (self.served.is_some_and(|answered| !answered.is_right()), Hop::PostgresToApi),
        ];
        hops.into_iter().filter_map(|(differs, hop)| differs.then_some(hop)).collect()
    }
}

/// Counts the records of a topic.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    keys: BTreeMap<Minute, HashSet<u64>>,
    numbers: BTreeMap<(String, i64), Vec<(u64, i64)>>,
}

impl Counter {
    /// Adds one record.
    pub(crate) fn add(&mut self, record: &Identity) {
        let minute_ns = record.ts_ns - record.ts_ns.rem_euclid(MINUTE_NS);
        self.keys.entry((record.symbol.clone(), minute_ns)).or_default().insert(record.key);
        if let Some((epoch, seq)) = record.position {
            self.numbers.entry((record.symbol.clone(), epoch)).or_default().push((seq, minute_ns));
        }
    }

    /// Different records by minute, and numbers that are missing before the first record after them.
    pub(crate) fn finish(self) -> BTreeMap<Minute, Tally> {
        let mut tallies: BTreeMap<Minute, Tally> = self
            .keys
            .into_iter()
            .map(|(minute, keys)| (minute, Tally { kafka: keys.len() as u64, ..Tally::default() }))
            .collect();
        for ((symbol, _), mut numbers) in self.numbers {
            numbers.sort_unstable();
            for pair in numbers.windows(2) {
                let [(before, _), (after, minute_ns)] = [pair[0], pair[1]];
                let missing = (after - before).saturating_sub(1);
                if missing > 0 {
                    tallies.entry((symbol.clone(), minute_ns)).or_default().missing += missing;
                }
            }
        }
        tallies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: u64, seq: u64, second: i64) -> Identity {
        Identity { symbol: "AAPL".to_owned(), ts_ns: second * 1_000_000_000, key, position: Some((1, seq)) }
    }

    #[test]
    fn repeats_count_once_and_a_step_in_the_numbers_is_missed_where_it_ends() {
        let mut counter = Counter::default();
        for (key, seq, second) in [(1, 1, 10), (2, 2, 20), (2, 2, 20), (5, 5, 70)] {
            counter.add(&record(key, seq, second));
        }
        let tallies = counter.finish();
        assert_eq!(tallies[&("AAPL".to_owned(), 0)], Tally { kafka: 2, ..Tally::default() });
        assert_eq!(tallies[&("AAPL".to_owned(), MINUTE_NS)], Tally { kafka: 1, missing: 2, ..Tally::default() });
    }

    #[test]
    fn every_hop_is_named_where_it_loses() {
        let rows = |stored, holding| Rows { stored, holding };
        let tally = |missing, stored, served| Tally {
            missing,
            kafka: 5,
            rows: rows(stored, stored),
            served: Some(Answered { served, before: rows(stored, stored), after: rows(stored, stored) }),
        };
        assert_eq!(tally(0, 5, 5).differences(), []);
        assert_eq!(tally(0, 7, 7).differences(), [], "Kafka forgets");
        assert_eq!(tally(1, 5, 5).differences(), [Hop::ProducerToKafka]);
        assert_eq!(tally(0, 4, 4).differences(), [Hop::KafkaToPostgres]);
        assert_eq!(tally(0, 5, 6).differences(), [Hop::PostgresToApi]);
        assert_eq!(tally(0, 5, 4).differences(), [Hop::PostgresToApi]);
    }

    #[test]
    fn an_answer_may_show_what_came_or_was_voided_while_it_was_given_and_nothing_else() {
        let answered = |served, before: (u64, u64), after: (u64, u64)| Answered {
            served,
            before: Rows { stored: before.0, holding: before.1 },
            after: Rows { stored: after.0, holding: after.1 },
        };
        let right =
            |before, after| (0..20).filter(|served| answered(*served, before, after).is_right()).collect::<Vec<_>>();
        assert_eq!(right((5, 5), (5, 5)), [5]);
        assert_eq!(right((5, 5), (7, 7)), [5, 6, 7], "two came");
        assert_eq!(right((5, 5), (5, 4)), [4, 5], "one was voided");
        assert_eq!(right((5, 4), (6, 4)), [3, 4, 5], "one came, one was voided");
    }
}
