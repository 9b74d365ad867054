//! How much one client may ask of the gateway, by what it costs.

use std::time::Instant;

use crate::delivery::client::Cut;

/// Watches how fast one client talks. A unit is a message of up to `UNIT_BYTES`; every further `UNIT_BYTES` are one more, so
/// a list of a thousand symbols costs about as much as they would alone in messages of a few dozen.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    rate: f64,
    left: f64,
    at: Instant,
}

impl Pace {
    /// Seconds' worth of messages that may come at once: a page that subscribes to its whole list one symbol at a time is no attack.
    const BURST_S: f64 = 10.0;
    /// Bytes of a message that cost one unit.
    const UNIT_BYTES: usize = 128;

    /// At most `rate` units a second on average; ten seconds' worth may come at once.
    #[must_use]
    pub fn new(rate: u32, now: Instant) -> Self {
        Self { rate: rate.into(), left: f64::from(rate) * Self::BURST_S, at: now }
    }

    /// What a message of so many bytes costs.
    #[must_use]
    pub fn cost(bytes: usize) -> u32 {
        u32::try_from(bytes / Self::UNIT_BYTES).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Counts a message.
    ///
    /// # Errors
    /// [`Cut::Flood`] when there were too many.
    pub fn spend(&mut self, cost: u32, now: Instant) -> Result<(), Cut> {
        let rested = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.at = now;
        self.left = (self.left + rested).min(self.rate * Self::BURST_S) - f64::from(cost);
        if self.left >= 0.0 { Ok(()) } else { Err(Cut::Flood) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_client_may_say_much_at_once_but_not_for_long() {
        let mut now = Instant::now();
        let mut pace = Pace::new(100, now);
        assert!((0..1_000).all(|_| pace.spend(1, now).is_ok()));
        assert_eq!(pace.spend(1, now), Err(Cut::Flood));
        now += Duration::from_millis(20);
        for _ in 0..100 {
            now += Duration::from_millis(100);
            assert!((0..10).all(|_| pace.spend(1, now).is_ok()), "the rate itself never ends");
        }
    }

    #[test]
    fn a_large_message_costs_as_much_as_many_small_ones() {
        let now = Instant::now();
        let mut pace = Pace::new(100, now);
        let taken = (0..1_000).take_while(|_| pace.spend(Pace::cost(12_000), now).is_ok()).count();
        assert_eq!((Pace::cost(20), taken), (1, 10));
    }
}
