//! The name of a request: given by the client or created here, passed on to every service that the request causes to be asked, repeated
//! in the answer and in the logs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use super::admission::Bucket;

/// The header that carries it, both ways.
pub const HEADER: &str = "x-request-id";
/// Longest id that is taken from a client, in bytes.
const BYTES_MAX: usize = 64;
/// Lines a second about requests that failed; more are counted and left out.
const LINES_PER_S: u32 = 20;

/// The client's id where it is short and harmless enough to be repeated; else a new one, unique among all instances.
#[must_use]
pub fn given_or_new(given: Option<&[u8]>) -> String {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    given
        .filter(|id| (1..=BYTES_MAX).contains(&id.len()) && id.iter().all(harmless))
        .and_then(|id| std::str::from_utf8(id).ok())
        .map_or_else(new, str::to_owned)
}

/// A random start for each run, then counted.
fn new() -> String {
    static RUN: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let run = RUN.get_or_init(rand::random);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{run:016x}-{count:x}")
}

/// Paces the log of requests that failed: callers decide how many there are.
#[derive(Debug)]
pub struct Lines(Mutex<(Bucket, u64)>);

impl Default for Lines {
    fn default() -> Self {
        Self(Mutex::new((Bucket::new(LINES_PER_S, LINES_PER_S * 10, Instant::now()), 0)))
    }
}

impl Lines {
    /// How many lines were left out before this one; `None` when this one is left out too.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner); // whole between any two statements
        if state.0.take(Instant::now()) {
            return Some(std::mem::take(&mut state.1));
        }
        state.1 += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_harmless_id_is_kept_and_any_other_replaced() {
        assert_eq!(given_or_new(Some(b"abc-1.2_3")), "abc-1.2_3");
        for bad in [&b""[..], b"a b", b"a\nb", "é".as_bytes(), &[b'a'; 65]] {
            assert_ne!(given_or_new(Some(bad)).as_bytes(), bad);
        }
        assert_ne!(given_or_new(None), given_or_new(None));
    }
}
