//! Names: of instruments ([`Symbol`]) and of feeds ([`Source`]).

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::reject::Reject;

/// Longest symbol in bytes.
pub const SYMBOL_BYTES_MAX: usize = 32;

/// An instrument's name as its feed writes it: `AAPL`, `BRK.B`, `BTC/USD`.
///
/// 1 to 32 bytes of printable ASCII, not blank. Stored inline and `Copy`, so that carrying one costs no allocation.
#[derive(Clone, Copy, Eq)]
pub struct Symbol {
    length: u8,
    bytes: [u8; SYMBOL_BYTES_MAX],
}

impl Symbol {
    /// Checks and keeps a symbol; case and dots stay as given.
    ///
    /// # Errors
    /// [`Reject::Symbol`] when it is empty, blank, longer than 32 bytes or not printable ASCII.
    pub fn new(text: &str) -> Result<Self, Reject> {
        let length = text.len();
        let printable = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
        if length == 0 || length > SYMBOL_BYTES_MAX || !printable || text.trim().is_empty() {
            return Err(Reject::Symbol);
        }
        let mut bytes = [0; SYMBOL_BYTES_MAX];
        bytes[..length].copy_from_slice(text.as_bytes());
        Ok(Self { length: u8::try_from(length).map_err(|_| Reject::Symbol)?, bytes })
    }

    /// The symbol as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII ever gets in, so this cannot fail; a check costs less than `unsafe` would save.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The symbol as ASCII bytes, which is also its Kafka key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Symbol {
    type Err = Reject;
    fn from_str(text: &str) -> Result<Self, Reject> {
        Self::new(text)
    }
}

impl PartialEq for Symbol {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialOrd for Symbol {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Symbol {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

// Hashes as `[u8]` does, so that a map keyed by `Symbol` can be asked with bytes that were only just read.
impl Hash for Symbol {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for Symbol {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// The feed that a record came from: `alpaca`, `finnhub`, `massive`.
///
/// 1 to 32 bytes of `a`–`z`, `0`–`9`, `_`, `-`. Open rather than an enumeration, so that a consumer stores records of a feed
/// that is newer than itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(compact_str::CompactString);

impl Source {
    /// Checks and keeps a feed's name.
    ///
    /// # Errors
    /// [`Reject::Source`] when it is empty, longer than 32 bytes or holds any other character.
    pub fn new(text: &str) -> Result<Self, Reject> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if text.is_empty() || text.len() > 32 || !text.bytes().all(allowed) {
            return Err(Reject::Source);
        }
        Ok(Self(text.into()))
    }

    /// Alpaca's feed.
    #[must_use]
    pub const fn alpaca() -> Self {
        Self(compact_str::CompactString::const_new("alpaca"))
    }

    /// Finnhub's feed.
    #[must_use]
    pub const fn finnhub() -> Self {
        Self(compact_str::CompactString::const_new("finnhub"))
    }

    /// Massive's (formerly Polygon's) feed.
    #[must_use]
    pub const fn massive() -> Self {
        Self(compact_str::CompactString::const_new("massive"))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_symbol_keeps_case_dots_and_slashes() {
        for text in ["AAPL", "BRK.B", "BTC/USD", "IC MARKETS:1", "a"] {
            assert_eq!(Symbol::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_symbol_that_could_not_be_stored_is_refused() {
        let long = "A".repeat(33);
        for text in ["", " ", "   ", "A\0", "É", "A\n", long.as_str()] {
            assert_eq!(Symbol::new(text), Err(Reject::Symbol), "{text:?}");
        }
        assert!(Symbol::new(&"A".repeat(32)).is_ok());
    }

    #[test]
    fn a_map_keyed_by_symbol_answers_to_bytes() {
        let map = HashMap::from([(Symbol::new("AAPL").unwrap(), 1)]);
        assert_eq!(map.get(b"AAPL".as_slice()), Some(&1));
        assert_eq!(map.get(b"AAP".as_slice()), None);
    }

    #[test]
    fn a_source_is_a_short_lower_case_word() {
        assert_eq!(Source::new("alpaca"), Ok(Source::alpaca()));
        for text in ["", "Alpaca", "a b", "ä"] {
            assert_eq!(Source::new(text), Err(Reject::Source), "{text:?}");
        }
    }
}
