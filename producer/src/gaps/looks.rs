//! The second look: reads behind the end of a healed gap for trades of the outage that were stamped ahead of their time.

use std::time::Duration;

use market::Gap;
use market::NS_PER_MS;
use market::gap::COLD_PATH_FULL;
use tokio::time::Instant;

use crate::feeds::rest::Kind;
use crate::journal::looks::Look;

use super::healing::{Backfill, RETRY_MAX, RETRY_MIN, Task, pieces};

impl Backfill {
    /// Looks that an earlier run owed, with their time.
    pub(super) fn owed(&self) -> Vec<(Instant, Task)> {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let wait = |look: &Look| Duration::from_millis(look.due.saturating_sub(now_ms).unsigned_abs());
        let looks = self.journal.looks(self.archive.feed()).into_iter();
        looks
            .map(|look| {
                let wait = if look.due > now_ms { wait(&look) } else { Duration::ZERO };
                (Instant::now() + wait, Task::LookAhead(look, 0))
            })
            .collect()
    }

    /// The look that a gap needs which is about to be called healed, remembered already; `None` if this feed has shown no such stamps.
    pub(super) fn owe(&self, gap: &Gap) -> Option<(Duration, Task)> {
        let exact = gap.cause == COLD_PATH_FULL;
        let early = Duration::from_nanos(self.early_ns().unsigned_abs());
        if exact || !self.archive.kinds().contains(&Kind::Trades) || early <= self.settings.hold_back {
            return None;
        }
        let ahead_ms = i64::try_from(early.as_millis()).unwrap_or(i64::MAX);
        let look = Look::behind(gap, ahead_ms, jiff::Timestamp::now().as_millisecond());
        self.journal.note_look(&look);
        Some((early, Task::LookAhead(look, 0)))
    }

    /// Takes a look; returns it with a pause if it has to be repeated.
    pub(super) async fn look_again(&mut self, look: Look, attempts: u32) -> Option<(Duration, Task)> {
        let Err(error) = self.look_ahead(&look).await else {
            metrics::counter!("producer_second_looks_total").increment(1);
            self.journal.forget_look(&look);
            return None;
        };
        tracing::warn!(to = look.to, attempts, "cannot read what was stamped ahead of a healed gap: {error:#}");
        let wait = self.settings.hold_back.max(RETRY_MIN).saturating_mul(1 << attempts.min(16)).min(RETRY_MAX);
        Some((wait, Task::LookAhead(look, attempts.saturating_add(1))))
    }

    async fn look_ahead(&mut self, look: &Look) -> anyhow::Result<()> {
        let to_ns = look.to.saturating_mul(NS_PER_MS);
        let symbols = self.symbols();
        for piece in pieces((to_ns, to_ns.saturating_add(look.ahead.saturating_mul(NS_PER_MS)))) {
            self.hand_on(&symbols, piece, to_ns).await?;
        }
        self.cold.safe().await; // only then may the look be forgotten
        Ok(())
    }
}
