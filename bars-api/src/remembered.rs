//! Answers computed before, each with the version of the bars that it was computed from. Nothing expires: an entry is reused
//! only if the database has just confirmed that its version is the newest.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counted for each thing beside its own bytes: keys, map entry, queue entry.
const OVERHEAD_BYTES: usize = 256;

/// Something that takes memory.
pub trait Weighed {
    /// How much, in bytes.
    fn bytes(&self) -> usize;
}

/// A bounded memory of things `T` of versions `V`; the one that was put in first is forgotten first, unless it was used since.
#[derive(Debug)]
pub struct Remembered<V, T> {
    bytes_max: usize,
    inner: Mutex<Inner<V, T>>,
}

#[derive(Debug)]
struct Inner<V, T> {
    things: HashMap<Arc<str>, Kept<V, T>>,
    queue: VecDeque<Arc<str>>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept<V, T> {
    version: V,
    thing: T,
    used: bool,
}

impl<V: Copy + PartialOrd, T: Clone + Weighed> Remembered<V, T> {
    /// A memory of at most `bytes_max` bytes; with 0 it keeps nothing.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let inner = Inner { things: HashMap::new(), queue: VecDeque::new(), bytes: 0 };
        Self { bytes_max, inner: Mutex::new(inner) }
    }

    /// The entry under `key` if it was computed from exactly `version`.
    #[must_use]
    pub fn get(&self, key: &str, version: V) -> Option<T> {
        self.used(key, |held| held == version).map(|(_, thing)| thing)
    }

    /// What is kept under `key`, and of which version it was made.
    #[must_use]
    pub fn held(&self, key: &str) -> Option<(V, T)> {
        self.used(key, |_| true)
    }

    fn used(&self, key: &str, fits: impl FnOnce(V) -> bool) -> Option<(V, T)> {
        let mut inner = self.lock();
        let kept = inner.things.get_mut(key).filter(|kept| fits(kept.version))?;
        kept.used = true;
        Some((kept.version, kept.thing.clone()))
    }

    /// Keeps a thing, and forgets others where that is too much; returns how many bytes are kept now. What is kept is never replaced
    /// by something of the same version or an older one.
    pub fn put(&self, key: &str, version: V, thing: T) -> usize {
        let size = cost(key, &thing);
        let mut inner = self.lock();
        if size > self.bytes_max / 8 {
            return inner.bytes; // one must not drive out all others
        }
        if let Some(kept) = inner.things.get_mut(key) {
            if !matches!(version.partial_cmp(&kept.version), Some(Ordering::Less | Ordering::Equal)) {
                let before = cost(key, &kept.thing);
                *kept = Kept { version, thing, used: true };
                inner.bytes = inner.bytes + size - before;
            }
        } else {
            let key: Arc<str> = key.into();
            inner.things.insert(Arc::clone(&key), Kept { version, thing, used: false });
            inner.queue.push_back(key);
            inner.bytes += size;
        }
        inner.shrink(self.bytes_max);
        inner.bytes
    }

    fn lock(&self) -> MutexGuard<'_, Inner<V, T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner) // nothing in here can be half-done
    }
}

impl<V, T: Weighed> Inner<V, T> {
    fn shrink(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let Some(key) = self.queue.pop_front() else { return };
            match self.things.get_mut(&key) {
                Some(kept) if kept.used => {
                    kept.used = false;
                    self.queue.push_back(key);
                }
                _ => {
                    if let Some(kept) = self.things.remove(&key) {
                        self.bytes -= cost(&key, &kept.thing);
                    }
                }
            }
        }
    }
}

fn cost(key: &str, thing: &impl Weighed) -> usize {
    key.len() + thing.bytes() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::versions::Version;
    use crate::reply::Answer;

    fn body(size: usize) -> Answer {
        vec![b'x'; size].into()
    }

    fn at(bars: i64) -> Version {
        Version { bars, gaps: 0 }
    }

    #[test]
    fn only_the_very_version_is_given_again() {
        let remembered = Remembered::new(100_000);
        remembered.put("a", at(5), body(3));
        assert_eq!(remembered.get("a", at(5)), Some(body(3)));
        assert_eq!(remembered.get("a", at(6)), None);
        assert_eq!(remembered.get("a", at(4)), None);
        assert_eq!(remembered.get("b", at(5)), None);
    }

    #[test]
    fn a_slow_reader_cannot_put_back_an_older_answer() {
        let remembered = Remembered::new(100_000);
        remembered.put("a", at(6), body(6));
        remembered.put("a", at(5), body(5));
        assert_eq!(remembered.get("a", at(6)), Some(body(6)));
        assert_eq!(remembered.get("a", at(5)), None);
    }

    #[test]
    fn an_outage_that_opens_or_heals_makes_it_another_answer() {
        let remembered = Remembered::new(100_000);
        let (before, during) = (Version { bars: 5, gaps: 0 }, Version { bars: 5, gaps: 77 });
        remembered.put("a", before, body(1));
        assert_eq!(remembered.get("a", during), None);
        remembered.put("a", during, body(2));
        assert_eq!((remembered.get("a", during), remembered.get("a", before)), (Some(body(2)), None));
    }

    #[test]
    fn memory_stays_within_its_bound_and_what_is_used_stays_longer() {
        let remembered = Remembered::new(100_000);
        remembered.put("hot", at(1), body(1000));
        for number in 0..1000 {
            remembered.put(&format!("cold {number}"), at(1), body(1000));
            assert!(remembered.get("hot", at(1)).is_some(), "forgotten after {number}");
            assert!(remembered.lock().bytes <= 100_000);
        }
        let inner = remembered.lock();
        assert_eq!(inner.queue.len(), inner.things.len());
        assert_eq!(inner.bytes, inner.things.iter().map(|(key, kept)| cost(key, &kept.thing)).sum::<usize>());
    }

    #[test]
    fn an_answer_that_is_too_large_is_not_kept() {
        let remembered = Remembered::new(8_000);
        remembered.put("a", at(1), body(2_000));
        assert_eq!(remembered.get("a", at(1)), None);
        Remembered::new(0).put("a", at(1), body(1));
    }
}
