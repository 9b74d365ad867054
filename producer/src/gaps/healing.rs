//! Heals gaps: fetches from the REST history what the stream sent while nobody listened, sends it down the cold path, and calls a gap
//! healed only when [`super::proof`] accepts the answer. Until then the gap stays open with the reason and is tried again.
//!
//! The fetch reaches a little beyond both ends of the gap, because trades are reported late; what was stored already is recognised by
//! its natural key in PostgreSQL. Backfilled records have no position: they never were in the live stream.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use market::calendar::{Phase, phase_at};
use market::gap::COLD_PATH_FULL;
use market::wire::{encode_bar, encode_trade};
use market::{Gap, MS_PER_MINUTE, NS_PER_MS, Symbol, Trade};
use service::{CancellationToken, Part};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::demand::Watched;
use crate::demand::refusals::Refusals;
use crate::fanout::cold::Cold;
use crate::fanout::record::{Encoded, Stream};
use crate::feeds::archive::Archive;
use crate::feeds::event::Event;
use crate::feeds::occurrences::Occurrences;
use crate::feeds::rest::{Kind, Span};
use crate::journal::Journal;
use crate::journal::looks::Look;

use super::proof::{Overlap, Tally};
use super::{Ended, Herald};

/// Shortest and longest pause before a gap that could not be healed is tried again.
pub(super) const RETRY_MIN: Duration = Duration::from_secs(2);
pub(super) const RETRY_MAX: Duration = Duration::from_secs(3600);
/// Gaps that wait here; more wait in the channel, and behind it in the journal.
const WAITING_MAX: usize = 1024;
/// This share of the time that a history needs lies between its two readings.
const SETTLE_SHARE: u32 = 4;

/// When and how much to fetch.
#[derive(Clone, Copy, Debug)]
pub struct BackfillSettings {
    /// The history needs this long after the gap's end to be complete.
    pub hold_back: Duration,
    /// How far beyond both ends of the gap to fetch.
    pub margin: Duration,
}

/// The task that heals gaps, one after the other.
pub struct Backfill {
    /// History of the feed.
    pub archive: Archive,
    /// What is wanted now; where everything is subscribed, what to fetch is every symbol that ever had records.
    pub wanted: Watched,
    /// What was wanted when the last run ended.
    pub wanted_before: Vec<Symbol>,
    /// What the stream has refused: nothing of it was missed.
    pub refusals: Refusals,
    /// When and how much.
    pub settings: BackfillSettings,
    /// Where records go.
    pub cold: Cold,
    /// Where a healed gap is announced.
    pub herald: Herald,
    /// Symbols that had records.
    pub journal: Journal,
    /// Its health.
    pub part: Part,
}

/// What waits for its time.
pub(super) enum Task {
    /// Fetch and verify a gap.
    Heal(Box<Ended>),
    /// Read behind the end of a healed gap ([`super::looks`]); tried in vain so often.
    LookAhead(Look, u32),
}

impl Task {
    /// Whether a gap waits to be healed. A look behind one that is healed is no reason to complain.
    fn is_open_gap(&self) -> bool {
        matches!(self, Self::Heal(_))
    }
}

/// What a successful healing rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Proven {
    /// Trades of the history within the gap and the margin before it.
    trades: u64,
    /// Records that were handed on, bars too.
    handed_on: usize,
    /// Trades that the stream delivered and the history lacks.
    unknown: u64,
}

