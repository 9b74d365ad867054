//! Compares, by symbol and minute, what the producer says that it sent, what Kafka holds, what PostgreSQL holds and what the API serves. Pure;
//! the counting is done by the modules below.

pub(crate) mod command;
mod counter;
mod gaps;
mod http;
mod kafka;
mod sent;

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
    /// Trades that the producer numbered, by its own account, and their sizes in millionths; `None` if its account does not cover the minute.
    pub(crate) sent: Option<(u64, i64)>,
    /// How many of those are in Kafka, and their sizes.
    pub(crate) arrived: (u64, i64),
    /// Numbers behind the producer's last report that no record in Kafka has, although a later one is there.
    pub(crate) skipped: u64,
    /// What is missing was fetched again: an outage that covers the minute is healed, and Kafka holds as many different records as were sent.
    pub(crate) fetched_again: bool,
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
    /// Numbers that the producer gave and that no record in Kafka has.
    pub(crate) fn missing(&self) -> u64 {
        self.sent.map_or(0, |(sent, _)| sent.saturating_sub(self.arrived.0)) + self.skipped
    }

    /// Whether Kafka holds other numbers than the producer gave.
    pub(crate) fn differs_from_sent(&self) -> bool {
        self.skipped > 0 || self.sent.is_some_and(|sent| sent != self.arrived)
    }

    /// Whether Kafka holds as many different records as the producer numbered.
    pub(crate) fn holds_all(&self) -> bool {
        self.kafka >= self.sent.map_or(self.arrived.0, |(sent, _)| sent) + self.skipped
    }

    /// Where the counts of two neighbours differ. PostgreSQL may hold more than Kafka, which forgets.
    pub(crate) fn differences(&self) -> Vec<Hop> {
        let hops = [
            (self.differs_from_sent() && !self.fetched_again, Hop::ProducerToKafka),
            (self.rows.stored < self.kafka, Hop::KafkaToPostgres),
            (self.served.is_some_and(|answered| !answered.is_right()), Hop::PostgresToApi),
        ];
        hops.into_iter().filter_map(|(differs, hop)| differs.then_some(hop)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hop_is_named_where_it_loses() {
        let rows = |stored, holding| Rows { stored, holding };
        let tally = |skipped, stored, served| Tally {
            skipped,
            kafka: 5,
            rows: rows(stored, stored),
            served: Some(Answered { served, before: rows(stored, stored), after: rows(stored, stored) }),
            ..Tally::default()
        };
        assert_eq!(tally(0, 5, 5).differences(), []);
        assert_eq!(tally(0, 7, 7).differences(), [], "Kafka forgets");
        assert_eq!(tally(1, 5, 5).differences(), [Hop::ProducerToKafka]);
        assert_eq!(Tally { fetched_again: true, ..tally(1, 5, 5) }.differences(), []);
        for sent in [(6, 60), (5, 51), (4, 40)] {
            let tally = Tally { sent: Some(sent), arrived: (5, 50), ..tally(0, 5, 5) };
            assert_eq!(tally.differences(), [Hop::ProducerToKafka], "{sent:?}");
        }
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
