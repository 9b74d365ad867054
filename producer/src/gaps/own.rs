//! Gaps of our own making: the feed was heard and clients were served, but neither Kafka nor the spool had room. Their extent is known
//! exactly, because every record of them was seen.

use market::Gap;
use market::gap::COLD_PATH_FULL;

use crate::fanout::cold::overflow::Shortage;

use super::witness::Witnesses;
use super::{Ended, Gaps, send_to};

impl Gaps {
    /// The cold path has no room, or has room again. `epoch`: this run.
    pub fn short(&mut self, shortage: Shortage, epoch: i64) {
        match shortage {
            Shortage::Began { from_ms } => {
                let gap = self.own_gap(from_ms);
                tracing::error!(
                    feed = self.feed.name(),
                    from = gap.from,
                    "Kafka is away and the spool is full: records reach clients but are not stored until there is room"
                );
                self.herald.announce(&gap);
                self.own = Some(gap);
            }
            Shortage::Over(extent) => {
                let (oldest, newest) = extent.span_ms;
                let gap = self.own.take().unwrap_or_else(|| self.own_gap(oldest));
                if oldest < gap.from {
                    // Reports that came late while there was no room. A gap is known by its start, so they get one of their own.
                    self.finish(Gap { to: Some(gap.from), ..self.own_gap(oldest) });
                }
                let to = newest.max(gap.from);
                tracing::warn!(
                    feed = self.feed.name(),
                    from = gap.from,
                    to,
                    records = extent.records,
                    "there is room again"
                );
                self.finish(Gap { to: Some(to), missed: Some(extent.missed(epoch)), ..gap });
            }
        }
    }

    /// A gap is known by its start, so another one of the same millisecond begins one later.
    fn own_gap(&self, from_ms: i64) -> Gap {
        metrics::counter!("producer_gaps_total").increment(1);
        let taken = self.herald.journal.last_gap(self.feed) == Some(from_ms);
        Gap::open(&self.feed.source(), from_ms + i64::from(taken), COLD_PATH_FULL)
    }

    fn finish(&self, gap: Gap) {
        let Some(heal) = &self.heal else { return self.herald.conclude(&gap) };
        self.herald.announce(&gap);
        send_to(heal, Ended { gap, witnesses: Witnesses::default() });
    }
}

#[cfg(test)]
mod tests {
    use market::Symbol;
    use service::redis::RedisConfig;
    use service::{Health, Vars};
    use std::time::Duration;
    use tokio::sync::mpsc;

    use crate::fanout::cold::Cold;
    use crate::fanout::cold::overflow::Extent;
    use crate::fanout::hot::Hot;
    use crate::feeds::protocol::Feed;
    use crate::gaps::Herald;
    use crate::journal::Journal;

    use super::*;

    #[test]
    fn what_found_no_room_is_declared_at_once_and_healed_by_its_exact_extent() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path().join("journal.json")).unwrap();
        let redis = Vars::from_pairs(&[]).load(RedisConfig::from_vars).unwrap();
        let (hot, _) = Hot::new(redis, Health::new("test").part("redis"));
        let cold = Cold::default();
        let (heal, mut to_heal) = mpsc::channel(4);
        let herald = Herald::new(hot.clone(), cold.clone(), journal.clone());
        let mut gaps = Gaps::resume(Feed::Alpaca, &journal, herald, Some(heal), 1_000_000);

        gaps.short(Shortage::Began { from_ms: 1_000 }, 7);
        let open = journal.gaps(Feed::Alpaca);
        assert_eq!((open[0].from, open[0].to, open[0].cause.as_str()), (1_000, None, COLD_PATH_FULL));
        let seqs = [(Symbol::new("AAPL").unwrap().to_string(), (3, 9))].into();
        let extent = Extent { span_ms: (400, 5_000), records: 7, seqs, bar_seqs: Default::default() };
        gaps.short(Shortage::Over(extent), 7);
        let spans: Vec<_> =
            std::iter::from_fn(|| to_heal.try_recv().ok()).map(|Ended { gap, .. }| (gap.from, gap.to)).collect();
        assert_eq!(spans, [(400, Some(1_000)), (1_000, Some(5_000))]);

        let mut kept = Vec::new();
        cold.take(&mut kept, usize::MAX, usize::MAX, Duration::ZERO);
        let missed = Gap::decode(&kept.last().unwrap().json).unwrap().missed.unwrap();
        assert_eq!(
            (missed.epoch, missed.records, missed.trades["AAPL"]),
            (7, 7, (3, 9)),
            "Kafka's readers learn the numbers"
        );
        assert!(hot.queued().iter().all(|record| Gap::decode(&record.json).unwrap().missed.is_none()));
    }
}