impl Backfill {
    /// Heals gaps until `stop`. A gap that is not healed then is taken up by the next run.
    ///
    /// # Errors
    /// Never; a history that refuses is degraded health.
    pub async fn run(mut self, mut gaps: mpsc::Receiver<Ended>, stop: CancellationToken) -> anyhow::Result<()> {
        let mut waiting: Vec<(Instant, Task)> = self.owed();
        self.part.ok();
        loop {
            let next = (0..waiting.len()).min_by_key(|at| waiting[*at].0);
            let due = next.map(|at| waiting[at].0);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                ended = gaps.recv(), if waiting.len() < WAITING_MAX => match ended {
                    Some(ended) => waiting.push((Instant::now() + self.settings.hold_back, Task::Heal(Box::new(ended)))),
                    None => {
                        stop.cancelled().await; // the feed has ended; so will everything else
                        return Ok(());
                    }
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let Some((_, task)) = next.map(|at| waiting.swap_remove(at)) else { continue };
                    let is_last = !waiting.iter().any(|(_, task)| task.is_open_gap());
                    let Some(later) = stop.run_until_cancelled(self.perform(task, is_last)).await else { return Ok(()) };
                    waiting.extend(later.map(|(wait, task)| (Instant::now() + wait, task)));
                }
            }
        }
    }

    /// Does what is due; returns what to do later.
    async fn perform(&mut self, task: Task, is_last: bool) -> Option<(Duration, Task)> {
        match task {
            Task::Heal(mut ended) => match self.heal(&ended).await {
                Ok(proven) => {
                    let look = self.owe(&ended.gap);
                    self.healed(ended.gap, proven, is_last);
                    look
                }
                Err(error) => {
                    let wait = self.refused(&mut ended.gap, &error);
                    Some((wait, Task::Heal(ended)))
                }
            },
            Task::LookAhead(look, attempts) => self.look_again(look, attempts).await,
        }
    }

    /// The furthest that this feed has stamped a record ahead of its time, in nanoseconds.
    pub(super) fn early_ns(&self) -> i64 {
        self.journal.habits(self.archive.feed()).map_or(0, |habits| habits.early_ns)
    }

    /// The gap stays open and says why; returns the pause before the next attempt, which grows.
    fn refused(&self, gap: &mut Gap, error: &anyhow::Error) -> Duration {
        metrics::counter!("producer_heals_refused_total").increment(1);
        let reason = format!("{error:#}");
        tracing::warn!(from = gap.from, to = gap.to, attempts = gap.attempts, reason, "gap not healed");
        self.part.degraded(format!("a gap from {} could not be healed: {reason}", gap.from));
        let wait = self.settings.hold_back.max(RETRY_MIN).saturating_mul(1 << gap.attempts.min(16)).min(RETRY_MAX);
        gap.attempts = gap.attempts.saturating_add(1);
        gap.reason = Some(reason);
        self.herald.announce(gap);
        wait
    }

    /// Hands on the history of the gap and its margins, and verifies it: the history must know what the stream delivered around the gap,
    /// and a second reading must say, symbol by symbol and minute by minute, what was handed on.
    async fn heal(&mut self, Ended { gap, witnesses }: &Ended) -> anyhow::Result<Proven> {
        let sides = witnesses.sides();
        // What found no room was seen record by record, so its extent is exact: there may be many such gaps, and each is small.
        let exact = gap.cause == COLD_PATH_FULL && sides.iter().all(Vec::is_empty);
        let span = self.span(gap, exact)?;
        let symbols = self.symbols();
        let trusted_ns = i64::try_from(self.settings.hold_back.as_nanos() / 2)?;
        let to_ns = gap.to.unwrap_or(gap.from).saturating_mul(NS_PER_MS);
        let mut overlap = Overlap::new(sides, (span.0, to_ns.saturating_add(trusted_ns)));
        let (mut handed_on, mut trades) = (0, 0);
        if self.archive.kinds().contains(&Kind::Trades) {
            // What another feed's history says must not be stored, so its answer is judged before anything is handed on.
            for side in overlap.spans().into_iter().flatten() {
                self.read(&symbols, side, |trade| overlap.seen(trade)).await?;
            }
            overlap.judge().map_err(anyhow::Error::msg)?;
            let mut pieces = pieces(span).peekable();
            while let Some(piece) = pieces.next() {
                let tally = self.hand_on(&symbols, piece, to_ns).await?;
                if pieces.peek().is_none() && !exact {
                    sleep(self.settings.hold_back / SETTLE_SHARE).await; // what is still growing has time to show it
                }
                let again = self.read_again(&symbols, piece, to_ns).await?;
                tally.same_as(&again).map_err(anyhow::Error::msg)?;
                trades += tally.trades();
            }
            let closed = |ms| phase_at(ms) != Phase::Open;
            let day_ms = 24 * 60 * MS_PER_MINUTE;
            let to = gap.to.unwrap_or(gap.from);
            let was_open = !(closed(gap.from) && closed(to) && to - gap.from < day_ms / 4);
            anyhow::ensure!(
                trades > 0 || !was_open || overlap.is_proven(),
                "the history is empty although the market was open, and nothing proves that it is this feed's"
            );
            handed_on += usize::try_from(trades)?;
        }
        let mut pages = self.archive.pages(Kind::Bars, &symbols, span)?;
        while let Some(events) = pages.next().await? {
            let mut bars: Vec<Encoded> =
                events.into_iter().filter_map(|bar| encode(bar, &mut Occurrences::default())).collect();
            handed_on += bars.len();
            self.cold.room().await;
            self.cold.accept(&mut bars);
        }
        self.cold.safe().await; // a gap that is called healed must stay so, whoever is killed next
        Ok(Proven { trades, handed_on, unknown: overlap.unknown() })
    }

    /// What is read: the gap and a margin on both sides. Stamps that run ahead of the feed lie behind its end.
    fn span(&self, gap: &Gap, exact: bool) -> anyhow::Result<Span> {
        if exact {
            let end_ns = gap.to.unwrap_or(gap.from).saturating_add(1).saturating_mul(NS_PER_MS);
            return Ok((gap.from.saturating_mul(NS_PER_MS), end_ns));
        }
        let margin_ns = i64::try_from(self.settings.margin.as_nanos())?;
        let early_ns = self.early_ns();
        let start_ns = gap.from.saturating_mul(NS_PER_MS).saturating_sub(margin_ns);
        let end_ns = gap.to.unwrap_or(gap.from).saturating_mul(NS_PER_MS).saturating_add(margin_ns.max(early_ns));
        Ok((start_ns, end_ns))
    }

    /// The first reading: all of `span` is handed on, and what is not after `to_ns` is counted. Behind the gap the market goes on, so that
    /// two readings may differ there; that part came over the stream.
    pub(super) async fn hand_on(&self, symbols: &[Symbol], span: Span, to_ns: i64) -> anyhow::Result<Tally> {
        let (mut tally, mut occurrences) = (Tally::default(), Occurrences::default());
        let mut pages = self.archive.pages(Kind::Trades, symbols, span)?;
        while let Some(events) = pages.next().await? {
            let mut records = Vec::with_capacity(events.len());
            for event in events {
                let trade = if let Event::Trade(trade) = &event { Some(trade.clone()) } else { None };
                let Some(record) = encode(event, &mut occurrences) else { continue };
                records.push(record);
                if let Some(trade) = trade.filter(|trade| trade.ts_ns <= to_ns) {
                    tally.add(&trade);
                }
            }
            self.cold.room().await;
            self.cold.accept(&mut records);
        }
        Ok(tally)
    }

    /// The second reading, which hands on nothing.
    async fn read_again(&self, symbols: &[Symbol], (start_ns, end_ns): Span, to_ns: i64) -> anyhow::Result<Tally> {
        let mut tally = Tally::default();
        if start_ns > to_ns {
            return Ok(tally);
        }
        self.read(symbols, (start_ns, end_ns.min(to_ns)), |trade| tally.add(trade)).await?;
        Ok(tally)
    }

    /// Reads trades and hands on nothing.
    async fn read(&self, symbols: &[Symbol], span: Span, mut each: impl FnMut(&Trade)) -> anyhow::Result<()> {
        let mut pages = self.archive.pages(Kind::Trades, symbols, span)?;
        while let Some(events) = pages.next().await? {
            for event in events {
                if let Event::Trade(trade) = event {
                    each(&trade);
                }
            }
        }
        Ok(())
    }

    /// What to ask for. Symbols that had records go first: a history that answers for them is right, so names that it refuses later cost only
    /// themselves.
    pub(super) fn symbols(&mut self) -> Vec<Symbol> {
        let known = self.journal.symbols(self.archive.feed());
        let Some(wishes) = self.wanted.latest() else { return known };
        let wanted = wishes.iter().map(|wish| wish.symbol).chain(self.wanted_before.iter().copied());
        let wanted: BTreeSet<Symbol> = wanted.filter(|symbol| !self.refusals.holds(symbol)).collect();
        let known: BTreeSet<Symbol> = known.into_iter().collect();
        wanted.intersection(&known).chain(wanted.difference(&known)).copied().collect()
    }

    fn healed(&self, mut gap: Gap, proven: Proven, is_last: bool) {
        let Proven { trades, handed_on, unknown } = proven;
        metrics::counter!("producer_backfilled_total").increment(handed_on as u64);
        if is_last {
            self.part.ok();
        }
        if !self.archive.feed().keeps_trades() {
            tracing::info!(
                from = gap.from,
                to = gap.to,
                bars = handed_on,
                "fetched the gap's bars; its trades are not available from this feed"
            );
            return self.journal.forget(&gap);
        }
        tracing::info!(from = gap.from, to = gap.to, trades, unknown, "gap healed");
        let now_ms = jiff::Timestamp::now().as_millisecond();
        (gap.healed_at, gap.verified_at, gap.reason) = (Some(now_ms), Some(now_ms), None);
        (gap.records, gap.unknown) = (Some(trades), Some(unknown).filter(|unknown| *unknown > 0));
        self.herald.conclude(&gap);
    }
}

