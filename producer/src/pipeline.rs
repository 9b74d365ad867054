//! Connects the stages: what a connection brings goes to the fan-out and to the account of gaps, one task for each feed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;
use market::{Availability, Gap};
use service::{CancellationToken, Health, Tasks};
use tokio::sync::mpsc;

use crate::connection::dial::Internet;
use crate::connection::keep_connected;
use crate::connection::outlet::Outlet;
use crate::demand::Watched;
use crate::fanout::Fanout;
use crate::fanout::cold::Cold;
use crate::fanout::hot::Hot;
use crate::fanout::positions::Positions;
use crate::feeds::event::Event;
use crate::feeds::protocol::{Feed, Frame, Step};
use crate::feeds::{FeedSettings, part_name};
use crate::gaps::{Gaps, Herald};
use crate::journal::Journal;

/// The service's outlet: records to Redis and Kafka, outages to the account of gaps.
pub struct Pipeline {
    fanout: Fanout,
    gaps: Gaps,
}

impl Pipeline {
    /// Of one feed.
    #[must_use]
    pub fn new(fanout: Fanout, gaps: Gaps) -> Self {
        Self { fanout, gaps }
    }
}

impl Outlet for Pipeline {
    fn connected(&mut self) {
        self.fanout.connected();
    }

    fn frame(&mut self, _: Option<Frame<'_>>, decode: impl FnOnce(&mut dyn FnMut(Event)) -> Step) -> Step {
        let step = self.fanout.frame(decode);
        self.gaps.heard(self.fanout.clock());
        if let Some(shortage) = self.fanout.shortage() {
            self.gaps.short(shortage, self.fanout.epoch());
        }
        step
    }

    fn news(&mut self, news: &[Availability]) {
        self.fanout.tell(news);
    }

    fn lost(&mut self, cause: &str) {
        self.gaps.lost(self.fanout.clock(), cause);
    }

    fn doubted(&mut self, cause: &str) {
        self.gaps.doubted(self.fanout.clock(), cause);
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
