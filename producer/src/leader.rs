//! Of any number of producers for the same feeds one leads; the others stand by without a connection to the feed (decision 0046).
//!
//! The lease is a row in PostgreSQL ([`lease`]). The leader counts it up twice a second and leaves there what a successor must know. A
//! standby that watches the count stand still for three and a half seconds takes over ([`watch`]). Before that moment the old leader has stopped: its
//! [`Fence`] falls earlier, and neither path publishes behind a fallen fence.

pub mod lease;
pub mod tenure;
pub mod watch;

pub use self::tenure::{Tenure, name_of};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use service::postgres::PostgresConfig;
use service::{CancellationToken, Part};
use tokio::time::sleep;

use self::lease::{Beat, Lease};
use self::watch::{STILL_MAX, Verdict, Watch};
use crate::journal::Journal;

/// The leader renews, and a standby looks, this often.
const INTERVAL: Duration = Duration::from_millis(500);
/// A leader that could not renew for this long stops, where another may take over. Shorter than [`STILL_MAX`].
const FENCE: Duration = Duration::from_millis(2_800);
/// A producer that may lead without PostgreSQL waits this long for it at its start.
const START_WAIT: Duration = Duration::from_secs(5);

/// How the leader is found.
#[derive(Clone, Debug)]
pub enum LeaderSettings {
    /// This producer is the only one.
    Off,
    /// By a lease in PostgreSQL.
    Postgres {
        /// Where.
        postgres: PostgresConfig,
        /// Producers with the same name are one group.
        group: String,
        /// Whether to stand by rather than to lead while PostgreSQL cannot be reached at the start.
        strict: bool,
    },
}

/// Whether this producer may publish. Clones share it; asking costs a few nanoseconds.
#[derive(Clone, Debug)]
pub struct Fence(Option<Arc<Standing>>);

#[derive(Debug)]
struct Standing {
    start: Instant,
    /// Milliseconds after `start` until which it stands.
    until_ms: AtomicU64,
}

impl Fence {
    /// Of a producer that needs no lease.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    fn new() -> Self {
        Self(Some(Arc::new(Standing { start: Instant::now(), until_ms: AtomicU64::new(0) })))
    }

    /// Whether it stands.
    #[must_use]
    pub fn stands(&self) -> bool {
        let Some(standing) = &self.0 else { return true };
        standing.start.elapsed().as_millis() < u128::from(standing.until_ms.load(Ordering::Acquire))
    }

    fn stand_until(&self, until: Option<Instant>) {
        let Some(standing) = &self.0 else { return };
        let ms = until.map_or(u64::MAX, |until| {
            u64::try_from(until.saturating_duration_since(standing.start).as_millis()).unwrap_or(u64::MAX)
        });
        standing.until_ms.store(ms, Ordering::Release);
    }

    fn fall(&self) {
        if let Some(standing) = &self.0 {
            standing.until_ms.store(0, Ordering::Release);
        }
    }
}

/// A producer that leads.
pub struct Leader {
    fence: Fence,
    lease: Option<Lease>,
    /// Whether the row says so too; a producer that began without PostgreSQL leads without.
    held: bool,
    standby_seen: bool,
    journal: Journal,
    part: Part,
}

impl Leader {
    /// Waits until this producer leads; `None` when it is stopped before. The journal then knows what the last leader knew.
    ///
    /// # Errors
    /// Where the settings do not make a connection.
    pub async fn elect(
        settings: &LeaderSettings,
        holder: String,
        journal: Journal,
        part: Part,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        let LeaderSettings::Postgres { postgres, group, strict } = settings else {
            part.ok();
            return Ok(Some(Self {
                fence: Fence::none(),
                lease: None,
                held: true,
                standby_seen: false,
                journal,
                part,
            }));
        };
        let lease = Lease::new(postgres, group.clone(), holder)?;
        let mut leader =
            Self { fence: Fence::new(), lease: Some(lease), held: false, standby_seen: false, journal, part };
        let elected = stop.run_until_cancelled(leader.stand_by(*strict)).await;
        Ok(elected.map(|()| leader))
    }

