//! The door: how many may come, from where, and how fast.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::config::DoorLimits;
use crate::delivery::client::Cut;

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// The gateway is full.
    Full,
    /// Too many from this address.
    Address,
    /// Too fast from this address.
    Rate,
}

impl Turned {
    /// The metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Full => "connections",
            Self::Address => "per_address",
            Self::Rate => "connect_rate",
        }
    }
}

/// Counts those inside.
#[derive(Debug)]
pub struct Door {
    limits: DoorLimits,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    total: usize,
    by_address: HashMap<IpAddr, Visitors>,
}

#[derive(Debug)]
struct Visitors {
    count: usize,
    bucket: Bucket,
}

/// Holds a place inside; gives it back when dropped.
#[derive(Debug)]
pub struct Place {
    inside: Arc<Mutex<Inside>>,
    address: IpAddr,
}

impl Door {
    /// Nobody inside.
    #[must_use]
    pub fn new(limits: DoorLimits) -> Self {
        Self { limits, inside: Arc::default() }
    }

    /// Lets a connection in.
    ///
    /// # Errors
    /// [`Turned`] away.
    pub fn enter(&self, address: IpAddr, now: Instant) -> Result<Place, Turned> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.total >= self.limits.connections_max {
            return Err(Turned::Full);
        }
        let rate = self.limits.connects_per_address_rate;
        let visitors = inside
            .by_address
            .entry(address)
            .or_insert_with(|| Visitors { count: 0, bucket: Bucket::new(rate, rate, now) });
        if visitors.count >= self.limits.connections_per_address_max {
            return Err(Turned::Address);
        }
        if !visitors.bucket.take(now) {
            return Err(Turned::Rate);
        }
        visitors.count += 1;
        inside.total += 1;
        Ok(Place { inside: Arc::clone(&self.inside), address })
    }

    /// Every few seconds: forgets addresses that nobody uses.
    pub fn sweep(&self, now: Instant) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside
            .by_address
            .retain(|_, visitors| visitors.count > 0 || now.duration_since(visitors.bucket.at).as_secs() < 5);
    }

    /// Connections inside.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.total -= 1;
        if let Some(visitors) = inside.by_address.get_mut(&self.address) {
            visitors.count -= 1;
        }
    }
}

/// So many a second on average, and a burst at once after a rest.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full one: `rate` a second, `burst` at once.
    #[must_use]
    pub fn new(rate: u32, burst: u32, now: Instant) -> Self {
        Self { rate: rate.into(), burst: burst.into(), tokens: burst.into(), at: now }
    }

    /// Takes one; false where there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        self.tokens = (self.tokens + now.duration_since(self.at).as_secs_f64() * self.rate).min(self.burst);
        self.at = now;
        let some = self.tokens >= 1.0;
        if some {
            self.tokens -= 1.0;
        }
        some
    }
}

/// Watches how fast one client talks.
#[derive(Clone, Copy, Debug)]
pub struct Pace(Bucket);

impl Pace {
    /// Seconds' worth of messages that may come at once: a page that subscribes to its whole list one symbol at a time is no attack.
    const BURST_S: u32 = 10;

    /// At most `rate` messages a second on average; ten seconds' worth may come at once.
    #[must_use]
    pub fn new(rate: u32, now: Instant) -> Self {
        Self(Bucket::new(rate, rate.saturating_mul(Self::BURST_S), now))
    }

    /// Counts a message.
    ///
    /// # Errors
    /// [`Cut::Flood`] where there were too many.
    pub fn step(&mut self, now: Instant) -> Result<(), Cut> {
        if self.0.take(now) { Ok(()) } else { Err(Cut::Flood) }
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
        assert!((0..1_000).all(|_| pace.step(now).is_ok()));
        assert_eq!(pace.step(now), Err(Cut::Flood));
        for _ in 0..100 {
            now += Duration::from_millis(100);
            assert!((0..10).all(|_| pace.step(now).is_ok()), "the rate itself never ends");
        }
    }

    fn door(connections_max: usize, per_address: usize, rate: u32) -> Door {
        let mut limits = service::Vars::from_pairs(&[]).load(crate::config::Config::from_vars).unwrap().door;
        limits.connections_max = connections_max;
        limits.connections_per_address_max = per_address;
        limits.connects_per_address_rate = rate;
        Door::new(limits)
    }

    #[test]
    fn each_limit_has_its_own_reason_and_a_place_comes_back() {
        let (a, b): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let now = Instant::now();
        let door = door(3, 2, 100);
        let places = [door.enter(a, now).unwrap(), door.enter(a, now).unwrap()];
        assert_eq!(door.enter(a, now).unwrap_err(), Turned::Address);
        let _third = door.enter(b, now).unwrap();
        assert_eq!(door.enter(b, now).unwrap_err(), Turned::Full);
        drop(places);
        assert!(door.enter(a, now).is_ok());
        assert_eq!(door.count(), 1);
    }

    #[test]
    fn a_rate_allows_a_burst_and_then_one_at_a_time() {
        let address = [127, 0, 0, 1].into();
        let now = Instant::now();
        let door = door(100, 100, 2);
        for _ in 0..2 {
            drop(door.enter(address, now).unwrap());
        }
        assert_eq!(door.enter(address, now).unwrap_err(), Turned::Rate);
        assert!(door.enter(address, now + Duration::from_millis(500)).is_ok());
        door.sweep(now + Duration::from_secs(60));
        assert!(door.inside.lock().unwrap().by_address.is_empty());
    }
}
