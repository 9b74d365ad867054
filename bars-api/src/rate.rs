//! How often a caller may ask: a count per caller and minute.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Length of a window in seconds.
const WINDOW_S: i64 = 60;
/// Callers that are counted one by one; whoever comes after them in the same minute shares one count.
const CALLERS_MAX: usize = 100_000;

/// Counts requests.
#[derive(Debug)]
pub struct Rate {
    /// Requests a minute from one caller; 0 for any number.
    limit: u32,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    number: i64,
    asked: HashMap<Caller, u32>,
}

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Whoever has this key (its place in the list).
    Key(usize),
    /// An address without a key.
    Address(IpAddr),
    /// All others, where there are too many to count.
    Others,
}

/// What a caller may still ask in this minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests a minute.
    pub limit: u32,
    /// How many are left.
    pub remaining: u32,
    /// When the count begins anew, in Unix seconds.
    pub reset_s: i64,
}

/// A caller is beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded(pub Allowance);

impl Rate {
    /// At most `limit` requests a minute from one caller; 0 for any number.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit, window: Mutex::default() }
    }

    /// Counts a request of `caller` and says what it may still ask; `None` where that is not limited.
    ///
    /// # Errors
    /// [`Exceeded`] beyond the limit.
    pub fn count(&self, caller: Caller, now_s: i64) -> Result<Option<Allowance>, Exceeded> {
        let limit = self.limit;
        if limit == 0 {
            return Ok(None);
        }
        let number = now_s.div_euclid(WINDOW_S);
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner); // counts cannot be half-done
        if window.number != number {
            *window = Window { number, asked: HashMap::new() };
        }
        let known = window.asked.len() < CALLERS_MAX || window.asked.contains_key(&caller);
        let asked = window.asked.entry(if known { caller } else { Caller::Others }).or_default();
        let reset_s = (number + 1) * WINDOW_S;
        if *asked >= limit {
            return Err(Exceeded(Allowance { limit, remaining: 0, reset_s }));
        }
        *asked += 1;
        Ok(Some(Allowance { limit, remaining: limit - *asked, reset_s }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_one_callers_own_and_begins_anew_each_minute() {
        let rate = Rate::new(2);
        let stranger = Caller::Address("192.0.2.1".parse().unwrap());
        assert_eq!(rate.count(stranger, 61), Ok(Some(Allowance { limit: 2, remaining: 1, reset_s: 120 })));
        assert_eq!(rate.count(stranger, 62).unwrap().unwrap().remaining, 0);
        assert_eq!(rate.count(stranger, 119), Err(Exceeded(Allowance { limit: 2, remaining: 0, reset_s: 120 })));
        assert_eq!(rate.count(Caller::Key(0), 119).unwrap().unwrap().remaining, 1);
        assert_eq!(rate.count(stranger, 120).unwrap().unwrap().remaining, 1);
        assert_eq!(Rate::new(0).count(stranger, 120), Ok(None));
    }
}
