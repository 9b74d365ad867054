//! Pages of bars of any timeframe, from what is stored.

use std::ops::Range;

use market::{MS_PER_MINUTE, NS_PER_MS, Timeframe};

use crate::db::bars::{self, BarRow, Edge, Series};
use crate::db::{Order, Snapshot};
use crate::db::{gaps, minutes};
use crate::indicators::{Indicator, Line};
use crate::problem::Problem;
use crate::roll_up::{self, RollUp};

/// Bars that are read for one answer at most. More than the longest bar has parts, so that every page holds at least one bar and
/// paging always gets on.
const READ_MAX: usize = 700_000;

/// One question for bars.
#[derive(Clone, Debug)]
pub struct Question {
    /// Whose bars.
    pub series: Series,
    /// Bars that start in here, in Unix nanoseconds.
    pub range_ns: Range<i64>,
    /// Oldest or newest first.
    pub order: Order,
    /// Most bars in the answer.
    pub limit: usize,
}

/// One page of bars.
#[derive(Clone, Debug)]
pub struct Page {
    /// The bars in the order that was asked for.
    pub bars: Vec<BarRow>,
    /// Whether bars may follow after the last one.
    pub more: bool,
    /// Where the series ends now, whatever part of it was asked for.
    pub edge: Option<Edge>,
    /// The time that the page answers for, in Unix nanoseconds. Pages that follow each other answer for the whole range.
    pub span_ns: Range<i64>,
}

impl Page {
    /// How long before the newest minute the asked range ended, in milliseconds; `None` where bars that are still to come belong into it.
    #[must_use]
    pub fn closed_for_ms(&self, range_ns: &Range<i64>) -> Option<i64> {
        let newest_ns = self.edge?.newest_ms.saturating_mul(NS_PER_MS);
        let end_ns = range_ns.end.max(self.span_ns.end);
        (range_ns.end != i64::MAX && end_ns <= newest_ns).then(|| (newest_ns - end_ns).div_euclid(NS_PER_MS))
    }
}

/// Answers `question` from one snapshot. What does not depend on each other is asked at once, here and elsewhere: the database answers
/// in turn, and a way to it and back is saved.
///
/// Lengths that are not stored are made of those that are; where a feed sent such a bar itself, it fills in where there are no parts.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn page(snapshot: &Snapshot<'_>, question: &Question) -> Result<Page, Problem> {
    let timeframe = question.series.timeframe;
    let minutes = Series { timeframe: Timeframe::MINUTE, ..question.series.clone() };
    let (edge, stored) = tokio::try_join!(bars::edge(snapshot, &minutes), stored(snapshot, question))?;
    let parts = Series { timeframe: roll_up::parts_of(timeframe), ..minutes };
    if parts.timeframe == timeframe {
        return Ok(first_of(stored, false, question, edge));
    }
    let known_until_ms = match edge {
        Some(newest) => newest.newest_ms.saturating_add(MS_PER_MINUTE),
        None => bars::edge(snapshot, &parts).await?.map_or(i64::MIN, |newest| newest.newest_ms),
    };
    let (rolled, cut) = rolled(snapshot, question, &parts, known_until_ms).await?;
    let stored = if cut { within(stored, &rolled, question.order) } else { stored };
    Ok(first_of(roll_up::merge(rolled, stored, question.order), cut, question, edge))
}

/// The same, and whether no outage can have taken a bar of this page, or a part of one.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn page_and_completeness(snapshot: &Snapshot<'_>, question: &Question) -> Result<(Page, bool), Problem> {
    let series = &question.series;
    let (page, outages) = tokio::try_join!(page(snapshot, question), gaps::unhealed(snapshot, &series.source))?;
    let complete = outages.spare(&series.symbol, &page.span_ns);
    Ok((page, complete))
}

