//! Page tokens: where the next page begins, sealed to the question it belongs to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use market::Symbol;

use crate::problem::Problem;

/// Longest detail text of a cursor in bytes: an exchange and a trade id.
const DETAIL_BYTES_MAX: usize = 160;

/// The last record of a page; the next page holds what comes after it.
///
/// Paging by key rather than by offset: rows that arrive meanwhile shift nothing, so pages tile a range exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The record's symbol.
    pub symbol: Symbol,
    /// The record's time in Unix nanoseconds.
    pub ts_ns: i64,
    /// What tells records of one time apart; empty for bars.
    pub detail: String,
}

impl Cursor {
    /// The cursor as an opaque text. `question` is everything that decides what the pages hold.
    #[must_use]
    pub fn seal(&self, question: &str) -> String {
        let seal = fingerprint(question);
        let symbol_bytes = self.symbol.as_bytes();
        let mut bytes = Vec::with_capacity(17 + symbol_bytes.len() + self.detail.len());
        bytes.extend_from_slice(&seal.to_be_bytes());
        bytes.extend_from_slice(&self.ts_ns.to_be_bytes());
        bytes.push(u8::try_from(symbol_bytes.len()).unwrap_or_default());
        bytes.extend_from_slice(symbol_bytes);
        bytes.extend_from_slice(self.detail.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token that [`seal`](Self::seal) made for the same question; an empty text is no token.
    ///
    /// # Errors
    /// 400 where it is no token of ours, or belongs to another question.
    pub fn open(token: Option<&str>, question: &str) -> Result<Option<Self>, Problem> {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
        let malformed = || Problem::bad("page_token", "not a token of this API; send next_page_token back unchanged");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| malformed())?;
        let (seal, cursor) = Self::parse(&bytes).ok_or_else(malformed)?;
        if seal != fingerprint(question) {
            let why = "belongs to another question; change nothing but page_token and limit from page to page";
            return Err(Problem::bad("page_token", why));
        }
        Ok(Some(cursor))
    }

    fn parse(bytes: &[u8]) -> Option<(u64, Self)> {
        let (seal, rest) = bytes.split_first_chunk()?;
        let (ts_ns, rest) = rest.split_first_chunk()?;
        let (symbol_bytes, rest) = rest.split_first()?;
        let (symbol, detail) = rest.split_at_checked(usize::from(*symbol_bytes))?;
        if detail.len() > DETAIL_BYTES_MAX || detail.contains(&0) {
            return None;
        }
        let symbol = Symbol::stored(std::str::from_utf8(symbol).ok()?).ok()?;
        let detail = String::from_utf8(detail.to_vec()).ok()?;
        Some((u64::from_be_bytes(*seal), Self { symbol, ts_ns: i64::from_be_bytes(*ts_ns), detail }))
    }
}

/// FNV-1a: short, and the same in every build, so that a token outlives an upgrade.
#[must_use]
pub fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_reads_back_for_its_own_question_only(
            name in "[A-Z./]{1,32}", ts_ns: i64, detail in "[ -~]{0,80}", question in "[ -~]{0,40}", other in "[ -~]{0,40}",
        ) {
            let cursor = Cursor { symbol: Symbol::stored(&name).unwrap(), ts_ns, detail };
            let token = cursor.seal(&question);
            prop_assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            prop_assert_eq!(Cursor::open(Some(&token), &question).unwrap(), Some(cursor));
            prop_assert!(question == other || Cursor::open(Some(&token), &other).is_err());
        }

        #[test]
        fn no_text_panics(token in "\\PC{0,60}", base64 in "[A-Za-z0-9_-]{0,80}") {
            prop_assert!(Cursor::open(Some(&token), "q").is_err() || token.is_empty());
            prop_assert!(Cursor::open(Some(&base64), "q").is_err() || base64.is_empty());
        }
    }
}
