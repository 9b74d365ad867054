//! The rate limit of REST: so many requests in each minute of the clock.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The window's length in seconds.
const WINDOW_S: u64 = 60;

/// Requests a minute, and how many this minute has seen.
#[derive(Debug)]
pub struct RateLimit {
    size: u32,
    window: Mutex<(u64, u32)>,
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether it may go on.
    pub allowed: bool,
    /// Requests left in this window.
    pub remaining: u32,
    /// When the window ends, since the Unix epoch.
    pub reset: Duration,
}

impl RateLimit {
    /// `size` requests a minute.
    #[must_use]
    pub fn new(size: u32) -> Self {
        Self { size, window: Mutex::new((0, 0)) }
    }

    /// Requests a minute.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Counts a request.
    pub fn take(&self) -> Taken {
        self.take_at(epoch_after(Duration::ZERO))
    }

    fn take_at(&self, now: Duration) -> Taken {
        let current = now.as_secs() / WINDOW_S;
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.0 != current {
            *window = (current, 0);
        }
        let allowed = window.1 < self.size;
        window.1 += u32::from(allowed);
        let reset = Duration::from_secs((current + 1) * WINDOW_S);
        Taken { allowed, remaining: self.size - window.1, reset }
    }
}

/// The Unix time in this much time from now, rounded up to a second by whoever prints it.
#[must_use]
pub fn epoch_after(wait: Duration) -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + wait
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_holds_so_many_requests_and_the_next_one_as_many_again() {
        let limit = RateLimit::new(2);
        let at = |seconds| limit.take_at(Duration::from_secs(seconds));
        assert_eq!(at(120), Taken { allowed: true, remaining: 1, reset: Duration::from_secs(180) });
        assert!(at(130).allowed);
        assert_eq!(at(179), Taken { allowed: false, remaining: 0, reset: Duration::from_secs(180) });
        assert!(at(180).allowed);
    }
}
