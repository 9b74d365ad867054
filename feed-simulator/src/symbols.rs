//! The symbols of one market, and what a simulated market has to know about each.

use std::collections::HashMap;

use crate::units::UNITS_PER_DOLLAR;

/// Index of a symbol in the [`SymbolTable`] of its market.
pub type SymbolId = u32;

/// Which tape reports a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tape {
    /// NYSE-listed.
    A,
    /// Listed on NYSE Arca or another regional exchange: most funds.
    B,
    /// Nasdaq-listed.
    C,
}

impl Tape {
    /// The value of `z` on the wire.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
        }
    }
}

/// One symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolInfo {
    /// The ticker.
    pub name: String,
    /// Its tape.
    pub tape: Tape,
    /// A plausible price in 1/10,000 dollar for a synthetic market to start from.
    pub price: i64,
}

/// Well-known tickers: name, tape, and a price in whole dollars of recent years. The first ones trade the most.
const KNOWN: &[(&str, Tape, i64)] = &[
    ("SPY", Tape::B, 590),
    ("NVDA", Tape::C, 140),
    ("TSLA", Tape::C, 250),
    ("AAPL", Tape::C, 230),
    ("AMZN", Tape::C, 200),
    ("MSFT", Tape::C, 430),
    ("META", Tape::C, 560),
    ("GOOGL", Tape::C, 175),
    ("QQQ", Tape::C, 500),
    ("AMD", Tape::C, 150),
    ("GOOG", Tape::C, 177),
    ("AVGO", Tape::C, 170),
    ("NFLX", Tape::C, 700),
    ("INTC", Tape::C, 24),
    ("BAC", Tape::A, 42),
    ("JPM", Tape::A, 220),
    ("XOM", Tape::A, 118),
    ("IWM", Tape::B, 225),
    ("DIA", Tape::B, 425),
    ("GLD", Tape::B, 245),
    ("TLT", Tape::C, 92),
    ("BRK.B", Tape::A, 460),
    ("V", Tape::A, 285),
    ("WMT", Tape::A, 82),
    ("UNH", Tape::A, 580),
    ("DIS", Tape::A, 96),
    ("KO", Tape::A, 70),
    ("PFE", Tape::A, 29),
    ("IBM", Tape::A, 215),
    ("AIG", Tape::A, 76),
    ("F", Tape::A, 11),
    ("T", Tape::A, 22),
    ("GE", Tape::A, 185),
    ("CSCO", Tape::C, 55),
    ("COST", Tape::C, 900),
    ("PEP", Tape::C, 170),
    ("ORCL", Tape::A, 170),
    ("CRM", Tape::A, 290),
    ("MU", Tape::C, 105),
    ("FAKEPACA", Tape::C, 133),
];

/// The default symbols of a synthetic market, the busiest first.
pub const DEFAULT_SYMBOLS: &str = "AAPL,MSFT,GOOGL,AMZN,NVDA,TSLA,META,SPY";
/// The symbol of the always-on test endpoint.
pub const TEST_SYMBOL: &str = "FAKEPACA";

/// The symbols of one market by number and by name.
#[derive(Clone, Debug)]
pub struct SymbolTable {
    infos: Vec<SymbolInfo>,
    by_name: HashMap<String, SymbolId>,
}

impl SymbolTable {
    /// A table of these names; repeated names count once.
    #[must_use]
    pub fn new<I>(names: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut table = Self { infos: Vec::new(), by_name: HashMap::new() };
        for name in names {
            let name = name.as_ref();
            if table.by_name.contains_key(name) {
                continue;
            }
            let id = SymbolId::try_from(table.infos.len()).unwrap_or(SymbolId::MAX);
            table.by_name.insert(name.to_owned(), id);
            table.infos.push(describe(name));
        }
        table
    }

