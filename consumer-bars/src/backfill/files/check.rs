//! From drafts to bars: what a row and a whole file must keep to be believed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use market::{Bar, Position, Source, Symbol, Timeframe};

use super::Options;
use super::draft::{Draft, Drafts};
use super::spacing::Spacing;
use super::value::{Number, Spelling};
use super::when::{EpochUnit, When};

/// Most series of one file.
const SERIES_MAX: usize = 200_000;

type Series = (Symbol, Timeframe, Source);

/// Checks the rows of one file, in their order.
pub(super) struct Checker {
    symbol: Option<Symbol>,
    source: Source,
    timeframe: Option<Timeframe>,
    zone: Option<TimeZone>,
    rows: u64,
    seen: HashMap<Series, Seen>,
    epoch_unit: Option<EpochUnit>,
    pointed: bool,
    one_comma: Option<String>,
    spacing: HashMap<(Timeframe, bool), Spacing>,
}

/// The rows of one series so far.
struct Seen {
    rows: u64,
    first_ms: i64,
    last_ms: i64,
    ascending: Option<bool>,
    last: Bar,
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) rows: u64,
    pub(super) checksum: u32,
    /// Of rows that do not name one.
    pub(super) timeframe: Option<Timeframe>,
    form: String,
    series: BTreeMap<String, (u64, i64, i64)>,
}

impl Checker {
    /// `timeframe` is that of rows that name none.
    pub(super) fn new(options: &Options, timeframe: Option<Timeframe>) -> Self {
        Self {
            symbol: options.symbol,
            source: options.source.clone(),
            timeframe,
            zone: options.tz.clone(),
            rows: 0,
            seen: HashMap::new(),
            epoch_unit: None,
            pointed: false,
            one_comma: None,
            spacing: HashMap::new(),
        }
    }

    /// The next row's bar, and its place in the live stream if the row has one.
    ///
    /// # Errors
    /// What does not hold, with the row's place.
    pub(super) fn bar(&mut self, draft: &Draft) -> anyhow::Result<(Bar, Option<Position>)> {
        self.next(draft).with_context(|| draft.place.clone()).map(|bar| (bar, draft.position))
    }

    fn next(&mut self, draft: &Draft) -> anyhow::Result<Bar> {
        let symbol = draft.symbol.or(self.symbol).context("the row names no symbol; name it with --symbol")?;
        let claimed = draft.timeframe.is_none();
        let timeframe = draft
            .timeframe
            .or(self.timeframe)
            .context("the row does not say how long its bar is; name it with --timeframe")?;
        if let When::Epoch(number, unit) = draft.when {
            let first = *self.epoch_unit.get_or_insert(unit);
            ensure!(first == unit, "field `timestamp`: `{number}` counts {unit:?}, but rows before count {first:?}");
        }
        let numbers = [draft.open, draft.high, draft.low, draft.close, draft.volume];
        self.note_spelling(&numbers, draft);
        let start_ms = draft.when.start_ms(timeframe, self.zone.as_ref()).context("field `timestamp`")?;
        let bar = Bar {
            symbol,
            timeframe,
            open: draft.open.value,
            high: draft.high.value,
            low: draft.low.value,
            close: draft.close.value,
            volume: draft.volume.value,
            trade_count: draft.trade_count,
            vwap: draft.vwap,
            start_ms,
            is_final: draft.is_final,
            revision: draft.revision.unwrap_or(0),
            source: draft.source.clone().unwrap_or_else(|| self.source.clone()),
        };
        let bar = bar.checked()?;
        between(&bar)?;
        self.in_order(&bar, draft)?;
        self.spacing.entry((timeframe, claimed)).or_default().add(Some(symbol), draft.when);
        self.rows += 1;
        Ok(bar)
    }

    fn note_spelling(&mut self, numbers: &[Number], draft: &Draft) {
        for number in numbers {
            match number.spelling {
                Spelling::Point | Spelling::Grouped => self.pointed = true,
                Spelling::OneComma if self.one_comma.is_none() => self.one_comma = Some(draft.place.clone()),
                Spelling::OneComma | Spelling::Whole => {}
            }
        }
    }

    /// Rows that do not count their versions stand in order of time, each time once: otherwise nobody knows which of two holds.
    fn in_order(&mut self, bar: &Bar, draft: &Draft) -> anyhow::Result<()> {
        let series = (bar.symbol, bar.timeframe, bar.source.clone());
        let Some(seen) = self.seen.get_mut(&series) else {
            ensure!(self.seen.len() < SERIES_MAX, "more than {SERIES_MAX} symbols and lengths in one file; split it");
            let (first_ms, last_ms) = (bar.start_ms, bar.start_ms);
            self.seen.insert(series, Seen { rows: 1, first_ms, last_ms, ascending: None, last: bar.clone() });
            return Ok(());
        };
        let versioned = draft.revision.is_some() || draft.position.is_some();
        if !versioned {
            let step = bar.start_ms.cmp(&seen.last.start_ms);
            if step.is_eq() {
                ensure!(
                    *bar == seen.last,
                    "a second bar of {} at this time, with other values; leave one of them",
                    bar.symbol
                );
            } else if *seen.ascending.get_or_insert(step.is_gt()) != step.is_gt() {
                bail!("the rows of {} are not in order of time; sort the file", bar.symbol);
            }
        }
        seen.rows += 1;
        seen.first_ms = seen.first_ms.min(bar.start_ms);
        seen.last_ms = seen.last_ms.max(bar.start_ms);
        seen.last = bar.clone();
        Ok(())
    }

    /// What only the whole file shows.
    ///
    /// # Errors
    /// If the rows do not fit each other.
    pub(super) fn finish(self, drafts: &Drafts) -> anyhow::Result<Summary> {
        if let (Some(place), false) = (&self.one_comma, self.pointed) {
            bail!(
                "{place}: a number such as `1,234` may be a thousand or a decimal comma, and no other number of the file tells; write numbers without commas"
            );
        }
        for ((timeframe, claimed), spacing) in &self.spacing {
            spacing.check(*timeframe, *claimed)?;
        }
        let named = self.seen.into_iter().map(|((symbol, timeframe, source), seen)| {
            (format!("{symbol} {timeframe} from {}", source.as_str()), (seen.rows, seen.first_ms, seen.last_ms))
        });
        let (form, checksum) = (drafts.form.clone(), drafts.checksum());
        Ok(Summary { rows: self.rows, checksum, timeframe: self.timeframe, form, series: named.collect() })
    }
}

/// Nothing trades below the low or above the high.
fn between(bar: &Bar) -> anyhow::Result<()> {
    let Bar { open, high, low, close, .. } = *bar;
    let inside = |value: f64| (low..=high).contains(&value);
    ensure!(
        low <= high && inside(open) && inside(close),
        "low {low}, open {open}, close {close}, high {high}: open and close must lie between low and high; are columns swapped?"
    );
    Ok(())
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 20;
        write!(f, "{}, {} bars", self.form, self.rows)?;
        let moment =
            |ms: i64| Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |moment| moment.to_string());
        for (name, (rows, first_ms, last_ms)) in self.series.iter().take(SHOWN_MAX) {
            write!(f, "\n  {name}: {rows} bars, {} to {}", moment(*first_ms), moment(*last_ms))?;
        }
        match self.series.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}
