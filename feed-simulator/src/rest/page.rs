//! Pages: points of several symbols, sorted by symbol and then time, cut after `limit` points all together.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::tape::TradeKey;
use crate::wire::text::{parse_time, time_text_nine_digits};

/// Where a page ended, so that the next one can go on behind it: the server's own order, encoded.
///
/// For trades `SYMBOL|time|exchange|id + 2^63`, for bars `SYMBOL|unit|time`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token<K> {
    /// The last point's symbol.
    pub symbol: String,
    /// The last point's place among its symbol's points.
    pub key: K,
}

/// A place in the order of one symbol's points.
pub trait Key: Copy + Ord {
    /// The part of a token behind the symbol.
    fn to_text(self) -> String;
    /// Reads it back.
    fn from_text(text: &str) -> Option<Self>;
}

impl Key for TradeKey {
    fn to_text(self) -> String {
        let (ts_ns, exchange, id) = self;
        let shifted = i128::from(id) + (1 << 63);
        format!("{}|{}|{shifted:020}", time_text_nine_digits(ts_ns), char::from(exchange))
    }

    fn from_text(text: &str) -> Option<Self> {
        let [time, exchange, id] = text.split('|').collect::<Vec<_>>()[..] else { return None };
        let &[exchange] = exchange.as_bytes() else { return None };
        let id = i64::try_from(id.parse::<i128>().ok()? - (1 << 63)).ok()?;
        Some((parse_time(time)?, exchange, id))
    }
}

/// A bar's place: its start in Unix nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BarKey(pub i64);

impl Key for BarKey {
    fn to_text(self) -> String {
        format!("M|{}", time_text_nine_digits(self.0))
    }

    fn from_text(text: &str) -> Option<Self> {
        text.strip_prefix("M|").and_then(parse_time).map(Self)
    }
}

impl<K: Key> Token<K> {
    /// The token as clients see it.
    #[must_use]
    pub fn encode(&self) -> String {
        STANDARD.encode(format!("{}|{}", self.symbol, self.key.to_text()))
    }

    /// Reads a token; `None` when it is none of ours.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let decoded = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
        let (symbol, key) = decoded.split_once('|')?;
        Some(Self { symbol: symbol.to_owned(), key: K::from_text(key)? })
    }
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, K> {
    /// Points by symbol; a symbol with none is not there.
    pub symbols: Vec<(String, Vec<T>)>,
    /// `None` on the last page.
    pub next: Option<Token<K>>,
}

/// Cuts a page. `points_of` gives a symbol's points behind a place (or from the start), in the order asked for, at most as many as the
/// number says.
pub fn cut<T, K: Key>(
    mut names: Vec<String>,
    after: Option<Token<K>>,
    limit: usize,
    key_of: impl Fn(&T) -> K,
    points_of: impl Fn(&str, Option<K>, usize) -> Vec<T>,
) -> Page<T, K> {
    names.sort_unstable();
    names.dedup();
    let mut page = Page { symbols: Vec::new(), next: None };
    let mut room = limit;
    for name in names {
        let behind = match &after {
            Some(token) if name < token.symbol => continue,
            Some(token) if name == token.symbol => Some(token.key),
            _ => None,
        };
        // One more than fits tells whether there is a next page.
        let mut points = points_of(&name, behind, room + 1);
        if points.len() > room {
            points.truncate(room);
            if !points.is_empty() {
                page.symbols.push((name, points));
            }
            page.next = page
                .symbols
                .last()
                .and_then(|(symbol, points)| Some(Token { symbol: symbol.clone(), key: key_of(points.last()?) }));
            return page;
        }
        room -= points.len();
        if !points.is_empty() {
            page.symbols.push((name, points));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn trade_tokens_are_those_of_the_real_server() {
        let token: Token<TradeKey> =
            Token { symbol: "AAPL".into(), key: (parse_time("2022-01-03T09:00:00.24483968Z").unwrap(), b'P', 2) };
        let text = String::from_utf8(STANDARD.decode(token.encode()).unwrap()).unwrap();
        assert_eq!(text, "AAPL|2022-01-03T09:00:00.244839680Z|P|09223372036854775810");
        assert_eq!(Token::decode(&token.encode()), Some(token));
        for bad in ["", "x", "QUFQTA==", "QUFQTHx8fA=="] {
            assert_eq!(Token::<TradeKey>::decode(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn pages_tile_exactly(
            points in prop::collection::btree_map("[A-E]", prop::collection::btree_set(0_i64..1_000, 0..40), 0..5),
            limit in 1_usize..30,
            descending: bool,
        ) {
            let points: BTreeMap<String, Vec<i64>> = points
                .into_iter()
                .map(|(name, set)| {
                    let mut list: Vec<i64> = set.into_iter().collect();
                    if descending { list.reverse(); }
                    (name, list)
                })
                .collect();
            let points_of = |name: &str, behind: Option<BarKey>, most: usize| -> Vec<i64> {
                let behind = |point: &&i64| behind.is_none_or(|BarKey(last)| if descending { **point < last } else { **point > last });
                points[name].iter().filter(behind).take(most).copied().collect()
            };
            let mut after = None;
            let mut seen: Vec<(String, i64)> = Vec::new();
            for turn in 0.. {
                prop_assert!(turn < 300, "paging does not end");
                let page = cut(points.keys().cloned().collect(), after, limit, |&point| BarKey(point), points_of);
                let count: usize = page.symbols.iter().map(|(_, list)| list.len()).sum();
                prop_assert!(count <= limit);
                prop_assert!(page.next.is_none() || count == limit);
                seen.extend(page.symbols.into_iter().flat_map(|(name, list)| list.into_iter().map(move |point| (name.clone(), point))));
                match page.next {
                    Some(token) => after = Some(Token::decode(&token.encode()).unwrap()),
                    None => break,
                }
            }
            let all: Vec<(String, i64)> =
                points.iter().flat_map(|(name, list)| list.iter().map(move |&point| (name.clone(), point))).collect();
            prop_assert_eq!(seen, all);
        }
    }
}
