//! The feed's time by our clock.
//!
//! An outage is seen by our clock (when frames arrived, when the subscription was acknowledged), but history is asked for in the feed's
//! time. A live feed's time is ours; a delayed feed is a constant behind; a replayed day has a time of its own. The difference is taken
//! from many frames by rank, so that no single stamp can move it: a trade stamped 37 minutes ahead or in 1970 is one vote of 64. Pure.

use std::collections::VecDeque;

/// Frames that vote. More would follow a fast replay too slowly.
const VOTES: usize = 64;
/// Votes of what is known before the first frame.
const PRIOR_VOTES: usize = 3;
/// With fewer votes the middle one decides; a quartile would be the word of a single frame.
const QUARTILE_FROM: usize = 16;
/// A first record this near to what is expected confirms it.
const NEAR_NS: i64 = 3_600 * NS_PER_S;
/// The largest lateness that is believed. Later reports are stored, but no outage is widened for them.
pub const LATE_MAX_NS: i64 = 1_800 * NS_PER_S;
/// The same for stamps that are ahead of the feed.
pub const EARLY_MAX_NS: i64 = 3_600 * NS_PER_S;
/// Extremes are remembered for one to two of these.
const EXTREMES_NS: i64 = 6 * 3_600 * NS_PER_S;
const NS_PER_S: i64 = 1_000_000_000;

/// What one run leaves to the next. All in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Habits {
    /// The feed's time minus ours.
    pub offset_ns: i64,
    /// The latest report.
    pub late_ns: i64,
    /// The stamp that was furthest ahead.
    pub early_ns: i64,
}

/// What the frames of one feed say about its time. "Our clock" is any clock that never steps; Unix nanoseconds.
#[derive(Debug)]
pub struct FeedTime {
    /// Offsets of the last frames (stamp minus arrival), oldest first.
    votes: VecDeque<i64>,
    /// The same in order of size.
    ranked: Vec<i64>,
    known: bool,
    late: Extreme,
    early: Extreme,
}

impl FeedTime {
    /// Before the first frame. `last`: what the last run knew; without it the feed is expected to be live.
    #[must_use]
    pub fn new(last: Option<Habits>) -> Self {
        let habits = last.unwrap_or_default();
        Self {
            votes: std::iter::repeat_n(habits.offset_ns, PRIOR_VOTES).collect(),
            ranked: vec![habits.offset_ns; PRIOR_VOTES],
            known: last.is_some(),
            late: Extreme::new(habits.late_ns),
            early: Extreme::new(habits.early_ns),
        }
    }

    /// A frame arrived at `at_ns` by our clock; `ts_ns` is the stamp of its last record.
    pub fn frame(&mut self, at_ns: i64, ts_ns: i64) {
        let offset = ts_ns.saturating_sub(at_ns);
        self.known |= offset.abs_diff(self.ranked[self.ranked.len() / 2]) <= NEAR_NS.unsigned_abs();
        self.votes.push_back(offset);
        if self.votes.len() > VOTES {
            self.votes.pop_front();
        }
        self.known |= self.votes.len() > 2 * PRIOR_VOTES;
        self.ranked.clear();
        self.ranked.extend(&self.votes);
        self.ranked.sort_unstable();
    }

    /// A trade of `ts_ns` arrived at `at_ns`: how late or early this feed's reports may be.
    pub fn trade(&mut self, at_ns: i64, ts_ns: i64) {
        if !self.known {
            return;
        }
        let late_ns = self.middle_at(at_ns).saturating_sub(ts_ns);
        if late_ns > 0 {
            self.late.note(at_ns, late_ns, LATE_MAX_NS);
        } else {
            self.early.note(at_ns, late_ns.saturating_neg(), EARLY_MAX_NS);
        }
    }

    /// Whether enough is known to say what time the feed has.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// The feed's time at `at_ns` of our clock, or a little earlier: the lower quartile.
    #[must_use]
    pub fn earliest_at(&self, at_ns: i64) -> i64 {
        at_ns.saturating_add(self.ranked[self.quartile()])
    }

    /// The same or a little later: the upper quartile.
    #[must_use]
    pub fn latest_at(&self, at_ns: i64) -> i64 {
        at_ns.saturating_add(self.ranked[self.ranked.len() - 1 - self.quartile()])
    }

