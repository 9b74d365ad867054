//! What goes wrong, and when: made from a seed, the same seed making the same plan. Pure.

use std::time::Duration;

use clap::Args;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// How much goes wrong.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Processes that are killed with kill -9.
    #[arg(long, default_value_t = 100)]
    pub kills: usize,
    /// Seconds over which that happens; starting, settling and comparing come on top.
    #[arg(long, default_value_t = 600)]
    pub seconds: u64,
    /// Makes the plan; the same seed makes the same one [default: a random one, which is printed].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Trades a second.
    #[arg(long, default_value_t = 1000)]
    pub rate: u32,
    /// Seconds for which Kafka is away once, while the other parts go on breaking; 0 for never.
    #[arg(long, default_value_t = 150)]
    pub kafka_away: u64,
    /// Seconds for which the feed is away at most; short outages are as likely as long ones.
    #[arg(long, default_value_t = 300)]
    pub outage_max: u64,
    /// Seconds for which the feed answers pings and sends nothing, once per ten kills: 40 or more, because a shorter silence cannot be told
    /// from a pause (decision 40); 0 for never.
    #[arg(long, default_value_t = 60, value_parser = silence)]
    pub mute: u64,
    /// Seconds by which reports are late at most.
    #[arg(long, default_value_t = 40)]
    pub late_max: u32,
    /// Seconds by which stamps are ahead at most; settling takes at least as long.
    #[arg(long, default_value_t = 60)]
    pub early_max: u32,
    /// Let each answer of the feed's history lack a record, so that no gap can be healed: the run must end with an error.
    #[arg(long)]
    pub sabotage: bool,
}

fn silence(text: &str) -> Result<u64, String> {
    let seconds = text.parse().map_err(|_| "must be a whole number of seconds".to_owned())?;
    if seconds == 0 || seconds >= 40 { Ok(seconds) } else { Err("must be 0, or 40 or more seconds".to_owned()) }
}

/// What can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The producer.
    Producer,
    /// consumer-trades.
    Trades,
    /// consumer-bars.
    Bars,
    /// PostgreSQL.
    Postgres,
    /// Kafka.
    Kafka,
}

/// All of them.
pub const PARTS: [Part; 5] = [Part::Producer, Part::Trades, Part::Bars, Part::Postgres, Part::Kafka];

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and started again afterwards.
    Kill(Part),
    /// Frozen, and let go on afterwards.
    Freeze(Part),
    /// One more consumer-trades joins the group, and leaves it in an orderly way afterwards.
    Join,
    /// The feed cuts its clients off and refuses them until afterwards.
    Outage,
    /// The feed answers pings and sends nothing until afterwards.
    Mute,
    /// The feed's history is another feed's until afterwards.
    OtherHistory,
    /// The next answer of the feed's history lacks a record.
    DroppedHistory,
    /// The disk of PostgreSQL, or of the producer's spool, is full until afterwards.
    Full(Part),
}

/// A fault, when it begins (from the start) and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What happens.
    pub fault: Fault,
}

impl Step {
    /// When it is over.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.at + self.lasts
    }

    /// Whom it touches; `None` for what touches nobody who runs already.
    fn part(&self) -> Option<Part> {
        match self.fault {
            Fault::Kill(part) | Fault::Freeze(part) | Fault::Full(part) => Some(part),
            Fault::Join | Fault::Outage | Fault::Mute | Fault::OtherHistory | Fault::DroppedHistory => None,
        }
    }
}

/// Longer than Kafka waits for a silent member here, so that a consumer that is frozen loses its partitions.
const FROZEN_MS: std::ops::Range<u64> = 8_000..11_000;

