//! How fast the writer may go, and when it waits in vain. Pure: the caller brings the time.

use std::time::{Duration, Instant};

/// Kafka is away when nothing was acknowledged for this long although records wait for it.
const STALL_MAX: Duration = Duration::from_secs(3);
/// It is away for the records of one partition when the oldest has waited for this long.
const OLDEST_MAX: Duration = Duration::from_secs(30);

/// Tells a Kafka that is away from one that is only slow: a slow one acknowledges something every now and then.
#[derive(Debug, Default)]
pub struct Stall {
    acknowledgements: u64,
    /// When their number last changed, or records began to wait.
    since: Option<Instant>,
}

impl Stall {
    /// Whether Kafka is away. `oldest`: since when the oldest record waits; `acknowledgements`: how many there were so far.
    pub fn is_stalled(&mut self, oldest: Option<Instant>, acknowledgements: u64, now: Instant) -> bool {
        let Some(oldest) = oldest else {
            self.since = None;
            return false;
        };
        if self.acknowledgements != acknowledgements || self.since.is_none() {
            self.since = Some(if self.since.is_none() { oldest } else { now });
            self.acknowledgements = acknowledgements;
        }
        let silent = self.since.map(|since| now.saturating_duration_since(since.max(oldest))).unwrap_or_default();
        silent > STALL_MAX || now.saturating_duration_since(oldest) > OLDEST_MAX
    }
}

/// A bounded rate: records a second, of which at most a tenth of a second's worth at once.
#[derive(Debug)]
pub struct Share {
    rate: f64,
    allowed: f64,
    at: Option<Instant>,
}

impl Share {
    /// `rate`: records a second.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self { rate: rate.into(), allowed: 0.0, at: None }
    }

    /// How many records may go now.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number above 0")]
    pub fn available(&mut self, now: Instant) -> usize {
        let most = (self.rate / 10.0).max(1.0);
        let elapsed = self.at.map_or(most, |at| now.saturating_duration_since(at).as_secs_f64() * self.rate);
        self.at = Some(now);
        self.allowed = (self.allowed + elapsed).min(most);
        self.allowed as usize
    }

    /// So many went.
    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    pub fn spend(&mut self, records: usize) {
        self.allowed -= records as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_slow_kafka_is_not_an_absent_one() {
        let start = Instant::now();
        let mut stall = Stall::default();
        for second in 0..20 {
            let now = start + SECOND * second;
            let oldest = now.checked_sub(SECOND * 10).unwrap_or(start).max(start);
            assert!(
                !stall.is_stalled(Some(oldest), u64::from(second), now),
                "acknowledged something at second {second}"
            );
        }
    }

    #[test]
    fn a_kafka_that_acknowledges_nothing_for_three_seconds_is_away() {
        let start = Instant::now();
        let mut stall = Stall::default();
        assert!(!stall.is_stalled(None, 5, start));
        let sent = start + SECOND * 100; // an idle hour is no stall
        assert!(!stall.is_stalled(Some(sent), 5, sent));
        assert!(!stall.is_stalled(Some(sent), 5, sent + SECOND * 3));
        assert!(stall.is_stalled(Some(sent), 5, sent + SECOND * 3 + SECOND / 2));
    }

    #[test]
    fn a_partition_without_a_leader_is_noticed_while_others_go_on() {
        let start = Instant::now();
        let mut stall = Stall::default();
        let stalled =
            (0..40).find(|second| stall.is_stalled(Some(start), u64::from(*second), start + SECOND * *second));
        assert_eq!(stalled, Some(31));
    }

    #[test]
    fn a_share_is_bounded_over_time_and_at_once() {
        let start = Instant::now();
        let mut share = Share::new(1000);
        assert_eq!(share.available(start), 100);
        share.spend(100);
        assert_eq!(share.available(start), 0);
        assert_eq!(share.available(start + SECOND / 20), 50);
        assert_eq!(share.available(start + SECOND * 60), 100);
    }
}
