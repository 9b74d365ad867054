//! The feeds that were chosen, each with its settings, and the tasks that keep them connected.

use std::sync::Arc;

use service::{CancellationToken, Health, Tasks};
use tokio::sync::mpsc;

use market::{Gap, Symbol};

use crate::alpaca::{Alpaca, AlpacaSettings};
use crate::cold::Cold;
use crate::connection::keep_connected;
use crate::demand::Watched;
use crate::dial::Internet;
use crate::fanout::Fanout;
use crate::feed::{Feed, Protocol};
use crate::finnhub::{Finnhub, FinnhubSettings};
use crate::gaps::{Gaps, Herald};
use crate::hot::Hot;
use crate::journal::Journal;
use crate::massive::{Massive, MassiveSettings};
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
    /// Takes the gaps of Alpaca, the one feed with a history that is read.
    pub heal: mpsc::Sender<Gap>,
}

/// Starts one task for each feed. When the last of them has ended the cold path is closed, so that its writer may finish.
pub fn spawn(feeds: &[FeedSettings], paths: &Paths, health: &Health, tasks: &mut Tasks, stop: &CancellationToken) {
    let last_one = Arc::new(CloseOnDrop(paths.cold.clone()));
    for settings in feeds {
        let feed = settings.feed();
        let heal = (feed == Feed::Alpaca).then(|| paths.heal.clone());
        let gaps = Gaps::resume(feed, &paths.journal, paths.herald.clone(), heal);
        let fanout = Fanout::new(feed, paths.positions.clone(), paths.hot.clone(), paths.cold.clone());
        let outlet = Pipeline::new(fanout, gaps);
        let (wanted, part) = (paths.wanted.clone(), health.part(part_name(feed)));
        let connected = keep_connected(Internet, settings.protocol(), outlet, wanted, part, stop.clone());
        let last_one = last_one.clone();
        tasks.spawn(part_name(feed), async move {
            let ended = connected.await;
            drop(last_one);
            ended
        });
    }
}

/// Closes the cold path when the last clone goes.
struct CloseOnDrop(Cold);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
