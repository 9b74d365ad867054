//! Notices that records are missing which should be there: a server may answer every question and deliver nothing for hours.
//!
//! How long a feed may be quiet is learned from the feed itself, because a sparse one is no broken one, and only regular hours count: by
//! the trading calendar at the feed's own time, so that no evening, weekend, holiday or half day looks like a fault. Pure: the caller has
//! the clock.

use std::time::Duration;

use market::calendar::{Phase, phase_at};
use tokio::time::Instant;

/// Silence below this is never suspicious.
const MUTE_AFTER: Duration = Duration::from_secs(20);
/// Nor is one below so many times the longest pause of late.
const PAUSES: u32 = 5;
/// Longest pauses are remembered for one to two of these.
const WINDOW: Duration = Duration::from_secs(300);
/// A feed that was heard for less is not known well enough.
const LEARNED_AFTER: Duration = Duration::from_secs(60);

/// What is known of a feed's rhythm.
#[derive(Debug, Default)]
pub struct Pulse {
    /// When the last record came, or the connection began.
    last: Option<Instant>,
    /// Feed time of the newest record, Unix milliseconds.
    newest_ms: i64,
    rhythm: Option<Rhythm>,
}

#[derive(Debug)]
struct Rhythm {
    since: Instant,
    window_began: Instant,
    /// The longest pause of this window and of the one before.
    longest: [Duration; 2],
}

impl Pulse {
    /// A new connection begins at `now`: what was missed before it is no pause of the feed.
    pub fn connected(&mut self, now: Instant) {
        self.last = self.rhythm.as_ref().map(|_| now);
    }

    /// Records came at `now`, the newest from `newest_ms`, feed time in Unix milliseconds.
    pub fn beat(&mut self, now: Instant, newest_ms: i64) {
        let rhythm = self.rhythm.get_or_insert(Rhythm { since: now, window_began: now, longest: Default::default() });
        if now - rhythm.window_began >= WINDOW {
            rhythm.window_began = now;
            rhythm.longest = [Duration::ZERO, rhythm.longest[0]];
        }
        let pause = self.last.map_or(Duration::ZERO, |last| now - last);
        // The night between two sessions says nothing about the day.
        if pause > rhythm.longest[0] && phase_at(self.newest_ms) == Phase::Open {
            rhythm.longest[0] = pause;
        }
        self.last = Some(now);
        self.newest_ms = self.newest_ms.max(newest_ms);
    }

    /// How long the feed has been silent at `now`, where that is suspicious. What was learned is forgotten then: a market that is halted is
    /// doubted once, not again and again.
    pub fn doubt(&mut self, now: Instant) -> Option<Duration> {
        let (last, rhythm) = (self.last?, self.rhythm.as_ref()?);
        let silence = now - last;
        let allowed = MUTE_AFTER.max(rhythm.longest[0].max(rhythm.longest[1]) * PAUSES);
        if silence < allowed || last - rhythm.since < LEARNED_AFTER {
            return None;
        }
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let feed_now_ms = self.newest_ms.saturating_add(ms(silence));
        // Open all the while: at the bell the first record may take its time.
        let open = [feed_now_ms, feed_now_ms.saturating_sub(ms(allowed))].map(phase_at) == [Phase::Open; 2];
        open.then(|| *self = Self { newest_ms: self.newest_ms, ..Self::default() })?;
        Some(silence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A feed whose time runs with the clock.
    struct Feed {
        pulse: Pulse,
        now: Instant,
        ms: i64,
    }

    impl Feed {
        fn at(time: &str) -> Self {
            let ms = time.parse::<jiff::Timestamp>().unwrap().as_millisecond();
            Self { pulse: Pulse::default(), now: Instant::now(), ms }
        }

        /// `seconds` pass with a record after each `pause`.
        fn streams(&mut self, seconds: u64, pause: u64) {
            for _ in 0..seconds / pause {
                self.now += Duration::from_secs(pause);
                self.ms += i64::try_from(pause).unwrap() * 1000;
                self.pulse.beat(self.now, self.ms);
                assert_eq!(self.pulse.doubt(self.now), None);
            }
        }

        /// `seconds` pass without a record; when doubt arose.
        fn is_silent(&mut self, seconds: u64) -> Option<u64> {
            let step = if seconds > 3600 { 10 } else { 1 };
            (step..=seconds).step_by(usize::try_from(step).unwrap()).find(|_| {
                self.now += Duration::from_secs(step);
                self.ms += i64::try_from(step).unwrap() * 1000;
                self.pulse.doubt(self.now).is_some()
            })
        }
    }

    const DAY: u64 = 86_400;

    #[test]
    fn a_busy_feed_that_falls_silent_in_regular_hours_is_doubted_after_twenty_seconds_and_once() {
        let mut feed = Feed::at("2024-06-03T14:00:00Z");
        feed.streams(120, 1);
        assert_eq!(feed.is_silent(60), Some(20));
        assert_eq!(feed.is_silent(3600), None, "a halted market is doubted once");
        feed.streams(120, 1);
        assert_eq!(feed.is_silent(60), Some(20), "and after it has traded again");
    }

    #[test]
    fn a_sparse_feed_may_be_silent_for_longer() {
        let mut feed = Feed::at("2024-06-03T14:00:00Z");
        feed.streams(1200, 40);
        assert_eq!(feed.is_silent(199), None);
        let mut feed = Feed::at("2024-06-03T14:00:00Z");
        feed.streams(30, 1);
        assert_eq!(feed.is_silent(60), None, "and one that was hardly heard may be anything");
    }

    #[test]
    fn no_evening_weekend_holiday_or_half_day_is_suspicious() {
        for (last_minutes, seconds) in [
            ("2024-06-07T19:58:00Z", 2 * DAY),  // Friday, to Sunday evening
            ("2024-07-03T16:58:00Z", DAY),      // closes at 13:00 before Independence Day
            ("2024-11-27T20:58:00Z", DAY),      // before Thanksgiving, in winter time
            ("2024-06-03T10:00:00Z", 2 * 3600), // before the market opens
        ] {
            let mut feed = Feed::at(last_minutes);
            feed.streams(120, 1);
            assert_eq!(feed.is_silent(seconds), None, "{last_minutes}");
        }
    }

    #[test]
    fn a_day_that_does_not_begin_is_doubted_twenty_seconds_after_the_bell_and_a_night_teaches_nothing() {
        let mut feed = Feed::at("2024-06-03T19:58:00Z");
        feed.streams(120, 1);
        let until_the_bell = 63_000; // 17 hours and a half
        assert_eq!(feed.is_silent(DAY), Some(until_the_bell + 20));
        let mut feed = Feed::at("2024-06-03T19:58:00Z");
        feed.streams(120, 1);
        assert_eq!(feed.is_silent(until_the_bell + 10), None);
        feed.streams(120, 1);
        assert_eq!(feed.is_silent(60), Some(20), "the pause of the night is none of the day");
    }

    #[test]
    fn a_new_connection_has_its_own_time_to_begin() {
        let mut feed = Feed::at("2024-06-03T14:00:00Z");
        feed.streams(120, 1);
        assert_eq!(feed.is_silent(15), None);
        feed.pulse.connected(feed.now);
        assert_eq!(feed.is_silent(60), Some(20));
    }
}