    /// How many symbols there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.infos.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.infos.is_empty()
    }

    /// A symbol's number.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<SymbolId> {
        self.by_name.get(name).copied()
    }

    /// A symbol by its number.
    ///
    /// # Panics
    /// For a number that is not of this table.
    #[must_use]
    pub fn info(&self, id: SymbolId) -> &SymbolInfo {
        &self.infos[id as usize]
    }

    /// All numbers.
    pub fn ids(&self) -> impl Iterator<Item = SymbolId> + use<> {
        0..SymbolId::try_from(self.infos.len()).unwrap_or(SymbolId::MAX)
    }
}

/// Whether a text can be a ticker: 1 to 32 letters, digits, dots, dashes or slashes.
#[must_use]
pub fn is_well_formed(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'/');
    (1..=32).contains(&name.len()) && name.bytes().all(allowed)
}

/// The names behind an option such as `AAPL,MSFT`, `*` (500 symbols) or `*8000` (that many).
///
/// # Errors
/// A sentence when a name is malformed or the number is not 1 to 20,000.
pub fn expand(list: &str) -> Result<Vec<String>, String> {
    if let Some(count) = list.strip_prefix('*') {
        let count = if count.is_empty() { Ok(500) } else { count.parse::<usize>() };
        return match count {
            Ok(count) if (1..=20_000).contains(&count) => Ok(whole_market(count)),
            _ => Err(format!("{list:?} must be * or * and a number of symbols from 1 to 20000, such as *8000")),
        };
    }
    let names: Vec<&str> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err("it names no symbol".into());
    }
    names
        .into_iter()
        .map(|name| is_well_formed(name).then(|| name.to_owned()).ok_or_else(|| format!("{name:?} cannot be a symbol")))
        .collect()
}

/// The well-known tickers, then invented ones of five letters.
fn whole_market(count: usize) -> Vec<String> {
    let known = KNOWN.iter().map(|&(name, ..)| name.to_owned()).filter(|name| name != TEST_SYMBOL);
    let invented = (0_usize..).map(|number| {
        let letter = |place: u32| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[number / 26_usize.pow(place) % 26]);
        ['Z', letter(3), letter(2), letter(1), letter(0)].into_iter().collect()
    });
    known.chain(invented).take(count).collect()
}

fn describe(name: &str) -> SymbolInfo {
    let known = KNOWN.iter().find(|(known, ..)| *known == name);
    let (tape, dollars) = known.map_or_else(|| guess(name), |&(_, tape, dollars)| (tape, dollars));
    SymbolInfo { name: name.to_owned(), tape, price: dollars * UNITS_PER_DOLLAR }
}

/// Up to three letters are mostly NYSE listings, four and more Nasdaq's; the price comes from the letters.
fn guess(name: &str) -> (Tape, i64) {
    let tape = if name.len() <= 3 { Tape::A } else { Tape::C };
    let hash = name.bytes().fold(7_i64, |hash, byte| (hash * 31 + i64::from(byte)) % 1_000_003);
    (tape, 10 + hash % 290)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_numbers_and_repeats_count_once() {
        let table = SymbolTable::new(["AAPL", "SPY", "AAPL"]);
        assert_eq!(table.len(), 2);
        assert_eq!(table.id("SPY"), Some(1));
        assert_eq!(table.info(1).tape, Tape::B);
        assert_eq!(table.id("IBM"), None);
    }

    #[test]
    fn a_star_is_a_whole_market() {
        assert_eq!(expand("*").unwrap().len(), 500);
        let many = expand("*8000").unwrap();
        assert_eq!(SymbolTable::new(&many).len(), 8000, "all names differ");
        assert!(many.iter().all(|name| is_well_formed(name)));
        assert!(expand("*0").is_err());
        assert!(expand("*x").is_err());
    }

    #[test]
    fn a_list_is_split_and_checked() {
        assert_eq!(expand("AAPL, BRK.B ,").unwrap(), ["AAPL", "BRK.B"]);
        assert!(expand("").is_err());
        assert!(expand("AA PL").is_err());
    }
}
