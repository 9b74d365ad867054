//! Names of well-known companies, so that a search for "apple" finds AAPL. A symbol that is not listed is still found by its letters.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use market::Symbol;

/// What is known of an instrument beside its symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Company {
    /// The company's or fund's name.
    pub name: &'static str,
    /// Where it is listed.
    pub exchange: &'static str,
}

/// The list, one `symbol, name, exchange` a line, separated by tabs.
const LIST: &str = include_str!("companies.tsv");

/// Name and exchange of `symbol`, where they are known.
#[must_use]
pub fn of(symbol: &str) -> Option<Company> {
    all().get(symbol).copied()
}

fn all() -> &'static BTreeMap<&'static str, Company> {
    static ALL: OnceLock<BTreeMap<&'static str, Company>> = OnceLock::new();
    ALL.get_or_init(|| {
        let read = |line: &'static str| {
            let (symbol, rest) = line.split_once('\t')?;
            let (name, exchange) = rest.split_once('\t')?;
            Some((symbol, Company { name, exchange }))
        };
        LIST.lines().filter_map(read).collect()
    })
}

/// The best `limit` of `symbols` for what somebody typed: first the very symbol, then symbols that begin so, then names with a word
/// that begins so, then names that hold it anywhere. Case does not matter; nothing typed means all.
#[must_use]
pub fn search(symbols: &[Symbol], typed: &str, limit: usize) -> Vec<Symbol> {
    let typed = typed.trim().to_ascii_lowercase();
    let rank = |symbol: &Symbol| {
        let letters = symbol.as_str().to_ascii_lowercase();
        let name = of(symbol.as_str()).map_or(String::new(), |company| company.name.to_ascii_lowercase());
        let word = |word: &str| !typed.is_empty() && word.starts_with(&typed);
        match () {
            () if letters == typed => Some(0),
            () if letters.starts_with(&typed) => Some(1),
            () if name.split([' ', '.', '&']).any(word) || name.starts_with(&typed) => Some(2),
            () if name.contains(&typed) => Some(3),
            () => None,
        }
    };
    let mut found: Vec<(u8, Symbol)> = symbols.iter().filter_map(|symbol| Some((rank(symbol)?, *symbol))).collect();
    found.sort();
    found.into_iter().take(limit).map(|(_, symbol)| symbol).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(typed: &str) -> Vec<String> {
        let known = ["AA", "AAPL", "AMZN", "BAC", "GM", "GOOGL", "MSFT", "PLTR", "ZZAP"];
        let known: Vec<Symbol> = known.iter().map(|name| Symbol::new(name).unwrap()).collect();
        search(&known, typed, 3).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn symbols_come_before_names_and_exact_ones_first() {
        assert_eq!(found("app"), ["AAPL"]);
        assert_eq!(found("aa"), ["AA", "AAPL"]);
        assert_eq!(found("corp"), ["BAC", "MSFT"]);
        assert_eq!(found("alphabet"), ["GOOGL"]);
        assert_eq!(found("nothing like it"), Vec::<String>::new());
        assert_eq!(found("").len(), 3);
    }

    #[test]
    fn every_line_of_the_list_is_whole_and_in_order() {
        assert_eq!(all().len(), LIST.lines().count());
        assert!(LIST.lines().is_sorted());
        assert!(all().iter().all(|(symbol, one)| Symbol::new(symbol).is_ok() && !one.name.is_empty()));
    }
}
