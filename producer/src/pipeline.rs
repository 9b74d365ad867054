//! Connects the stages: what a connection brings goes to the fan-out and to the account of gaps, one task for each feed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;
use market::{Availability, NS_PER_MS};
use service::{CancellationToken, Health, Tasks};
use tokio::sync::mpsc;

use crate::connection::dial::Internet;
use crate::connection::keep_connected;
use crate::connection::outlet::Outlet;
use crate::connection::steady::Steady;
use crate::demand::Watched;
use crate::demand::refusals::Refusals;
use crate::fanout::Fanout;
use crate::fanout::cold::Cold;
use crate::fanout::hot::Hot;
use crate::fanout::positions::Positions;
use crate::feeds::event::Event;
use crate::feeds::protocol::{Feed, Frame, Step};
use crate::feeds::{FeedSettings, part_name};
use crate::gaps::{Ended, Gaps, Herald};
use crate::journal::Journal;
use crate::ledger::Ledger;

/// The service's outlet: records to Redis and Kafka, outages to the account of gaps.
pub struct Pipeline {
    fanout: Fanout,
    gaps: Gaps,
    clock: Steady,
}

impl Pipeline {
    /// Of one feed.
    #[must_use]
    pub fn new(fanout: Fanout, gaps: Gaps) -> Self {
        Self { fanout, gaps, clock: Steady::default() }
    }
}

impl Outlet for Pipeline {
    fn connected(&mut self) {
        self.fanout.connected();
        self.gaps.connected();
    }

    fn frame(&mut self, raw: Option<Frame<'_>>, decode: impl FnOnce(&mut dyn FnMut(Event)) -> Step) -> Step {
        let Self { fanout, gaps, clock } = self;
        let at_ns = clock.now_ns();
        let mut stamp_ns = None;
        let step = fanout.frame(gaps.heard_ns(at_ns), |each| {
            decode(&mut |event| {
                if let Event::Trade(trade) = &event {
                    gaps.trade(at_ns, trade);
                }
                stamp_ns = event.stamp_ns().or(stamp_ns);
                each(event);
            })
        });
        if let (Some(stamp_ns), Some(_)) = (stamp_ns, raw) {
            gaps.heard(at_ns, stamp_ns);
        }
        if let Some(shortage) = fanout.shortage() {
            gaps.short(shortage, fanout.epoch());
        }
        step
    }

    fn news(&mut self, news: &[Availability]) {
        self.fanout.tell(news);
    }

    fn subscribed(&mut self) {
        self.gaps.subscribed(self.clock.now_ns());
    }

    fn tick(&mut self) {
        self.gaps.tick(self.clock.now_ns());
    }

    fn is_complete(&self) -> bool {
        self.gaps.is_complete()
    }

    fn feed_ms(&self) -> i64 {
        self.gaps.feed_ms(self.clock.now_ns())
    }

    fn silent(&mut self, cause: &str) {
        self.gaps.silent(cause);
    }

    fn lost(&mut self, cause: &str) {
        self.gaps.lost(cause);
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
    /// The account of what was numbered.
    pub ledger: Ledger,
    /// What the last run knew.
    pub journal: Journal,
    /// Tells about gaps.
    pub herald: Herald,
    /// What is wanted.
    pub wanted: Watched,
    /// What each feed has refused.
    pub refusals: HashMap<Feed, Refusals>,
    /// Take the gaps of feeds with a history that is read.
    pub heal: HashMap<Feed, mpsc::Sender<Ended>>,
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
    let last_one = Arc::new(CloseOnDrop(paths.cold.clone(), paths.ledger.clone()));
    let now_ms = Steady::default().now_ns() / NS_PER_MS;
    for settings in feeds {
        let feed = settings.feed();
        let heal = paths.heal.get(&feed).cloned();
        let gaps = Gaps::resume(feed, &paths.journal, paths.herald.clone(), heal, now_ms);
        let fanout =
            Fanout::new(feed, paths.positions.clone(), paths.hot.clone(), paths.cold.clone(), paths.ledger.clone());
        let outlet = Pipeline::new(fanout, gaps);
        let (wanted, part) = (paths.wanted.clone(), health.part(part_name(feed)));
        let mut protocol = settings.protocol();
        if let (Some(roster), Some(refusals)) = (protocol.roster(), paths.refusals.get(&feed)) {
            roster.share(refusals.clone());
        }
        let connected = keep_connected(internet, protocol, outlet, wanted, part.clone(), stop.clone());
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

/// Closes the ledger, and behind its last report the cold path, when the last clone goes.
struct CloseOnDrop(Cold, Ledger);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.1.close();
        self.0.close();
    }
}
