//! Names: of instruments ([`Symbol`]) and of feeds ([`Source`]).

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::reject::Reject;

/// Longest symbol in bytes.
pub const SYMBOL_BYTES_MAX: usize = 32;

/// An instrument's name: one token of upper-case letters, digits and the separators `.`, `/`, `-` and `:`. Examples: `AAPL`, `BRK.B`,
/// `BAC.PRB` (preferred share), `BTC/USD`, `BINANCE:BTCUSDT`, `O:SPY251219C00650000` (option).
///
/// 1 to 32 bytes. It begins and ends with a letter or a digit, and no two separators stand side by side, so a symbol is safe in every list
/// that is joined by commas or spaces and is never a path of its own. Stored inline and `Copy`: carrying one costs no allocation.
#[derive(Clone, Copy, Eq)]
pub struct Symbol {
    length: u8,
    bytes: [u8; SYMBOL_BYTES_MAX],
}

/// What [`Symbol::parse`] made of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The symbol.
    pub symbol: Symbol,
    /// Whether the text had to be changed (white space trimmed, letters raised): who asked should be told.
    pub changed: bool,
}

impl Symbol {
    /// Keeps a symbol that is written exactly as symbols are. For what a feed reports.
    ///
    /// # Errors
    /// [`Reject::Symbol`] when it is anything but such a token.
    pub fn new(text: &str) -> Result<Self, Reject> {
        is_token(text.as_bytes()).then(|| Self::copy_of(text)).ok_or(Reject::Symbol)
    }

    /// Reads a symbol that a person or a client wrote: surrounding white space is trimmed and letters are raised to upper case. The only
    /// door for what is wanted, subscribed or asked of a history.
    ///
    /// # Errors
    /// [`Reject::Symbol`] when what remains is not a token.
    pub fn parse(text: &str) -> Result<Parsed, Reject> {
        let trimmed = text.trim();
        if trimmed.len() > SYMBOL_BYTES_MAX {
            return Err(Reject::Symbol);
        }
        let symbol = Self::new(&trimmed.to_ascii_uppercase())?;
        Ok(Parsed { symbol, changed: symbol.as_str() != text })
    }

    /// Keeps a symbol of a record that exists already, in a topic, a table or a file: earlier versions let any printable ASCII pass.
    /// Never for what somebody asks for.
    ///
    /// # Errors
    /// [`Reject::Symbol`] when it is empty, blank, longer than 32 bytes or not printable ASCII.
    pub fn stored(text: &str) -> Result<Self, Reject> {
        let printable = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
        let fits = (1..=SYMBOL_BYTES_MAX).contains(&text.len());
        (fits && printable && !text.trim().is_empty()).then(|| Self::copy_of(text)).ok_or(Reject::Symbol)
    }

    /// `text` has 1 to 32 ASCII bytes.
    fn copy_of(text: &str) -> Self {
        let mut bytes = [0; SYMBOL_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Self { length: u8::try_from(text.len()).unwrap_or_default(), bytes }
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
        Ok(Self::parse(text)?.symbol)
    }
}

/// Whether a text is a symbol: see [`Symbol`].
fn is_token(text: &[u8]) -> bool {
    if text.len() > SYMBOL_BYTES_MAX {
        return false;
    }
    let mut after_separator = true; // so that none comes first
    for byte in text {
        let separates = match byte {
            b'A'..=b'Z' | b'0'..=b'9' => false,
            b'.' | b'/' | b'-' | b':' => true,
            _ => return false,
        };
        if separates && after_separator {
            return false;
        }
        after_separator = separates;
    }
    !after_separator
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
    use proptest::prelude::*;

    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_symbol_is_kept_as_the_feeds_write_it() {
        for text in ["AAPL", "BRK.B", "BAC.PRB", "BTC/USD", "BINANCE:BTCUSDT", "O:SPY251219C00650000", "0700.HK", "A"] {
            assert_eq!(Symbol::new(text).unwrap().as_str(), text);
        }
        assert!(Symbol::new(&"A".repeat(32)).is_ok());
    }

    #[test]
    fn what_is_not_one_token_is_rejected() {
        let long = "A".repeat(33);
        for text in [
            "",
            " ",
            "*",
            "!!!",
            "$$$",
            "A B",
            "A,B",
            "X,T.*",
            "A\0",
            "A\nB",
            "É",
            "ſ",
            "A_B",
            "A%2F",
            "A\\B",
            "..",
            ".",
            "../A",
            "A..B",
            "A/",
            ".A",
            "A:-B",
            "^GSPC",
            long.as_str(),
        ] {
            assert_eq!(Symbol::parse(text), Err(Reject::Symbol), "{text:?}");
            assert_eq!(Symbol::new(text), Err(Reject::Symbol), "{text:?}");
        }
        for text in ["aapl", " AAPL", "AAPL "] {
            assert_eq!(Symbol::new(text), Err(Reject::Symbol), "{text:?} has to be parsed");
        }
    }

    #[test]
    fn parsing_raises_letters_and_trims_and_says_so() {
        for (text, symbol, changed) in [
            ("AAPL", "AAPL", false),
            ("aapl", "AAPL", true),
            ("\t brk.b ", "BRK.B", true),
            ("btc/usd", "BTC/USD", true),
        ] {
            assert_eq!(Symbol::parse(text), Ok(Parsed { symbol: Symbol::new(symbol).unwrap(), changed }));
        }
    }

    #[test]
    fn a_stored_symbol_of_an_earlier_version_still_reads() {
        for text in ["aapl", "IC MARKETS:1", "OANDA:EUR_USD", "!!!"] {
            assert_eq!(Symbol::stored(text).unwrap().as_str(), text);
        }
        let long = "A".repeat(33);
        for text in ["", "  ", "A\0", "É", long.as_str()] {
            assert_eq!(Symbol::stored(text), Err(Reject::Symbol), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_parsed_is_one_token_and_parses_to_itself(text in "[ -~é\\n]{0,40}") {
            if let Ok(Parsed { symbol, changed }) = Symbol::parse(&text) {
                prop_assert_eq!(changed, symbol.as_str() != text);
                prop_assert_eq!(Symbol::parse(symbol.as_str()), Ok(Parsed { symbol, changed: false }));
                prop_assert!(!symbol.as_str().contains([',', ' ', '*', '\\', '%', '\n']) && !symbol.as_str().contains(".."));
            }
        }
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
