//! The name of a request: given by the client or created here, passed on to every service that the request causes to be asked, repeated
//! in the answer and in the logs.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The header that carries it, both ways.
pub const HEADER: &str = "x-request-id";
/// Longest id that is taken from a client, in bytes.
const BYTES_MAX: usize = 64;

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
