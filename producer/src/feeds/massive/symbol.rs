//! How Massive writes symbols: lower-case letters stand for kinds of shares that every other feed spells out (`BACpB` is `BAC.PRB`).

use std::borrow::Cow;

use market::{Reject, Symbol};

/// Massive's letter, and what follows the root everywhere else: preferred shares (of a series, which follows), rights, when issued.
const KINDS: [(u8, &str); 3] = [(b'p', ".PR"), (b'r', ".RT"), (b'w', ".WI")];

/// The symbol that Massive calls `text`.
///
/// # Errors
/// [`Reject::Symbol`] where it is not a symbol.
pub fn from_wire(text: &str) -> Result<Symbol, Reject> {
    match text.bytes().position(|byte| byte.is_ascii_lowercase()) {
        None => Symbol::new(text),
        Some(at) => {
            let kind = KINDS.iter().find(|(letter, _)| *letter == text.as_bytes()[at]).ok_or(Reject::Symbol)?;
            Symbol::new(&format!("{}{}{}", &text[..at], kind.1, &text[at + 1..]))
        }
    }
}

/// What Massive calls this symbol.
#[must_use]
pub fn to_wire(symbol: &Symbol) -> Cow<'_, str> {
    let text = symbol.as_str();
    let spelt = KINDS.iter().find_map(|(letter, suffix)| {
        let (root, series) = text.split_once(suffix)?;
        let fits = *letter == b'p' || series.is_empty();
        (fits && !series.contains(['.', ':', '/', '-'])).then(|| format!("{root}{}{series}", char::from(*letter)))
    });
    spelt.map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_shares_are_spelt_out_and_back() {
        for (massive, ours) in [
            ("AAPL", "AAPL"),
            ("BRK.B", "BRK.B"),
            ("BACpB", "BAC.PRB"),
            ("ETp", "ET.PR"),
            ("XYZr", "XYZ.RT"),
            ("GEw", "GE.WI"),
            ("ACHR.WS", "ACHR.WS"),
            ("O:SPY251219C00650000", "O:SPY251219C00650000"),
            ("X:BTCUSD", "X:BTCUSD"),
        ] {
            let symbol = from_wire(massive).unwrap();
            assert_eq!((symbol.as_str(), to_wire(&symbol).as_ref()), (ours, massive));
        }
        for text in ["", "aapl", "BACx", "A,B", "A B"] {
            assert_eq!(from_wire(text), Err(Reject::Symbol), "{text:?}");
        }
    }
}
