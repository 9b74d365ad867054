//! From when to when a feed may have sent what we do not have: by our clock, never by one record's stamp.
//!
//! What one connection delivered is complete from the acknowledgement of its subscription to the last frame with a record. Everything
//! between that frame and the first one after the next acknowledgement is an outage, whatever the records say. Stamps only widen it: by
//! the largest lateness that this feed has shown, because a trade that happened before the outage may have been reported during it. Pure.

use market::NS_PER_MS;
use market::calendar::{Phase, phase_at};

use super::clock::{FeedTime, Habits};

const NS_PER_SECOND: i64 = 1_000_000_000;
/// With the market closed nothing may come for hours; then a subscription that stood for so long ends the outage.
const STANDS_AFTER_NS: i64 = 5 * NS_PER_SECOND;
/// How long, and for how many frames at most, the first records after an outage are asked what time the feed has now: a replay
/// may have gone on at its own pace.
const SETTLE_NS: i64 = 2 * NS_PER_SECOND;
const SETTLE_FRAMES: usize = 8;

/// An outage as it begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It began at this feed time, Unix nanoseconds.
    Began {
        /// Nothing from here on is known to be complete.
        from_ns: i64,
        /// Why, for people.
        cause: String,
    },
    /// It ended at this feed time.
    Ended {
        /// From here on the stream is complete.
        to_ns: i64,
    },
}

/// The evidence about one feed. Times named `at_ns` are ours, from a clock that never steps.
#[derive(Debug)]
pub struct Extents {
    time: FeedTime,
    /// When the stream was last known to be complete: a record came, or the subscription was acknowledged.
    complete_ns: Option<i64>,
    /// Whether the present connection's subscription was acknowledged, and when.
    subscribed_ns: Option<i64>,
    outage: Option<Outage>,
}

#[derive(Debug)]
struct Outage {
    from_ns: i64,
    /// The feed answered and sent nothing: an acknowledgement proves nothing then.
    silent: bool,
    /// The first record after it came then, and these are the offsets of the first frames.
    first: Option<(i64, Vec<i64>)>,
}

impl Extents {
    /// Nothing heard in this run. `outage_from_ns`: an outage of the last run goes on.
    #[must_use]
    pub fn new(last: Option<Habits>, outage_from_ns: Option<i64>) -> Self {
        let outage = outage_from_ns.map(|from_ns| Outage { from_ns, silent: false, first: None });
        Self { time: FeedTime::new(last), complete_ns: None, subscribed_ns: None, outage }
    }

    /// The feed's time.
    #[must_use]
    pub fn time(&self) -> &FeedTime {
        &self.time
    }

    /// Whether all that the feed sends now arrives, as far as anybody can know.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.outage.is_none() && self.subscribed_ns.is_some()
    }

    /// The feed's time when a record that comes at `at_ns` is heard, for what must be known after a crash: not later than it is.
    #[must_use]
    pub fn heard_ns(&self, at_ns: i64) -> Option<i64> {
        self.time.is_known().then(|| self.time.earliest_at(at_ns))
    }

    /// A trade was in the frame that is arriving.
    pub fn trade(&mut self, at_ns: i64, ts_ns: i64) {
        self.time.trade(at_ns, ts_ns);
    }

    /// A frame with records arrived; `ts_ns` is the stamp of the last of them.
    pub fn frame(&mut self, at_ns: i64, ts_ns: i64) -> Option<Change> {
        self.time.frame(at_ns, ts_ns);
        if self.subscribed_ns.is_some() {
            self.complete_ns = Some(at_ns);
            if let Some(outage) = &mut self.outage {
                let (_, offsets) = outage.first.get_or_insert((at_ns, Vec::with_capacity(SETTLE_FRAMES)));
                offsets.push(ts_ns.saturating_sub(at_ns));
            }
        }
        self.settle(at_ns)
    }

    /// A connection begins.
    pub fn connected(&mut self) {
        self.subscribed_ns = None;
    }

    /// Its subscription is acknowledged: what the feed sends from now on arrives.
    pub fn subscribed(&mut self, at_ns: i64) {
        self.subscribed_ns = Some(at_ns);
        if self.outage.is_none() {
            self.complete_ns = Some(at_ns);
        }
    }

    /// The connection is over. An outage that goes on stays the same one.
    pub fn lost(&mut self, cause: &str) -> Option<Change> {
        self.subscribed_ns = None;
        self.begin(cause, false)
    }

    /// The feed answers and sends nothing, which it should not.
    pub fn silent(&mut self, cause: &str) -> Option<Change> {
        self.begin(cause, true)
    }

    fn begin(&mut self, cause: &str, silent: bool) -> Option<Change> {
        if let Some(outage) = &mut self.outage {
            outage.first = None;
            outage.silent |= silent;
            return None;
        }
        let complete_ns = self.complete_ns?; // nothing ever came, so nothing was promised
        let from_ns = self.time.earliest_at(complete_ns).saturating_sub(self.time.late_ns());
        self.outage = Some(Outage { from_ns, silent, first: None });
        Some(Change::Began { from_ns, cause: cause.to_owned() })
    }

    /// Time passes.
    pub fn tick(&mut self, at_ns: i64) -> Option<Change> {
        self.settle(at_ns).or_else(|| self.stand(at_ns))
    }

    /// The first records came: the outage ended with the first of them.
    fn settle(&mut self, at_ns: i64) -> Option<Change> {
        let (first_ns, offsets) = self.outage.as_ref()?.first.as_ref()?;
        if offsets.len() < SETTLE_FRAMES && at_ns.saturating_sub(*first_ns) < SETTLE_NS {
            return None;
        }
        let mut offsets = offsets.clone();
        offsets.sort_unstable();
        // The votes from before the outage still count here; where few frames came they alone decide.
        let few = offsets.len() < SETTLE_FRAMES / 2;
        let by_new = if few { i64::MIN } else { first_ns.saturating_add(offsets[(offsets.len() - 1) / 2]) };
        let to_ns = self.time.latest_at(*first_ns).max(by_new);
        self.end(to_ns)
    }

    /// No record comes because the market is closed: the outage is over where the subscription stands.
    fn stand(&mut self, at_ns: i64) -> Option<Change> {
        let (outage, subscribed_ns) = (self.outage.as_ref()?, self.subscribed_ns?);
        if outage.first.is_some() || at_ns.saturating_sub(subscribed_ns) < STANDS_AFTER_NS {
            return None;
        }
        let phase = phase_at(self.time.middle_at(at_ns).div_euclid(NS_PER_MS));
        let over = if outage.silent { phase == Phase::Closed } else { phase != Phase::Open };
        let to_ns = self.time.latest_at(at_ns);
        over.then(|| self.end(to_ns)).flatten()
    }

    fn end(&mut self, to_ns: i64) -> Option<Change> {
        let outage = self.outage.take()?;
        Some(Change::Ended { to_ns: to_ns.max(outage.from_ns) })
    }
}

#[cfg(test)]
mod tests;