/// The lines of `indicators` over a page's bars, warmed up over what came before them; each line has one value a bar, in the page's order.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn indicators(
    snapshot: &Snapshot<'_>,
    question: &Question,
    bars: &[BarRow],
    indicators: &[Indicator],
) -> Result<Vec<Line>, Problem> {
    let oldest = bars.iter().map(BarRow::start_ns).min();
    let (Some(oldest), Some(limit)) = (oldest, indicators.iter().map(|one| one.warm_up()).max()) else {
        return Ok(Vec::new());
    };
    let range_ns = i64::MIN..oldest;
    let before = Question { range_ns, order: Order::Descending, limit: limit.max(1), ..question.clone() };
    let mut series = page(snapshot, &before).await?.bars;
    series.reverse();
    let warm = series.len();
    series.extend_from_slice(bars);
    series[warm..].sort_by_key(|bar| bar.start_ms);
    let mut lines: Vec<Line> = indicators.iter().flat_map(|one| one.lines(&series)).collect();
    let newest_first = bars.first().map(BarRow::start_ns) != Some(oldest);
    for line in &mut lines {
        line.values.drain(..warm);
        if newest_first {
            line.values.reverse();
        }
    }
    Ok(lines)
}

/// Stored bars of the very timeframe: one more than asked for, to know whether more follow.
async fn stored(snapshot: &Snapshot<'_>, question: &Question) -> Result<Vec<BarRow>, Problem> {
    let Question { series, range_ns, order, limit } = question;
    if series.timeframe == Timeframe::MINUTE {
        minutes::select(snapshot, series, range_ns, *order, limit + 1).await
    } else {
        bars::select(snapshot, series, range_ns, *order, limit + 1).await
    }
}

/// Bars made of `parts`: up to one more than asked for, and whether the reading was cut before the range's end.
async fn rolled(
    snapshot: &Snapshot<'_>,
    question: &Question,
    parts: &Series,
    known_until_ms: i64,
) -> Result<(Vec<BarRow>, bool), Problem> {
    let timeframe = question.series.timeframe;
    let wanted = roll_up::whole_bars(timeframe, &to_ms(&question.range_ns));
    let mut left = wanted.start.saturating_mul(NS_PER_MS)..wanted.end.saturating_mul(NS_PER_MS);
    let mut roll = RollUp::new(timeframe, question.order, question.limit + 1, known_until_ms);
    let chunk = roll_up::parts_in(timeframe).saturating_mul(question.limit + 2).min(bars::CHUNK);
    let mut read = 0;
    loop {
        let rows = bars::select(snapshot, parts, &left, question.order, chunk).await?;
        if !rows.iter().all(|row| roll.push(row)) {
            return Ok((roll.finish().0, false));
        }
        read += rows.len();
        match rows.last() {
            Some(last) if rows.len() == chunk => left = after(left, last.start_ns(), question.order),
            _ => return Ok((roll.finish().0, false)),
        }
        if read >= READ_MAX && roll.finished() > 0 {
            return Ok(roll.cut());
        }
    }
}

/// What is left of a range after a record at `ts_ns`.
#[must_use]
pub fn after(range_ns: Range<i64>, ts_ns: i64, order: Order) -> Range<i64> {
    match order {
        Order::Ascending => ts_ns.saturating_add(1).max(range_ns.start)..range_ns.end,
        Order::Descending => range_ns.start..ts_ns.min(range_ns.end),
    }
}

/// Milliseconds that lie within a range of nanoseconds.
fn to_ms(range_ns: &Range<i64>) -> Range<i64> {
    let up = |ns: i64| ns.div_euclid(NS_PER_MS) + i64::from(ns.rem_euclid(NS_PER_MS) > 0);
    up(range_ns.start)..up(range_ns.end)
}

/// Drops stored bars beyond the last one that the parts reached.
fn within(stored: Vec<BarRow>, rolled: &[BarRow], order: Order) -> Vec<BarRow> {
    let Some(last) = rolled.last().map(|bar| bar.start_ms) else { return stored };
    let reached = |bar: &BarRow| match order {
        Order::Ascending => bar.start_ms <= last,
        Order::Descending => bar.start_ms >= last,
    };
    stored.into_iter().filter(reached).collect()
}

