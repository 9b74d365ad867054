//! A clock that never steps: the wall clock at its start, and from then on the time that has passed.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// The clock. Copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    began: Instant,
    wall: Duration,
}

impl Default for Steady {
    fn default() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), wall }
    }
}

impl Steady {
    /// Now, in Unix nanoseconds.
    #[must_use]
    pub fn now_ns(&self) -> i64 {
        i64::try_from((self.wall + self.began.elapsed()).as_nanos()).unwrap_or(i64::MAX)
    }
}