/// Everything that happens, by its beginning. No part has two faults at once; different parts often do. Of each five kills every part
/// has one. Among ten kills the feed and Kafka are away once, the feed is silent once, the history is another feed's and lacks a record once,
/// a consumer and another part are frozen, both disks are full, and a consumer joins and leaves.
#[must_use]
pub fn plan(options: &Options, seed: u64) -> Vec<Step> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut faults: Vec<(Fault, u64)> = Vec::new(); // with milliseconds
    let mut parts = PARTS;
    for kill in 0..options.kills {
        if kill % parts.len() == 0 {
            parts.shuffle(&mut random);
        }
        faults.push((Fault::Kill(parts[kill % parts.len()]), random.random_range(0..2_500)));
    }
    for _ in 0..options.kills.div_ceil(10) {
        faults.push((Fault::Kill(Part::Kafka), random.random_range(6_000..12_000)));
        faults.push((Fault::Freeze(Part::Trades), random.random_range(FROZEN_MS)));
        let other = [Part::Producer, Part::Bars, Part::Postgres, Part::Kafka][random.random_range(0..4)];
        faults.push((Fault::Freeze(other), random.random_range(1_000..4_000)));
        faults.push((Fault::Full(Part::Postgres), random.random_range(3_000..6_000)));
        faults.push((Fault::Full(Part::Producer), random.random_range(6_000..10_000)));
        faults.push((Fault::Join, random.random_range(5_000..12_000)));
        faults.push((Fault::Outage, outage_ms(options, &mut random)));
        if options.mute > 0 {
            faults.push((Fault::Mute, options.mute * 1_000));
        }
        faults.push((Fault::OtherHistory, random.random_range(2_000..6_000)));
        faults.push((Fault::DroppedHistory, 0));
    }
    if options.kafka_away > 0 {
        faults.push((Fault::Kill(Part::Kafka), options.kafka_away * 1000));
    }
    faults.shuffle(&mut random);

    let span_ms = options.seconds * 1000 / (faults.len() as u64).max(1);
    let mut steps: Vec<Step> = Vec::new();
    for (at, (fault, lasts_ms)) in (0..).zip(faults) {
        let begin_ms = at * span_ms + random.random_range(0..=span_ms / 2);
        let mut step = Step { at: Duration::from_millis(begin_ms), lasts: Duration::from_millis(lasts_ms), fault };
        // A part that still has a fault gets the next one when it has had a moment to recover.
        let busy_until = steps.iter().filter(|other| other.part().is_some() && other.part() == step.part());
        if let Some(free) = busy_until.map(|other| other.end() + Duration::from_millis(500)).max() {
            step.at = step.at.max(free);
        }
        steps.push(step);
    }
    steps.sort_by_key(|step| step.at);
    steps
}

/// From a second to the longest: a second to two is as likely as two to four.
fn outage_ms(options: &Options, random: &mut StdRng) -> u64 {
    let doublings = options.outage_max.max(2).ilog2();
    let base = 1_000 << random.random_range(0..doublings);
    random.random_range(base..=base * 2).min(options.outage_max * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(kills: usize) -> Options {
        Options {
            kills,
            seconds: 30,
            seed: None,
            rate: 1000,
            kafka_away: 120,
            outage_max: 60,
            mute: 45,
            late_max: 40,
            early_max: 60,
            sabotage: false,
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_plan_and_another_one_another() {
        assert_eq!(plan(&options(20), 7), plan(&options(20), 7));
        assert_ne!(plan(&options(20), 7), plan(&options(20), 8));
    }

    #[test]
    fn everything_happens_and_nothing_twice_to_one_part_at_once() {
        for seed in 0..200 {
            let steps = plan(&options(15), seed);
            for part in PARTS {
                let mine: Vec<&Step> = steps.iter().filter(|step| step.part() == Some(part)).collect();
                assert!(mine.iter().filter(|step| step.fault == Fault::Kill(part)).count() >= 3);
                assert!(mine.windows(2).all(|pair| pair[0].end() < pair[1].at), "{part:?} in {steps:#?}");
            }
            for fault in [
                Fault::Join,
                Fault::Outage,
                Fault::Mute,
                Fault::OtherHistory,
                Fault::Freeze(Part::Trades),
                Fault::Full(Part::Postgres),
            ] {
                assert_eq!(steps.iter().filter(|step| step.fault == fault).count(), 2);
            }
            let away = |step: &&Step| step.fault == Fault::Kill(Part::Kafka) && step.lasts == Duration::from_secs(120);
            assert_eq!(steps.iter().filter(away).count(), 1);
            assert!(steps.is_sorted_by_key(|step| step.at));
        }
    }
}
