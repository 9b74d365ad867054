//! Answers that were given before, each with the version of the bars it was made of. Nothing here expires: an answer is used again
//! only where the database has just said that its version still stands.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::db::versions::Version;
use crate::reply::Answer;

/// Counted for each answer beside its own bytes: keys, map entry, queue entry.
const OVERHEAD_BYTES: usize = 256;

/// A bounded memory of answers; the one that was put in first is forgotten first, unless it was used since.
#[derive(Debug)]
pub struct Remembered {
    bytes_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    answers: HashMap<Arc<str>, Kept>,
    queue: VecDeque<Arc<str>>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    version: Version,
    answer: Answer,
    used: bool,
}

impl Remembered {
    /// A memory of at most `bytes_max` bytes; with 0 it keeps nothing.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, inner: Mutex::default() }
    }

    /// The answer to `key` if it was made of exactly `version`.
    #[must_use]
    pub fn get(&self, key: &str, version: Version) -> Option<Answer> {
        let mut inner = self.lock();
        let kept = inner.answers.get_mut(key).filter(|kept| kept.version == version)?;
        kept.used = true;
        Some(kept.answer.clone())
    }

    /// Keeps an answer, and forgets others where that is too much. An answer never
    /// replaces one of later bars.
    pub fn put(&self, key: &str, version: Version, answer: Answer) {
        let size = cost(key, &answer);
        if size > self.bytes_max / 8 {
            return; // one answer must not drive out all others
        }
        let mut inner = self.lock();
        if let Some(kept) = inner.answers.get_mut(key) {
            if kept.version != version && kept.version.bars <= version.bars {
                let before = cost(key, &kept.answer);
                *kept = Kept { version, answer, used: true };
                inner.bytes = inner.bytes + size - before;
            }
        } else {
            let key: Arc<str> = key.into();
            inner.answers.insert(Arc::clone(&key), Kept { version, answer, used: false });
            inner.queue.push_back(key);
            inner.bytes += size;
        }
        inner.shrink(self.bytes_max);
        metrics::gauge!("bars_api_remembered_bytes").set(f64::from(u32::try_from(inner.bytes).unwrap_or(u32::MAX)));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner) // nothing in here can be half-done
    }
}

impl Inner {
    fn shrink(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let Some(key) = self.queue.pop_front() else { return };
            match self.answers.get_mut(&key) {
                Some(kept) if kept.used => {
                    kept.used = false;
                    self.queue.push_back(key);
                }
                _ => {
                    if let Some(kept) = self.answers.remove(&key) {
                        self.bytes -= cost(&key, &kept.answer);
                    }
                }
            }
        }
    }
}

fn cost(key: &str, answer: &Answer) -> usize {
    let headers: usize = answer.headers.iter().map(|(_, value)| value.len() + OVERHEAD_BYTES).sum();
    key.len() + answer.body.len() + headers + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(inner.queue.len(), inner.answers.len());
        assert_eq!(inner.bytes, inner.answers.iter().map(|(key, kept)| cost(key, &kept.answer)).sum::<usize>());
    }

    #[test]
    fn an_answer_that_is_too_large_is_not_kept() {
        let remembered = Remembered::new(8_000);
        remembered.put("a", at(1), body(2_000));
        assert_eq!(remembered.get("a", at(1)), None);
        Remembered::new(0).put("a", at(1), body(1));
    }
}
