//! The feeds that were chosen, each with its settings, and the tasks that keep them connected.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;

use service::{CancellationToken, Health, Tasks};
use tokio::sync::mpsc;

use market::{Gap, Symbol};

use crate::alpaca::{self, Alpaca, AlpacaSettings};
use crate::archive::Archive;
use crate::cold::Cold;
use crate::connection::keep_connected;
use crate::demand::Watched;
use crate::dial::Internet;
use crate::fanout::Fanout;
use crate::feed::{Feed, Protocol};
use crate::finnhub::{self, Finnhub, FinnhubSettings};
use crate::gaps::{Gaps, Herald};
use crate::hot::Hot;
use crate::journal::Journal;
use crate::massive::{self, Massive, MassiveSettings};
use crate::outlet::Pipeline;
use crate::positions::Positions;

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

/// Where all feeds' records go.
pub struct Paths {
    /// Places in the live stream.
    pub positions: Positions,
    /// To Redis.
    pub hot: Hot,
    /// To Kafka.
    pub cold: Cold,
    /// What the last run knew.
    pub journal: Journal,
    /// Tells about gaps.
    pub herald: Herald,
    /// What is wanted.
    pub wanted: Watched,
    /// Take the gaps of feeds with a history that is read.
    pub heal: HashMap<Feed, mpsc::Sender<Gap>>,
}

/// Starts one task for each feed. One that can never go on leaves the others alone; where none is left the service ends. When the last of
/// them has ended the cold path is closed, so that its writer may finish.
pub fn spawn(
    feeds: &[FeedSettings],
    internet: Internet,
    paths: &Paths,
    health: &Health,
    tasks: &mut Tasks,
    stop: &CancellationToken,
) {
    let lost = Arc::new(Lost { feeds: feeds.len(), reasons: Mutex::default() });
    let last_one = Arc::new(CloseOnDrop(paths.cold.clone()));
    for settings in feeds {
        let feed = settings.feed();
        let heal = paths.heal.get(&feed).cloned();
        let gaps = Gaps::resume(feed, &paths.journal, paths.herald.clone(), heal);
        let fanout = Fanout::new(feed, paths.positions.clone(), paths.hot.clone(), paths.cold.clone());
        let outlet = Pipeline::new(fanout, gaps);
        let (wanted, part) = (paths.wanted.clone(), health.part(part_name(feed)));
        let connected = keep_connected(internet, settings.protocol(), outlet, wanted, part.clone(), stop.clone());
        let (last_one, lost, stop) = (last_one.clone(), lost.clone(), stop.clone());
        tasks.spawn(part_name(feed), async move {
            let ended = connected.await;
            drop(last_one);
            let Err(reason) = ended else { return Ok(()) };
            if let Some(reasons) = lost.add(feed, &reason) {
                return Err(anyhow!(reasons));
            }
            tracing::error!(feed = feed.name(), "{reason:#}; the other feeds go on");
            part.degraded(format!("away until the producer is started anew: {reason:#}"));
            stop.cancelled().await;
            Ok(())
        });
    }
}

/// Feeds that can never go on.
struct Lost {
    /// How many feeds there are.
    feeds: usize,
    reasons: Mutex<Vec<String>>,
}

impl Lost {
    /// One more is lost; returns all reasons where none is left.
    fn add(&self, feed: Feed, reason: &anyhow::Error) -> Option<String> {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.push(if self.feeds == 1 { format!("{reason:#}") } else { format!("{feed}: {reason:#}") });
        (reasons.len() == self.feeds).then(|| reasons.join("; "))
    }
}

/// Closes the cold path when the last clone goes.
struct CloseOnDrop(Cold);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
