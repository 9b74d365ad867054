//! When something happened, within reason.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::invalid::Invalid;
use crate::wire;

/// 1 January 2000 in Unix milliseconds. What is older is almost always a number of seconds by mistake.
const OLDEST_MS: i64 = 946_684_800_000;
/// How far ahead of our clock a sender's may be.
const AHEAD_MAX_MS: i64 = 24 * 60 * 60 * 1000;

/// A moment in Unix milliseconds, between the year 2000 and tomorrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Instant(i64);

impl Instant {
    /// Checks a moment that stands in `field`. `now_ms`: our clock, in Unix milliseconds.
    ///
    /// # Errors
    /// For a moment before 2000, or more than a day ahead of our clock.
    pub fn new(field: &'static str, ms: i64, now_ms: i64) -> Result<Self, Invalid> {
        if ms < OLDEST_MS {
            let rule = "is before the year 2000 (expected Unix milliseconds; are these seconds?)";
            return Err(Invalid::value(field, &ms.to_string(), rule));
        }
        if ms.saturating_sub(now_ms) > AHEAD_MAX_MS {
            return Err(Invalid::value(
                field,
                &ms.to_string(),
                "is more than a day in the future (expected Unix milliseconds)",
            ));
        }
        Ok(Self(ms))
    }

    /// Reads the JSON of `field`.
    pub(crate) fn read(field: &'static str, json: &RawValue, now_ms: i64) -> Result<Self, Invalid> {
        Self::new(field, wire::whole_number(field, json)?, now_ms)
    }

    /// In Unix milliseconds.
    #[must_use]
    pub const fn ms(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_between_the_year_2000_and_tomorrow() {
        let now_ms = 1_796_000_000_000;
        assert!(Instant::new("timestamp", now_ms, now_ms).is_ok());
        assert!(Instant::new("timestamp", now_ms + AHEAD_MAX_MS, now_ms).is_ok());
        for wrong in [now_ms / 1000, 0, -1, now_ms + AHEAD_MAX_MS + 1, now_ms + 365 * AHEAD_MAX_MS, i64::MAX, i64::MIN]
        {
            assert!(Instant::new("timestamp", wrong, now_ms).is_err(), "{wrong}");
        }
    }
}
