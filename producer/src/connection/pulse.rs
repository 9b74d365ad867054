//! Notices that records are missing which should be there: a server may answer every question and deliver nothing for hours.
//!
//! Doubt starts with the subscription: a feed that never sends a record is doubted like one that stops. How long it may be silent is
//! learned from the feed as soon as it has said something, because a sparse feed is not a broken one. Only regular hours count, by the
//! trading calendar at the feed's own time, so that no evening, weekend, holiday or half day looks like a fault; symbols that the feed
//! reports as halted owe nothing. Pure: the caller has the clock.

use std::collections::HashSet;
use std::time::Duration;

use market::Symbol;
use market::calendar::{Phase, phase_at};
use tokio::time::Instant;

/// Silence below this is never suspicious, however busy the feed.
const SILENT_AFTER: Duration = Duration::from_secs(10);
/// Silence above this is suspicious for every feed with a record a second.
const BUSY_MAX: Duration = Duration::from_secs(30);
/// Nor is one below so many times the longest pause of late.
const PAUSES: u32 = 5;
/// Longest pauses are remembered for one to two of these.
const WINDOW: Duration = Duration::from_secs(300);
/// A feed that was heard for less is not known well enough.
const LEARNED_AFTER: Duration = Duration::from_secs(60);
/// The longest time for which a silent connection is kept before another one is tried.
const KEPT_MAX: Duration = Duration::from_secs(600);

/// What is known of a feed's rhythm.
#[derive(Debug)]
pub struct Pulse {
    /// When the last record came, or the subscription was acknowledged.
    since: Option<Instant>,
    rhythm: Option<Rhythm>,
    /// How long an unknown feed may take for its first record.
    first_within: Duration,
    /// Connections that were left since the last record.
    left: u32,
    halted: HashSet<Symbol>,
    /// Symbols that are subscribed; `None` for all.
    carried: Option<usize>,
}

#[derive(Debug)]
struct Rhythm {
    since: Instant,
    window_began: Instant,
    /// Of this window and of the one before: the longest pause, and frames with records.
    longest: [Duration; 2],
    frames: [u32; 2],
}

/// A silence that should not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// How long it has lasted.
    pub silence: Duration,
    /// Whether another connection should be tried.
    pub leave: bool,
}

impl Pulse {
    /// Nothing known. `first_within`: how long the feed may take for its first record while the market is open.
    #[must_use]
    pub fn new(first_within: Duration) -> Self {
        Self { since: None, rhythm: None, first_within, left: 0, halted: HashSet::new(), carried: None }
    }

    /// A subscription was acknowledged at `now`: what was missed before it is no pause of the feed.
    pub fn subscribed(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// A connection is over: nothing is expected until the next subscription.
    pub fn lost(&mut self) {
        self.since = None;
        self.halted.clear();
    }

    /// So many symbols are subscribed; `None` for all.
    pub fn carries(&mut self, symbols: Option<usize>) {
        self.carried = symbols;
    }

    /// The feed reports that a symbol is halted, or trades again.
    pub fn halted(&mut self, symbol: Symbol, halted: bool) {
        if halted {
            self.halted.insert(symbol);
        } else {
            self.halted.remove(&symbol);
        }
    }

    /// A frame with records came at `now`, `feed_ms` by the feed's time in Unix milliseconds.
    pub fn beat(&mut self, now: Instant, feed_ms: i64) {
        let pause = self.since.map_or(Duration::ZERO, |since| now - since);
        (self.since, self.left) = (Some(now), 0);
        let rhythm = self.rhythm.get_or_insert(Rhythm {
            since: now,
            window_began: now,
            longest: Default::default(),
            frames: Default::default(),
        });
        if now - rhythm.window_began >= WINDOW {
            rhythm.window_began = now;
            rhythm.longest = [Duration::ZERO, rhythm.longest[0]];
            rhythm.frames = [0, rhythm.frames[0]];
        }
        rhythm.frames[0] = rhythm.frames[0].saturating_add(1);
        // The night between two sessions says nothing about the day.
        if pause > rhythm.longest[0] && is_open_for(feed_ms, pause) {
            rhythm.longest[0] = pause;
        }
    }

    /// The silence at `now`, when it is suspicious. `feed_ms`: the feed's time in Unix milliseconds.
    pub fn doubt(&mut self, now: Instant, feed_ms: i64) -> Option<Doubt> {
        let silence = now - self.since?;
        let (allowed, known) = self.allowed(now);
        if silence < allowed || !is_open_for(feed_ms, allowed) || self.all_halted() {
            return None;
        }
        // A feed that is not known gets twice the time before its connection is blamed, and each one that brought nothing doubles it.
        let kept = allowed * if known { 1 } else { 2 };
        let leave = silence >= kept.saturating_mul(1 << self.left.min(16)).min(KEPT_MAX.max(kept));
        self.left += u32::from(leave);
        Some(Doubt { silence, leave })
    }

    /// How long the feed may be silent, and whether it is known well.
    fn allowed(&self, now: Instant) -> (Duration, bool) {
        let Some(rhythm) = &self.rhythm else { return (self.first_within, false) };
        let pauses = rhythm.longest[0].max(rhythm.longest[1]) * PAUSES;
        let heard = self.since.map_or(Duration::ZERO, |since| since - rhythm.since);
        if heard < LEARNED_AFTER {
            return (self.first_within.max(pauses), false);
        }
        let whole = WINDOW + now.duration_since(rhythm.window_began);
        let span = whole.min(now - rhythm.since);
        let busy = u64::from(rhythm.frames[0]) + u64::from(rhythm.frames[1])
            >= span.as_secs().saturating_sub(BUSY_MAX.as_secs());
        let allowed = SILENT_AFTER.max(pauses);
        (if busy { allowed.min(BUSY_MAX) } else { allowed }, true)
    }

    fn all_halted(&self) -> bool {
        !self.halted.is_empty() && self.carried.is_some_and(|carried| self.halted.len() >= carried)
    }
}

/// Whether the market has been open for as long. At the bell the first record may take its time.
fn is_open_for(feed_ms: i64, time: Duration) -> bool {
    let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    [feed_ms, feed_ms.saturating_sub(ms)].map(phase_at) == [Phase::Open; 2]
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
            let mut pulse = Pulse::new(BUSY_MAX);
            let now = Instant::now();
            pulse.subscribed(now);
            Self { pulse, now, ms }
        }

