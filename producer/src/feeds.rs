//! The feeds: each takes its frames apart into [`event::Event`]s, holds its side of the conversation ([`protocol`]), and reads its history
//! ([`archive`]). No socket, no clock, and no knowledge of who reads the records.

pub mod alpaca;
pub mod archive;
pub mod bars;
pub mod event;
pub mod fields;
pub mod finnhub;
pub mod massive;
pub mod occurrences;
pub mod protocol;
pub mod raw;
pub mod rest;
pub mod revisions;
pub mod time;

use market::Symbol;

use self::alpaca::{Alpaca, AlpacaSettings};
use self::archive::Archive;
use self::finnhub::{Finnhub, FinnhubSettings};
use self::massive::{Massive, MassiveSettings};
use self::protocol::{Feed, Protocol};

/// One feed's settings.
#[derive(Clone, Debug)]
pub enum FeedSettings {
    /// Alpaca.
    Alpaca(AlpacaSettings),
    /// Finnhub.
    Finnhub(FinnhubSettings),
    /// Massive.
    Massive(MassiveSettings),
}

impl FeedSettings {
    /// Whose settings these are.
    #[must_use]
    pub fn feed(&self) -> Feed {
        match self {
            Self::Alpaca(_) => Feed::Alpaca,
            Self::Finnhub(_) => Feed::Finnhub,
            Self::Massive(_) => Feed::Massive,
        }
    }

    /// The symbols that it always carries; `None` where it carries all.
    #[must_use]
    pub fn symbols(&self) -> Option<&[Symbol]> {
        match self {
            Self::Alpaca(settings) => settings.symbols.as_deref(),
            Self::Finnhub(settings) => Some(&settings.symbols),
            Self::Massive(settings) => settings.symbols.as_deref(),
        }
    }

    /// The history of this feed.
    ///
    /// # Errors
    /// Where its address is malformed.
    pub fn archive(&self) -> anyhow::Result<Archive> {
        Ok(match self.clone() {
            Self::Alpaca(AlpacaSettings { rest_url, url, key, secret, .. }) => {
                Archive::Alpaca(alpaca::rest::Rest::new(&rest_url, &url, key, secret)?)
            }
            Self::Finnhub(settings) => Archive::Finnhub(finnhub::rest::Rest::new(&settings.rest_url, settings.key)?),
            Self::Massive(settings) => Archive::Massive(massive::rest::Rest::new(&settings.rest_url, settings.key)?),
        })
    }

    /// A conversation with this feed.
    #[must_use]
    pub fn protocol(&self) -> Box<dyn Protocol> {
        match self.clone() {
            Self::Alpaca(settings) => Box::new(Alpaca::new(settings)),
            Self::Finnhub(settings) => Box::new(Finnhub::new(settings)),
            Self::Massive(settings) => Box::new(Massive::new(settings)),
        }
    }
}

/// The name of a feed's part in the health report, and of its task.
#[must_use]
pub fn part_name(feed: Feed) -> &'static str {
    match feed {
        Feed::Alpaca => "feed-alpaca",
        Feed::Finnhub => "feed-finnhub",
        Feed::Massive => "feed-massive",
    }
}

/// The name of the task that heals a feed's gaps, and of its part in the health report.
#[must_use]
pub fn backfill_name(feed: Feed) -> &'static str {
    match feed {
        Feed::Alpaca => "backfill-alpaca",
        Feed::Finnhub => "backfill-finnhub",
        Feed::Massive => "backfill-massive",
    }
}
