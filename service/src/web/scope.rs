//! What a token covers. The same [`Scope`] decides on every way out: live streams, snapshots, replays and history.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use market::Symbol;

/// One stream of market data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stream {
    /// Trades.
    Trades,
    /// Bars.
    Bars,
    /// Quotes.
    Quotes,
}

impl Stream {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Trades, Self::Bars, Self::Quotes];

    /// Its name in tokens and subscription requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trades => "trades",
            Self::Bars => "bars",
            Self::Quotes => "quotes",
        }
    }
}

impl FromStr for Stream {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "trades" | "trade" => Ok(Self::Trades),
            "bars" | "bar" => Ok(Self::Bars),
            "quotes" | "quote" => Ok(Self::Quotes),
            _ => Err("streams are trades, bars and quotes"),
        }
    }
}

/// A set of streams.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Streams(u8);

impl Streams {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self::of(&Stream::ALL);

    /// These streams.
    #[must_use]
    pub const fn of(streams: &[Stream]) -> Self {
        let (mut bits, mut index) = (0, 0);
        while index < streams.len() {
            bits |= 1 << streams[index] as u8;
            index += 1;
        }
        Self(bits)
    }

    /// Whether `stream` is one of them.
    #[must_use]
    pub fn has(self, stream: Stream) -> bool {
        self.0 & (1 << stream as u8) != 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Stream> {
        Stream::ALL.into_iter().filter(move |stream| self.has(*stream))
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Stream::name)).finish()
    }
}

/// What somebody may see. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    symbols: Option<Arc<BTreeSet<Symbol>>>,
    streams: Streams,
    history: bool,
}

impl Scope {
    /// Everything.
    pub const ALL: Self = Self { symbols: None, streams: Streams::ALL, history: true };

    /// These symbols (all where `None`) and streams, live, and with `history` what is stored of them.
    #[must_use]
    pub fn new(symbols: Option<BTreeSet<Symbol>>, streams: Streams, history: bool) -> Self {
        Self { symbols: symbols.map(Arc::new), streams, history }
    }

    /// Whether it covers everything, also what belongs to no symbol.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::ALL
    }

    /// Whether it covers `symbol`.
    #[must_use]
    pub fn allows(&self, symbol: &Symbol) -> bool {
        self.symbols.as_ref().is_none_or(|symbols| symbols.contains(symbol))
    }

    /// Whether it covers `stream`.
    #[must_use]
    pub fn allows_stream(&self, stream: Stream) -> bool {
        self.streams.has(stream)
    }

    /// The streams that it covers.
    #[must_use]
    pub fn streams(&self) -> Streams {
        self.streams
    }

    /// Whether it covers what is stored.
    #[must_use]
    pub fn allows_history(&self) -> bool {
        self.history
    }

    /// The symbols that it is limited to; `None` where it covers all.
    #[must_use]
    pub fn symbols(&self) -> Option<&BTreeSet<Symbol>> {
        self.symbols.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_covers_what_it_names_and_nothing_else() {
        let symbol = |name| Symbol::new(name).unwrap();
        let scope = Scope::new(Some([symbol("AAPL")].into()), Streams::of(&[Stream::Trades]), false);
        assert!(scope.allows(&symbol("AAPL")) && !scope.allows(&symbol("MSFT")));
        assert!(scope.allows_stream(Stream::Trades) && !scope.allows_stream(Stream::Bars));
        assert!(!scope.allows_history() && !scope.is_all());
        assert!(Scope::ALL.allows(&symbol("MSFT")) && Scope::ALL.is_all());
        assert!(!Scope::new(None, Streams::ALL, false).is_all());
        assert_eq!(Streams::ALL.iter().collect::<Vec<_>>(), Stream::ALL);
    }
}