        fn wait(&mut self, seconds: u64) -> Option<Doubt> {
            self.now += Duration::from_secs(seconds);
            self.ms += i64::try_from(seconds).unwrap() * 1000;
            self.pulse.doubt(self.now, self.ms)
        }

        /// `seconds` pass with a record after each `pause`; how often there was doubt.
        fn streams(&mut self, seconds: u64, pause: u64) -> usize {
            let doubts = (0..seconds / pause).filter(|_| {
                let doubt = self.wait(pause);
                self.pulse.beat(self.now, self.ms);
                doubt.is_some()
            });
            doubts.count()
        }

        /// `seconds` pass without a record; when doubt arose.
        fn is_silent(&mut self, seconds: u64) -> Option<u64> {
            let step = if seconds > 3600 { 10 } else { 1 };
            (step..=seconds).step_by(usize::try_from(step).unwrap()).find(|_| self.wait(step).is_some())
        }
    }

    const DAY: u64 = 86_400;

    #[test]
    fn a_busy_feed_that_falls_silent_in_regular_hours_is_doubted_after_ten_seconds_and_until_a_record_comes() {
        let mut feed = Feed::at("2024-06-03T14:00:00Z");
        assert_eq!(feed.streams(120, 1), 0);
        assert_eq!(feed.is_silent(60), Some(10));
        assert!((0..600).all(|_| feed.wait(1).is_some()), "doubt lasts as long as the silence");
        feed.pulse.beat(feed.now, feed.ms);
        assert_eq!(feed.wait(1), None);
    }

    #[test]
    fn a_feed_that_is_silent_from_its_subscription_on_is_doubted_after_thirty_seconds() {
        let mut feed = Feed::at("2024-06-03T14:00:00Z");
        assert_eq!(feed.is_silent(60), Some(30));
        let mut feed = Feed::at("2024-06-03T14:00:00Z");
        feed.streams(5, 1);
        assert_eq!(feed.is_silent(60), Some(30), "and one that was hardly heard");
    }

    #[test]
    fn a_feed_of_a_record_a_second_is_doubted_after_thirty_seconds_at_most() {
        let mut feed = Feed::at("2024-06-03T14:00:00Z");
        for _ in 0..30 {
            feed.streams(12, 1);
            feed.wait(8); // one long pause in each 20 s
            (0..8).for_each(|_| feed.pulse.beat(feed.now, feed.ms));
        }
        assert_eq!(feed.is_silent(120), Some(30), "five such pauses would be more");
    }

    #[test]
    fn another_connection_is_tried_less_and_less_often() {
        let mut feed = Feed::at("2024-06-03T14:00:00Z");
        feed.streams(120, 1);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let began = feed.now;
            while !feed.wait(1).is_some_and(|doubt| doubt.leave) {}
            waits.push((feed.now - began).as_secs());
            feed.pulse.lost();
            assert_eq!(feed.wait(1), None, "without a connection nothing is owed");
            feed.pulse.subscribed(feed.now);
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600]);
    }

    #[test]
    fn a_sparse_feed_may_be_silent_for_longer() {
        let mut feed = Feed::at("2024-06-03T14:00:00Z");
        assert!(feed.streams(1200, 40) <= 1, "doubted at most once, before anything is known of it");
        assert_eq!(feed.is_silent(199), None);
    }

    #[test]
    fn symbols_that_are_halted_owe_nothing() {
        let mut feed = Feed::at("2024-06-03T14:00:00Z");
        let [a, b] = ["A", "B"].map(|name| Symbol::new(name).unwrap());
        feed.pulse.carries(Some(2));
        feed.streams(120, 1);
        feed.pulse.halted(a, true);
        assert_eq!(feed.is_silent(60), Some(10), "the other one trades");
        feed.pulse.halted(b, true);
        assert_eq!(feed.is_silent(3600), None);
        feed.pulse.halted(a, false);
        assert!(feed.wait(1).is_some());
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
    fn a_day_that_does_not_begin_is_doubted_ten_seconds_after_the_bell_and_a_night_teaches_nothing() {
        let mut feed = Feed::at("2024-06-03T19:58:00Z");
        feed.streams(120, 1);
        let until_the_bell = 63_000; // 17 hours and a half
        assert_eq!(feed.is_silent(DAY), Some(until_the_bell + 10));
        let mut feed = Feed::at("2024-06-03T19:58:00Z");
        feed.streams(120, 1);
        assert_eq!(feed.is_silent(until_the_bell + 5), None);
        feed.streams(120, 1);
        assert_eq!(feed.is_silent(60), Some(10), "the pause of the night is none of the day");
    }

    #[test]
    fn a_new_connection_has_its_own_time_to_begin() {
        let mut feed = Feed::at("2024-06-03T14:00:00Z");
        feed.streams(120, 1);
        assert_eq!(feed.is_silent(5), None);
        feed.pulse.subscribed(feed.now);
        assert_eq!(feed.is_silent(60), Some(10));
    }
}