    /// The middle of both.
    #[must_use]
    pub fn middle_at(&self, at_ns: i64) -> i64 {
        at_ns.saturating_add(self.ranked[(self.ranked.len() - 1) / 2])
    }

    fn quartile(&self) -> usize {
        if self.ranked.len() < QUARTILE_FROM { (self.ranked.len() - 1) / 2 } else { self.ranked.len() / 4 }
    }

    /// What the next run should know.
    #[must_use]
    pub fn habits(&self) -> Habits {
        Habits { offset_ns: self.middle_at(0), late_ns: self.late.most(), early_ns: self.early.most() }
    }

    /// The largest lateness of late, nanoseconds.
    #[must_use]
    pub fn late_ns(&self) -> i64 {
        self.late.most()
    }
}

/// The largest value of the last hours.
#[derive(Debug)]
struct Extreme {
    began_ns: Option<i64>,
    now: i64,
    before: i64,
}

impl Extreme {
    fn new(before: i64) -> Self {
        Self { began_ns: None, now: 0, before }
    }

    fn note(&mut self, at_ns: i64, value: i64, most: i64) {
        let began_ns = *self.began_ns.get_or_insert(at_ns);
        if at_ns.saturating_sub(began_ns) > EXTREMES_NS {
            (self.began_ns, self.before, self.now) = (Some(at_ns), self.now, 0);
        }
        if value <= most {
            self.now = self.now.max(value);
        }
    }

    fn most(&self) -> i64 {
        self.now.max(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = NS_PER_S;
    const NOW: i64 = 1_732_800_000 * S;

    #[test]
    fn a_live_feed_is_known_with_its_first_record_and_a_replayed_day_after_a_few() {
        let mut live = FeedTime::new(None);
        live.frame(NOW, NOW - S / 100);
        assert!(live.is_known());
        assert!((live.middle_at(NOW) - NOW).abs() <= S / 100);
        let mut replayed = FeedTime::new(None);
        let day = -11 * 365 * 86_400 * S;
        for frame in 0..4 {
            assert!(!replayed.is_known(), "{frame} frames");
            replayed.frame(NOW + frame * S, NOW + frame * S + day);
        }
        assert!(replayed.is_known());
        assert_eq!(replayed.middle_at(NOW), NOW + day);
        assert_eq!(FeedTime::new(Some(replayed.habits())).earliest_at(NOW), NOW + day, "the next run knows");
    }

    #[test]
    fn lateness_is_measured_bounded_and_forgotten() {
        let mut time = FeedTime::new(None);
        for second in 0..20 {
            time.frame(NOW + second * S, NOW + second * S);
        }
        time.trade(NOW, NOW - 120 * S);
        time.trade(NOW, 0);
        time.trade(NOW, NOW + 37 * 60 * S);
        assert_eq!((time.late_ns(), time.habits().early_ns), (120 * S, 37 * 60 * S), "1970 is no lateness");
        for hours in 1..=20 {
            time.trade(NOW + hours * 3_600 * S, NOW + hours * 3_600 * S - S);
        }
        assert_eq!(time.late_ns(), S);
    }

    proptest! {
        /// Up to a quarter of the frames may say anything.
        #[test]
        fn no_minority_of_stamps_moves_the_clock(
            wrong in prop::collection::vec(any::<i64>(), 0..8),
            places in prop::collection::vec(0_usize..40, 8),
        ) {
            let mut time = FeedTime::new(None);
            for at in 0..40_i64 {
                let lie = places.iter().position(|place| *place == usize::try_from(at).unwrap());
                let honest = NOW + at * S - S / 1000;
                let stamp = lie.and_then(|lie| wrong.get(lie)).map_or(honest, |wrong| *wrong);
                time.frame(NOW + at * S, stamp);
                // With few frames heard, few may lie.
                if at >= 33 {
                    let now = NOW + at * S;
                    prop_assert!((time.middle_at(now) - now).abs() <= S / 1000, "{}", time.middle_at(now) - now);
                    prop_assert!(time.earliest_at(now) <= now && time.earliest_at(now) >= now - S);
                    prop_assert!(time.latest_at(now) >= now - S / 1000 && time.latest_at(now) <= now + S);
                }
            }
        }
    }
}
