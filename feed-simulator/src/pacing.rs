//! Stream time to real time, without a clock of its own.

use std::time::Duration;

use crate::hours::Day;
use crate::source::Pace;
use crate::units::NS_PER_SECOND;

/// A pause in the stream longer than this, at a change of day, is a night that a replay need not wait for.
const NIGHT_NS: i64 = 3600 * NS_PER_SECOND;

/// Says when each batch is due, as time since some start.
#[derive(Clone, Debug)]
pub struct Pacer {
    pace: Pace,
    skips_nights: bool,
    /// This much time after the start …
    origin: Duration,
    /// … the stream showed this time (the first batch's, where not known) …
    origin_ns: Option<i64>,
    /// … and since then this many messages were let through.
    messages: u64,
    last_ns: Option<i64>,
}

impl Pacer {
    /// A pacer whose stream shows `origin_ns` at the start, or where `None`, whose first batch is due at once.
    #[must_use]
    pub fn new(pace: Pace, origin_ns: Option<i64>) -> Self {
        let skips_nights = origin_ns.is_none();
        Self { pace, skips_nights, origin: Duration::ZERO, origin_ns, messages: 0, last_ns: None }
    }

    /// The pace.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// When a batch of `count` messages at stream time `due_ns` may leave; `None` means at once.
    pub fn due(&mut self, due_ns: i64, count: usize) -> Option<Duration> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let last_ns = self.last_ns.replace(due_ns).unwrap_or(due_ns);
        match self.pace {
            Pace::Max => None,
            Pace::Rate(rate) => {
                let after = Duration::from_secs_f64(self.messages as f64 / rate);
                self.messages += count;
                Some(self.origin + after)
            }
            Pace::Speed(speed) => {
                let origin_ns = *self.origin_ns.get_or_insert(due_ns);
                let reached = self.origin + passed(origin_ns, last_ns, speed);
                if self.skips_nights && is_night(last_ns, due_ns) {
                    (self.origin, self.origin_ns) = (reached, Some(due_ns));
                    return Some(reached);
                }
                Some(self.origin + passed(origin_ns, due_ns, speed))
            }
        }
    }

    /// Starts anew from `now` (time since the start), at another pace if given: after a pause or a change of pace. The batch at
    /// stream time `next_ns` is then due at once.
    pub fn rebase(&mut self, now: Duration, pace: Option<Pace>, next_ns: Option<i64>) {
        self.pace = pace.unwrap_or(self.pace);
        self.origin = now;
        self.origin_ns = next_ns;
        self.last_ns = next_ns;
        self.messages = 0;
    }
}

fn passed(from_ns: i64, to_ns: i64, speed: f64) -> Duration {
    let ns = u64::try_from(to_ns.saturating_sub(from_ns)).unwrap_or(0);
    if speed == 1.0 { Duration::from_nanos(ns) } else { Duration::from_nanos(ns).div_f64(speed) }
}

fn is_night(last_ns: i64, due_ns: i64) -> bool {
    due_ns - last_ns > NIGHT_NS && !Day::of(last_ns).holds(due_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = NS_PER_SECOND;

    #[test]
    fn a_speed_divides_the_time_between_batches() {
        let mut pacer = Pacer::new(Pace::Speed(10.0), None);
        assert_eq!(pacer.due(100 * SECOND, 1), Some(Duration::ZERO));
        assert_eq!(pacer.due(130 * SECOND, 1), Some(Duration::from_secs(3)));
        pacer.rebase(Duration::from_secs(60), Some(Pace::Speed(1.0)), Some(131 * SECOND));
        assert_eq!(pacer.due(131 * SECOND, 1), Some(Duration::from_secs(60)));
        assert_eq!(pacer.due(133 * SECOND, 1), Some(Duration::from_secs(62)));
    }

    #[test]
    fn a_night_between_two_days_takes_no_time() {
        let evening = crate::wire::text::parse_time("2013-10-07T23:59:00Z").unwrap();
        let morning = crate::wire::text::parse_time("2013-10-08T08:00:00Z").unwrap();
        let mut pacer = Pacer::new(Pace::Speed(1.0), None);
        pacer.due(evening - 5 * SECOND, 1);
        assert_eq!(pacer.due(evening, 1), Some(Duration::from_secs(5)));
        assert_eq!(pacer.due(morning, 1), Some(Duration::from_secs(5)));
        assert_eq!(pacer.due(morning + SECOND, 1), Some(Duration::from_secs(6)));
    }

    #[test]
    fn max_never_waits() {
        let mut pacer = Pacer::new(Pace::Max, None);
        assert_eq!(pacer.due(0, 1), None);
        assert_eq!(pacer.due(i64::MAX, 1), None);
    }

    proptest! {
        #[test]
        fn a_rate_is_kept_over_any_sequence_of_batches(rate in 1_u32..200_000, counts in prop::collection::vec(1_usize..500, 1..200)) {
            let mut pacer = Pacer::new(Pace::Rate(f64::from(rate)), None);
            let mut sent = 0;
            for count in counts {
                let due = pacer.due(0, count).unwrap();
                prop_assert!((due.as_secs_f64() - f64::from(sent) / f64::from(rate)).abs() < 1e-6);
                sent += u32::try_from(count).unwrap();
            }
        }
    }
}
