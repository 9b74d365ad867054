//! How far apart rows lie: what length of bars that allows, and what it rules out.

use std::collections::HashMap;

use anyhow::{Context as _, bail};
use market::timeframe::Unit as Length;
use market::{MS_PER_MINUTE, Symbol, Timeframe};

use super::draft::Draft;
use super::when::When;

const MS_PER_DAY: i64 = 24 * 60 * MS_PER_MINUTE;
/// From so many rows on it is no accident that all distances have a common measure.
const ROWS_MIN: u64 = 10;

/// Distances between neighbouring rows of each symbol.
#[derive(Debug, Default)]
pub(super) struct Spacing {
    last_ms: HashMap<Option<Symbol>, i64>,
    rows: u64,
    /// In milliseconds; 0 until two rows of a symbol are known.
    smallest_ms: i64,
    measure_ms: i64,
    moments: u64,
}

impl Spacing {
    pub(super) fn add(&mut self, symbol: Option<Symbol>, when: When) {
        let (ms, may_be_day) = when.roughly_ms();
        self.rows += 1;
        self.moments += u64::from(!may_be_day);
        let Some(last_ms) = self.last_ms.insert(symbol, ms) else { return };
        let distance_ms = ms.abs_diff(last_ms).try_into().unwrap_or(i64::MAX);
        if distance_ms > 0 {
            self.smallest_ms = if self.smallest_ms == 0 { distance_ms } else { self.smallest_ms.min(distance_ms) };
            self.measure_ms = common_measure(self.measure_ms, distance_ms);
        }
    }

    /// Whether every row may stand for a whole day.
    fn only_days(&self) -> bool {
        self.rows > 0 && self.moments == 0
    }

    /// Compares the distances with a length that the rows do not state themselves (`claimed`), or that they do.
    ///
    /// # Errors
    /// If the rows are further apart than bars of this length can be by accident.
    pub(super) fn check(&self, timeframe: Timeframe, claimed: bool) -> anyhow::Result<()> {
        let length_ms = match timeframe.unit() {
            Length::Second => 1_000,
            Length::Minute => MS_PER_MINUTE * i64::from(timeframe.count()),
            Length::Hour => 60 * MS_PER_MINUTE * i64::from(timeframe.count()),
            Length::Day | Length::Week | Length::Month => MS_PER_DAY,
        };
        let intraday = length_ms < MS_PER_DAY;
        if intraday && self.only_days() && self.rows > 1 && (claimed || self.rows >= ROWS_MIN) {
            bail!("every row stands at a day's start, so these are not bars of {timeframe}; is it --timeframe 1Day?");
        }
        if timeframe == Timeframe::DAY && self.rows >= ROWS_MIN && self.smallest_ms >= 5 * MS_PER_DAY {
            bail!(
                "no two rows are less than {} days apart, so these are not bars of 1Day; is it --timeframe 1Week or 1Month?",
                self.smallest_ms / MS_PER_DAY
            );
        }
        if intraday && claimed && self.rows >= ROWS_MIN && self.measure_ms > length_ms {
            let minutes = self.measure_ms / MS_PER_MINUTE;
            bail!(
                "all rows are a multiple of {minutes} minutes apart, so these are not bars of {timeframe}; set --timeframe to their length"
            );
        }
        Ok(())
    }
}

fn common_measure(a: i64, b: i64) -> i64 {
    if a == 0 { b } else { common_measure(b % a, a) }
}

/// The length of the bars of a file, if its rows do not state it: minutes or days, which show by the distance of rows.
///
/// # Errors
/// If a row cannot be read, or the length does not show.
pub(super) fn infer(drafts: impl Iterator<Item = anyhow::Result<Draft>>) -> anyhow::Result<Option<Timeframe>> {
    let mut spacing = Spacing::default();
    for draft in drafts {
        let draft = draft?;
        if draft.timeframe.is_none() {
            spacing.add(draft.symbol, draft.when);
        }
    }
    if spacing.rows == 0 {
        return Ok(None);
    }
    let found = match spacing.smallest_ms {
        MS_PER_MINUTE => Some(Timeframe::MINUTE),
        // New York's days have 23 to 25 hours.
        ms if spacing.only_days()
            && (MS_PER_DAY - 60 * MS_PER_MINUTE..=MS_PER_DAY + 60 * MS_PER_MINUTE).contains(&ms) =>
        {
            Some(Timeframe::DAY)
        }
        _ => None,
    };
    let found = found.context(
        "the file does not say how long its bars are; name it with --timeframe, such as --timeframe 1Min or 1Day",
    )?;
    Ok(Some(found))
}
