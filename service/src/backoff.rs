//! Waits between attempts: doubling up to a cap, with full jitter, so that many clients do not come back at once.

use std::time::Duration;

use rand::Rng;
use rand::RngExt as _;

/// The n-th wait is a random time between zero and `min(cap, base × 2ⁿ)`.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Starts with no failure behind it.
    #[must_use]
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// Counts one more failure and says how long to wait.
    pub fn next_wait(&mut self, random: &mut impl Rng) -> Duration {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(random.random::<f64>())
    }

    /// The longest that the next wait can be.
    #[must_use]
    pub fn ceiling(&self) -> Duration {
        self.base.saturating_mul(2_u32.saturating_pow(self.failures.min(31))).min(self.cap)
    }

    /// Failures in a row so far.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Forgets all failures. Call it only after the thing has worked for a while, not at the first sign of life.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap_and_no_wait_passes_it() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
        let mut random = rand::rng();
        for expected in [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
            assert_eq!(backoff.ceiling(), Duration::from_secs_f64(expected));
            assert!(backoff.next_wait(&mut random) <= Duration::from_secs_f64(expected));
        }
        backoff.reset();
        assert_eq!(backoff.ceiling(), Duration::from_millis(500));
        for _ in 0..100 {
            backoff.next_wait(&mut random);
        }
        assert_eq!(backoff.ceiling(), Duration::from_secs(60));
    }
}
