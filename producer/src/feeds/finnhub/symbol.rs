//! How Finnhub writes symbols: some exchanges have a space in their name and an underscore between two currencies (`IC MARKETS:1`,
//! `OANDA:EUR_USD`). Here they are `IC-MARKETS:1` and `OANDA:EUR/USD`.

use std::borrow::Cow;

use market::{Reject, Symbol};

/// Exchanges that write an underscore between two currencies.
const WITH_UNDERSCORE: [&str; 1] = ["OANDA"];
/// Exchanges with a space in their name: theirs, ours.
const WITH_SPACE: [(&str, &str); 2] = [("IC MARKETS", "IC-MARKETS"), ("PEPPERSTONE UK", "PEPPERSTONE-UK")];

/// The symbol that Finnhub calls `text`.
///
/// # Errors
/// [`Reject::Symbol`] where it is not a symbol.
pub fn from_wire(text: &str) -> Result<Symbol, Reject> {
    match text.split_once(':') {
        Some((exchange, name)) if text.contains(['_', ' ']) => {
            let exchange = WITH_SPACE.iter().find(|(theirs, _)| *theirs == exchange).map_or(exchange, |(_, ours)| ours);
            Symbol::new(&format!("{exchange}:{}", name.replace('_', "/")))
        }
        _ => Symbol::new(text),
    }
}

/// What Finnhub calls this symbol.
#[must_use]
pub fn to_wire(symbol: &Symbol) -> Cow<'_, str> {
    let text = symbol.as_str();
    let Some((exchange, name)) = text.split_once(':') else { return Cow::Borrowed(text) };
    if let Some((theirs, _)) = WITH_SPACE.iter().find(|(_, ours)| *ours == exchange) {
        return Cow::Owned(format!("{theirs}:{name}"));
    }
    if WITH_UNDERSCORE.contains(&exchange) {
        return Cow::Owned(format!("{exchange}:{}", name.replace('/', "_")));
    }
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_underscores_are_mapped_there_and_back() {
        for (finnhub, ours) in [
            ("AAPL", "AAPL"),
            ("BINANCE:BTCUSDT", "BINANCE:BTCUSDT"),
            ("COINBASE:BTC-USD", "COINBASE:BTC-USD"),
            ("FXCM:EUR/USD", "FXCM:EUR/USD"),
            ("OANDA:EUR_USD", "OANDA:EUR/USD"),
            ("IC MARKETS:1", "IC-MARKETS:1"),
        ] {
            let symbol = from_wire(finnhub).unwrap();
            assert_eq!((symbol.as_str(), to_wire(&symbol).as_ref()), (ours, finnhub));
        }
        for text in ["", "A B", "A_B", "^GSPC", "A,B"] {
            assert_eq!(from_wire(text), Err(Reject::Symbol), "{text:?}");
        }
    }
}