/// A span in pieces of an hour, so that what is counted of one fits into memory whatever the outage.
pub(super) fn pieces((start_ns, end_ns): Span) -> impl Iterator<Item = Span> {
    let piece_ns = 60 * MS_PER_MINUTE * NS_PER_MS;
    let starts = std::iter::successors(Some(start_ns), move |at| at.checked_add(piece_ns).filter(|at| *at <= end_ns));
    starts.map(move |at| (at, at.saturating_add(piece_ns - 1).min(end_ns)))
}

/// A record of the history for the cold path; `None` for what is none.
pub(crate) fn encode(event: Event, occurrences: &mut Occurrences) -> Option<Encoded> {
    let mut json = Vec::with_capacity(256);
    let (stream, symbol) = match event {
        Event::Trade(trade) => {
            let trade = occurrences.named(trade);
            encode_trade(&trade, None, &mut json);
            (Stream::Trades, trade.symbol)
        }
        Event::Bar(bar) => {
            encode_bar(&bar, None, &mut json);
            (Stream::Bars, bar.symbol)
        }
        Event::Skipped(skip) => {
            metrics::counter!("producer_skipped_total", "reason" => skip.reason()).increment(1);
            return None;
        }
        _ => return None,
    };
    // No feed and no feed time: a backfilled record says nothing about how far the live stream is known.
    Some(Encoded { stream, feed: None, symbol, ts_ns: 0, heard_ns: None, seq: 0, json: Bytes::from(json) })
}

#[cfg(test)]
mod tests;
