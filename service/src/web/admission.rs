//! Limits at the door: how many connections or sessions there may be, in all and per client address, and how fast new ones may come.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Addresses that are counted one by one; further ones share a count, so that the table stays small under a flood of addresses.
const ADDRESSES_MAX: usize = 100_000;
/// How long an address without admissions is remembered, for the sake of its rate.
const REMEMBERED: Duration = Duration::from_secs(5);

/// The limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At once.
    pub total_max: usize,
    /// At once from one address.
    pub per_address_max: usize,
    /// New ones a second from one address; as many may come at once.
    pub per_address_rate: u32,
}

/// Why somebody is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The service is full.
    #[error("this service has as many clients as it takes; try again or try another instance")]
    Full,
    /// Too many from this address.
    #[error("too many connections from your address; close some first")]
    Address,
    /// Too fast from this address.
    #[error("too many new connections a second from your address; wait before you connect again")]
    Rate,
}

impl Refused {
    /// The metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Full => "connections",
            Self::Address => "per_address",
            Self::Rate => "connect_rate",
        }
    }

    /// What to wait, in seconds.
    #[must_use]
    pub fn retry_after_s(self) -> u32 {
        match self {
            Self::Full | Self::Address => 5,
            Self::Rate => 1,
        }
    }
}

/// Counts those admitted.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, Address>,
}

#[derive(Debug)]
struct Address {
    count: usize,
    bucket: Bucket,
}

/// One admission; ends when dropped.
#[derive(Debug)]
pub struct Admitted {
    counts: Arc<Mutex<Counts>>,
    /// The address that it is counted for; `None` where only the total counts.
    address: Option<IpAddr>,
}

impl Admission {
    /// Nobody admitted yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, counts: Arc::default() }
    }

    /// Admits somebody from `address`. An IPv6 address stands for its /64, which one client may have whole.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn admit(&self, address: IpAddr, now: Instant) -> Result<Admitted, Refused> {
        let mut counts = lock(&self.counts);
        if counts.total >= self.limits.total_max {
            return Err(Refused::Full);
        }
        let mut key = network(address);
        if counts.by_address.len() >= ADDRESSES_MAX && !counts.by_address.contains_key(&key) {
            key = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        }
        let rate = self.limits.per_address_rate;
        let entry =
            counts.by_address.entry(key).or_insert_with(|| Address { count: 0, bucket: Bucket::new(rate, rate, now) });
        if entry.count >= self.limits.per_address_max {
            return Err(Refused::Address);
        }
        if !entry.bucket.take(now) {
            return Err(Refused::Rate);
        }
        entry.count += 1;
        counts.total += 1;
        Ok(Admitted { counts: Arc::clone(&self.counts), address: Some(key) })
    }

    /// Admits somebody whose address says nothing, such as a trusted proxy: only the total is limited.
    ///
    /// # Errors
    /// [`Refused::Full`].
    pub fn admit_shared(&self) -> Result<Admitted, Refused> {
        let mut counts = lock(&self.counts);
        if counts.total >= self.limits.total_max {
            return Err(Refused::Full);
        }
        counts.total += 1;
        Ok(Admitted { counts: Arc::clone(&self.counts), address: None })
    }

    /// Every few seconds: forgets addresses that nobody uses.
    pub fn sweep(&self, now: Instant) {
        lock(&self.counts)
            .by_address
            .retain(|_, entry| entry.count > 0 || now.duration_since(entry.bucket.at) < REMEMBERED);
    }

    /// Admitted now.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.counts).total
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.total -= 1;
        if let Some(entry) = self.address.and_then(|address| counts.by_address.get_mut(&address)) {
            entry.count -= 1;
        }
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner) // counts cannot be half-done
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
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

    /// Takes one; false when there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        self.take_many(1, now)
    }

    /// Takes `count`; false, and takes nothing, when there are fewer.
    pub fn take_many(&mut self, count: u32, now: Instant) -> bool {
        self.tokens = (self.tokens + now.duration_since(self.at).as_secs_f64() * self.rate).min(self.burst);
        self.at = now;
        let enough = self.tokens >= f64::from(count);
        if enough {
            self.tokens -= f64::from(count);
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(total_max: usize, per_address_max: usize, per_address_rate: u32) -> Admission {
        Admission::new(Limits { total_max, per_address_max, per_address_rate })
    }

    #[test]
    fn each_limit_has_its_own_reason_and_a_place_comes_back() {
        let (a, b): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let now = Instant::now();
        let admission = admission(3, 2, 100);
        let first = [admission.admit(a, now).unwrap(), admission.admit(a, now).unwrap()];
        assert_eq!(admission.admit(a, now).unwrap_err(), Refused::Address);
        let _third = admission.admit(b, now).unwrap();
        assert_eq!(admission.admit(b, now).unwrap_err(), Refused::Full);
        assert_eq!(admission.admit_shared().unwrap_err(), Refused::Full);
        drop(first);
        assert!(admission.admit(a, now).is_ok());
        assert_eq!(admission.count(), 1);
    }

    #[test]
    fn a_rate_allows_a_burst_and_then_one_at_a_time() {
        let address = [127, 0, 0, 1].into();
        let now = Instant::now();
        let admission = admission(100, 100, 2);
        for _ in 0..2 {
            drop(admission.admit(address, now).unwrap());
        }
        assert_eq!(admission.admit(address, now).unwrap_err(), Refused::Rate);
        assert!(admission.admit(address, now + Duration::from_millis(500)).is_ok());
        admission.sweep(now + Duration::from_secs(60));
        assert!(lock(&admission.counts).by_address.is_empty());
    }

    #[test]
    fn a_client_with_a_whole_ipv6_network_is_one_client_and_ipv4_is_the_same_in_both_notations() {
        let now = Instant::now();
        let admission = admission(100, 1, 100);
        let _held = admission.admit("2001:db8::1".parse().unwrap(), now).unwrap();
        assert_eq!(admission.admit("2001:db8::2".parse().unwrap(), now).unwrap_err(), Refused::Address);
        let _v4 = admission.admit("192.0.2.1".parse().unwrap(), now).unwrap();
        assert_eq!(admission.admit("::ffff:192.0.2.1".parse().unwrap(), now).unwrap_err(), Refused::Address);
    }
}