    /// What both paths ask before they publish.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    async fn stand_by(&mut self, strict: bool) {
        let (mut watch, began) = (Watch::default(), Instant::now());
        let Some(lease) = &mut self.lease else { return };
        loop {
            let asked = Instant::now();
            match lease.look().await {
                Ok(row) => match watch.see(row.as_ref(), lease.holder(), asked) {
                    Verdict::Take => match lease.take(row.as_ref()).await {
                        Ok(Some(taken)) => {
                            if let Some(frontier) = &taken.frontier {
                                self.journal.adopt(frontier, taken.symbols.as_deref());
                            }
                            self.held = true;
                            self.fence.stand_until(Some(asked + FENCE));
                            self.part.ok();
                            tracing::info!(epoch = lease.epoch(), waited_ms = began.elapsed().as_millis(), "leading");
                            metrics::gauge!("producer_leader").set(1);
                            return;
                        }
                        Ok(None) => watch = Watch::default(), // another was faster
                        Err(error) => tracing::warn!("cannot take the lease: {error:#}"),
                    },
                    Verdict::Wait => {
                        metrics::gauge!("producer_leader").set(0);
                        let leader = row.map(|row| row.holder).unwrap_or_default();
                        self.part.standby(format!("standby: producer `{leader}` leads"));
                    }
                },
                Err(error) => {
                    watch = Watch::default(); // what was not watched proves nothing
                    if !strict && began.elapsed() > START_WAIT {
                        tracing::warn!(
                            "PostgreSQL cannot be reached, so this producer leads without a lease: {error:#}"
                        );
                        self.fence.stand_until(None);
                        return;
                    }
                    self.part.degraded(format!("nobody knows which producer leads, PostgreSQL is away: {error:#}"));
                }
            }
            sleep(INTERVAL).await;
        }
    }

    /// Renews the lease until `done`, and gives it up then: after the last record was handed on.
    ///
    /// # Errors
    /// When another producer leads, or may: this one must not publish any more, and ends.
    pub async fn keep(mut self, done: CancellationToken) -> anyhow::Result<()> {
        let Some(mut lease) = self.lease.take() else {
            done.cancelled().await;
            return Ok(());
        };
        let (mut watch, mut renewed) = (Watch::default(), Instant::now());
        while !done.is_cancelled() {
            let asked = Instant::now();
            let beat = if self.held {
                lease.renew(&self.journal).await
            } else {
                self.join(&mut lease, &mut watch, asked).await
            };
            match beat {
                Ok(Beat::Held { standby }) => {
                    (self.standby_seen, renewed) = (standby, asked);
                    self.fence.stand_until(Some(asked + FENCE));
                    self.part.ok();
                }
                Ok(Beat::Undecided) => {}
                Ok(Beat::Lost) => {
                    self.fence.fall();
                    bail!(
                        "another producer leads now: this one ends, so that nothing is published twice; start it again to stand by"
                    );
                }
                Err(error) if lease::is_down(&error) || !self.standby_seen => {
                    // Nobody can take over: PostgreSQL refuses everybody, or nobody stands by.
                    self.fence.stand_until(None);
                    self.part.degraded(format!("leading without a lease while PostgreSQL is away: {error:#}"));
                }
                Err(error) => {
                    self.part.degraded(format!("the lease cannot be renewed: {error:#}"));
                    if renewed.elapsed() > STILL_MAX {
                        bail!(
                            "the lease could not be renewed for {STILL_MAX:?} and another producer stands by: this one ends ({error:#})"
                        );
                    }
                }
            }
            done.run_until_cancelled(sleep(INTERVAL)).await;
        }
        self.journal.flush();
        lease.give_up(&self.journal).await;
        Ok(())
    }

    /// Began without PostgreSQL: takes the lease as soon as nobody else has it.
    async fn join(&mut self, lease: &mut Lease, watch: &mut Watch, asked: Instant) -> anyhow::Result<Beat> {
        let row = lease.look().await?;
        if watch.see(row.as_ref(), lease.holder(), asked) == Verdict::Take {
            if lease.take(row.as_ref()).await?.is_none() {
                return Ok(Beat::Lost);
            }
            self.held = true;
            return Ok(Beat::Held { standby: false });
        }
        Ok(if watch.has_moved() { Beat::Lost } else { Beat::Undecided })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_falls_by_itself_and_one_that_is_not_needed_never() {
        assert!(Fence::none().stands());
        let fence = Fence::new();
        assert!(!fence.stands(), "before the lease is taken nothing is published");
        fence.stand_until(Some(Instant::now() + Duration::from_secs(60)));
        assert!(fence.stands());
        fence.stand_until(Some(Instant::now()));
        assert!(!fence.stands());
        fence.stand_until(None);
        assert!(fence.stands());
        fence.fall();
        assert!(!fence.stands());
    }
}