fn first_of(mut bars: Vec<BarRow>, cut: bool, question: &Question, edge: Option<Edge>) -> Page {
    let more = cut || bars.len() > question.limit;
    bars.truncate(question.limit);
    let span_ns = span(question, &bars, more);
    Page { bars, more, edge, span_ns }
}

/// From the start of the first bar that the page may hold to the end of the last; a range without a start begins with its first bar.
fn span(question: &Question, bars: &[BarRow], more: bool) -> Range<i64> {
    let (timeframe, range_ns) = (question.series.timeframe, &question.range_ns);
    let ms = roll_up::whole_bars(timeframe, &to_ms(range_ns));
    let mut span_ns = ms.start.saturating_mul(NS_PER_MS)..ms.end.saturating_mul(NS_PER_MS);
    if span_ns.is_empty() {
        return range_ns.clone();
    }
    let (oldest, newest) = match question.order {
        Order::Ascending => (bars.first(), bars.last()),
        Order::Descending => (bars.last(), bars.first()),
    };
    let (Some(oldest), Some(newest)) = (oldest, newest) else { return span_ns };
    if range_ns.start == i64::MIN || (more && question.order == Order::Descending) {
        span_ns.start = oldest.start_ns();
    }
    if more && question.order == Order::Ascending {
        span_ns.end = timeframe.next_start(newest.start_ms).saturating_mul(NS_PER_MS);
    }
    span_ns
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{Source, Symbol};

    fn minutes(starts: &[i64]) -> Vec<BarRow> {
        starts.iter().map(|minute| BarRow::any(minute * 60_000, 0)).collect()
    }

    #[test]
    fn pages_answer_for_the_whole_range_between_them() {
        const MINUTE_NS: i64 = 60_000_000_000;
        let series =
            Series { symbol: Symbol::new("AAPL").unwrap(), timeframe: Timeframe::MINUTE, source: Source::alpaca() };
        let ask = |range: Range<i64>, order| {
            let range_ns = range.start * MINUTE_NS + 1..range.end * MINUTE_NS + 1;
            Question { series: series.clone(), range_ns, order, limit: 2 }
        };
        let up = ask(10..20, Order::Ascending);
        assert_eq!(span(&up, &minutes(&[12, 13]), true), 11 * MINUTE_NS..14 * MINUTE_NS);
        assert_eq!(span(&ask(13..20, Order::Ascending), &minutes(&[17]), false), 14 * MINUTE_NS..21 * MINUTE_NS);
        let down = ask(10..20, Order::Descending);
        assert_eq!(span(&down, &minutes(&[15, 14]), true), 14 * MINUTE_NS..21 * MINUTE_NS);
        assert_eq!(span(&down, &[], false), 11 * MINUTE_NS..21 * MINUTE_NS);
        let within_a_bar = Question { range_ns: 5..MINUTE_NS - 5, ..up };
        assert_eq!(span(&within_a_bar, &[], false), 5..MINUTE_NS - 5);
        let newest = Question { range_ns: i64::MIN..i64::MAX, ..down };
        let open_ended = span(&newest, &minutes(&[15]), false);
        assert_eq!(open_ended.start, 15 * MINUTE_NS);
        assert!(open_ended.end > i64::MAX - MINUTE_NS);
    }

    #[test]
    fn a_range_of_nanoseconds_holds_the_milliseconds_inside_it() {
        assert_eq!(to_ms(&(1..2_000_000)), 1..2);
        assert_eq!(to_ms(&(0..2_000_001)), 0..3);
        assert_eq!(to_ms(&(-1..0)), 0..0);
    }

    #[test]
    fn what_is_left_excludes_the_last_record() {
        assert_eq!(after(0..100, 40, Order::Ascending), 41..100);
        assert_eq!(after(0..100, 40, Order::Descending), 0..40);
    }
}
