//! When a standby may take over: when it has watched the leader's count stand still for long enough, by its own clock. No two machines'
//! clocks are compared, and time in which PostgreSQL could not be asked does not count.

use std::time::{Duration, Instant};

use super::lease::Row;

/// A count that stands still for this long belongs to a dead leader.
pub const STILL_MAX: Duration = Duration::from_millis(3_500);

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Watch {
    seen: Option<(i64, i64, Instant)>,
    moved: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Take the lease as it was seen.
    Take,
    /// Another leads, or may.
    Wait,
}

impl Watch {
    /// Sees the row. `me`: a row of this name was left by an earlier run of this producer, which is dead, because its folder is locked.
    pub fn see(&mut self, row: Option<&Row>, me: &str, now: Instant) -> Verdict {
        let Some(row) = row.filter(|row| !row.holder.is_empty() && row.holder != me) else { return Verdict::Take };
        match self.seen {
            Some((epoch, beats, since)) if (epoch, beats) == (row.epoch, row.beats) => {
                if now.saturating_duration_since(since) >= STILL_MAX { Verdict::Take } else { Verdict::Wait }
            }
            before => {
                self.moved |= before.is_some();
                self.seen = Some((row.epoch, row.beats, now));
                Verdict::Wait
            }
        }
    }

    /// Whether another leader was seen to be alive.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        self.moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(holder: &str, epoch: i64, beats: i64) -> Row {
        Row { holder: holder.to_owned(), epoch, beats, frontier: None, symbols: None }
    }

    #[test]
    fn a_free_lease_and_ones_own_are_taken_at_once() {
        let mut watch = Watch::default();
        assert_eq!(watch.see(None, "me", Instant::now()), Verdict::Take);
        for holder in ["", "me"] {
            assert_eq!(watch.see(Some(&row(holder, 3, 9)), "me", Instant::now()), Verdict::Take);
        }
    }

    #[test]
    fn a_living_leader_is_left_alone_and_a_dead_one_followed_after_seconds() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let mut see = |beats, tenths: u32| {
            watch.see(Some(&row("other", 1, beats)), "me", start + Duration::from_millis(100) * tenths)
        };
        for tenths in 0..100 {
            assert_eq!(see(i64::from(tenths / 25), tenths), Verdict::Wait, "a leader that beats every 2.5 s");
        }
        let first = (76..200).find(|tenths| see(3, *tenths) == Verdict::Take);
        assert_eq!(first, Some(110), "three and a half seconds after the last beat was seen");
    }
}
