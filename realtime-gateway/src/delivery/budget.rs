//! Bytes that this gateway owes to all clients together, beyond the live records, whose bytes are shared.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of one kind that wait for clients, and how many there may be.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    max: usize,
}

/// Records that are sent again. They are shared with the logs; the bound is what they keep alive after the logs let go of them.
pub static REPLAYS: Budget = Budget::new(64 << 20);
/// Acknowledgements, snapshots, pongs, errors.
pub static ANSWERS: Budget = Budget::new(256 << 20);

/// A share of a budget; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    budget: &'static Budget,
    bytes: usize,
}

impl Budget {
    const fn new(max: usize) -> Self {
        Self { used: AtomicUsize::new(0), max }
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` if there are so many.
    #[must_use]
    pub fn take(&'static self, bytes: usize) -> Option<Permit> {
        let fits = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Permit { budget: self, bytes })
    }

    /// A share that grows and shrinks with what is in an outbox.
    #[must_use]
    pub const fn share(&'static self) -> Permit {
        Permit { budget: self, bytes: 0 }
    }

    fn is_exceeded(&self) -> bool {
        self.used() > self.max
    }
}

impl Permit {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds bytes. Whether all shares together are within the budget afterwards.
    pub fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        !self.budget.is_exceeded()
    }

    /// Gives bytes back.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_never_exceeded_and_comes_back() {
        static SMALL: Budget = Budget::new(100);
        let first = SMALL.take(60);
        assert!(first.is_some() && SMALL.take(41).is_none());
        let mut share = SMALL.share();
        assert!(share.grow(40) && !share.grow(1));
        share.shrink(41);
        drop((first, share));
        assert_eq!(SMALL.used(), 0);
    }
}
