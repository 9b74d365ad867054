//! A feed's REST history, whichever feed it is.

use market::Symbol;

use crate::feeds::event::Event;
use crate::feeds::protocol::Feed;
use crate::feeds::rest::{Kind, Span};
use crate::feeds::{alpaca, finnhub, massive};

/// The history of one feed.
#[derive(Clone, Debug)]
pub enum Archive {
    /// Trades and bars, many symbols in one request.
    Alpaca(alpaca::rest::Rest),
    /// Trades and bars, one symbol in a request.
    Massive(massive::rest::Rest),
    /// Bars only, where the plan includes them.
    Finnhub(finnhub::rest::Rest),
}

impl Archive {
    /// Whose history this is.
    #[must_use]
    pub fn feed(&self) -> Feed {
        match self {
            Self::Alpaca(_) => Feed::Alpaca,
            Self::Massive(_) => Feed::Massive,
            Self::Finnhub(_) => Feed::Finnhub,
        }
    }

    /// What it has. A gap is healed only where trades are among it.
    #[must_use]
    pub fn kinds(&self) -> &'static [Kind] {
        if self.feed().keeps_trades() { &[Kind::Trades, Kind::Bars] } else { &[Kind::Bars] }
    }

    /// Everything within `span`, page by page.
    ///
    /// # Errors
    /// Where a time cannot be written down.
    pub fn pages<'a>(&'a self, kind: Kind, symbols: &'a [Symbol], span: Span) -> anyhow::Result<Pages<'a>> {
        Ok(match self {
            Self::Alpaca(rest) => Pages::Alpaca(alpaca::rest::Pages::new(rest, kind, symbols, span)?),
            Self::Massive(rest) => Pages::Massive(massive::rest::Pages::new(rest, kind, symbols, span)),
            Self::Finnhub(rest) => Pages::Finnhub(rest, symbols.iter(), span),
        })
    }
}

/// Pages of one kind of history.
pub enum Pages<'a> {
    /// Of Alpaca.
    Alpaca(alpaca::rest::Pages<'a>),
    /// Of Massive.
    Massive(massive::rest::Pages<'a>),
    /// Of Finnhub: bars, a page a symbol.
    Finnhub(&'a finnhub::rest::Rest, std::slice::Iter<'a, Symbol>, Span),
}

impl Pages<'_> {
    /// The next page's records; `None` after the last page. A page may be empty.
    ///
    /// # Errors
    /// Where the feed refuses, or does not answer for several minutes; the text says why. Earlier pages stay valid.
    pub async fn next(&mut self) -> anyhow::Result<Option<Vec<Event>>> {
        match self {
            Self::Alpaca(pages) => pages.next().await,
            Self::Massive(pages) => pages.next().await,
            Self::Finnhub(rest, symbols, span) => match symbols.next() {
                Some(symbol) => rest.bars(symbol, *span).await.map(Some),
                None => Ok(None),
            },
        }
    }
}
