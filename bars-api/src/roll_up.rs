//! Short bars to longer ones. Pure: no clock, no database.
//!
//! A long bar starts where [`Timeframe::start_of`] says (days, weeks and months follow New York), takes its open from its first
//! part and its close from its last, sums volume and trades, and weighs its average price by volume.

use market::Timeframe;
use market::timeframe::Unit;

use crate::db::Order;
use crate::db::bars::BarRow;

/// The length that bars of `timeframe` are read in: its own where that is stored, else the longest stored one that fills it without
/// a rest. 1Sec, 1Min, 5Min, 15Min, 1Hour and 1Day are stored, the longer ones in the transaction that stores their minutes (`sql/V6__roll_ups.sql`).
#[must_use]
pub fn parts_of(timeframe: Timeframe) -> Timeframe {
    let (count, unit) = match (timeframe.unit(), timeframe.count()) {
        (Unit::Second, _) => (1, Unit::Second),
        (Unit::Minute, count) if count % 15 == 0 => (15, Unit::Minute),
        (Unit::Minute, count) if count % 5 == 0 => (5, Unit::Minute),
        (Unit::Minute, _) => (1, Unit::Minute),
        (Unit::Hour, _) => (1, Unit::Hour),
        (Unit::Day | Unit::Week | Unit::Month, _) => (1, Unit::Day),
    };
    Timeframe::new(count, unit).unwrap_or(Timeframe::MINUTE)
}

/// How many of [`parts_of`] a bar holds at most, give or take a clock change.
#[must_use]
pub fn parts_in(timeframe: Timeframe) -> usize {
    let count = usize::from(timeframe.count());
    match timeframe.unit() {
        Unit::Minute => count / usize::from(parts_of(timeframe).count()),
        Unit::Second | Unit::Hour | Unit::Day => count,
        Unit::Week => 7 * count,
        Unit::Month => 31 * count,
    }
}

/// Takes short bars in order of time, either way, and gives long bars in the same order.
#[derive(Debug)]
pub struct RollUp {
    timeframe: Timeframe,
    order: Order,
    limit: usize,
    /// A long bar that ends later may still change.
    known_until_ms: i64,
    done: Vec<BarRow>,
    forming: Option<Forming>,
    more: bool,
}

/// A long bar that is being put together.
#[derive(Debug)]
struct Forming {
    bar: BarRow,
    end_ms: i64,
    /// Σ vwap × volume and Σ volume over the parts that say their vwap.
    value: f64,
    weighed: f64,
}

impl RollUp {
    /// Makes at most `limit` bars of `timeframe`. `known_until_ms` is the end of the newest minute bar that is stored.
    #[must_use]
    pub fn new(timeframe: Timeframe, order: Order, limit: usize, known_until_ms: i64) -> Self {
        Self { timeframe, order, limit, known_until_ms, done: Vec::new(), forming: None, more: false }
    }

    /// Adds the next part; `false` once no further one is needed.
    pub fn push(&mut self, part: &BarRow) -> bool {
        if let Some(forming) = &mut self.forming
            && (forming.bar.start_ms..forming.end_ms).contains(&part.start_ms)
        {
            forming.add(part, self.order);
            return true;
        }
        self.close();
        self.more = self.done.len() >= self.limit;
        if !self.more {
            let start_ms = self.timeframe.start_of(part.start_ms);
            self.forming = Some(Forming::new(part, start_ms, self.timeframe.next_start(start_ms)));
        }
        !self.more
    }

    /// How many bars are finished.
    #[must_use]
    pub fn finished(&self) -> usize {
        self.done.len()
    }

    /// All bars, the last one included, after the last part; and whether more parts are known to follow.
    #[must_use]
    pub fn finish(mut self) -> (Vec<BarRow>, bool) {
        self.close();
        (self.done, self.more)
    }

    /// The finished bars only, where the parts stop before their end: the half-done bar belongs to the next page.
    #[must_use]
    pub fn cut(self) -> (Vec<BarRow>, bool) {
        (self.done, true)
    }

    fn close(&mut self) {
        if let Some(forming) = self.forming.take() {
            self.done.push(forming.close(self.known_until_ms));
        }
    }
}

impl Forming {
    fn new(part: &BarRow, start_ms: i64, end_ms: i64) -> Self {
        let mut forming =
            Self { bar: BarRow { start_ms, vwap: None, ..part.clone() }, end_ms, value: 0.0, weighed: 0.0 };
        forming.weigh(part);
        forming
    }

    fn add(&mut self, part: &BarRow, order: Order) {
        let bar = &mut self.bar;
        match order {
            Order::Ascending => bar.close = part.close,
            Order::Descending => bar.open = part.open,
        }
        bar.high = bar.high.max(part.high);
        bar.low = bar.low.min(part.low);
        bar.volume += part.volume;
        bar.trade_count = match (bar.trade_count, part.trade_count) {
            (Some(sum), Some(count)) => Some(sum.saturating_add(count)),
            (sum, count) => sum.or(count),
        };
        bar.is_final &= part.is_final;
        bar.revision = bar.revision.saturating_add(part.revision);
        self.weigh(part);
    }

    fn weigh(&mut self, part: &BarRow) {
        if let Some(vwap) = part.vwap {
            self.value += vwap * part.volume;
            self.weighed += part.volume;
        }
    }

    fn close(self, known_until_ms: i64) -> BarRow {
        let vwap = (self.weighed > 0.0).then(|| self.value / self.weighed);
        BarRow { vwap, is_final: self.bar.is_final && self.end_ms <= known_until_ms, ..self.bar }
    }
}

/// From the start of the first to the end of the last bar of `timeframe` that starts in `range_ms`: whole bars only, so that a bar is
/// the same in every answer that holds it.
#[must_use]
pub fn whole_bars(timeframe: Timeframe, range_ms: &std::ops::Range<i64>) -> std::ops::Range<i64> {
    let aligned = |ms: i64| {
        let start = timeframe.start_of(ms);
        if start == ms { start } else { timeframe.next_start(start) }
    };
    aligned(range_ms.start)..aligned(range_ms.end)
}

/// Two lists of one order as one list; where both have a bar of the same start, the one from `first` stays.
#[must_use]
pub fn merge(first: Vec<BarRow>, second: Vec<BarRow>, order: Order) -> Vec<BarRow> {
    if second.is_empty() {
        return first;
    }
    let mut merged = first;
    merged.extend(second); // a stable sort keeps `first` ahead among equals, and runs in linear time on two sorted runs
    match order {
        Order::Ascending => merged.sort_by_key(|bar| bar.start_ms),
        Order::Descending => merged.sort_by_key(|bar| std::cmp::Reverse(bar.start_ms)),
    }
    merged.dedup_by_key(|bar| bar.start_ms);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::MS_PER_MINUTE;
    use proptest::prelude::*;

    const DAY_MS: i64 = 1_717_387_200_000; // 2024-06-03, midnight in New York

    fn minute(at: i64, price: f64, volume: f64) -> BarRow {
        BarRow {
            start_ms: DAY_MS + at * MS_PER_MINUTE,
            open: price,
            high: price + 1.0,
            low: price - 1.0,
            close: price + 0.5,
            volume,
            trade_count: Some(2),
            vwap: Some(price),
            is_final: true,
            revision: 0,
        }
    }

    fn roll(minutes: &[BarRow], frame: &str, order: Order, limit: usize) -> (Vec<BarRow>, bool) {
        let newest = minutes.iter().map(|bar| bar.start_ms).max().unwrap_or_default();
        let mut roll = RollUp::new(frame.parse().unwrap(), order, limit, newest + MS_PER_MINUTE);
        let mut minutes = minutes.to_vec();
        if order == Order::Descending {
            minutes.reverse();
        }
        for minute in &minutes {
            if !roll.push(minute) {
                break;
            }
        }
        roll.finish()
    }

    #[test]
    fn five_minutes_become_one_bar_weighed_by_volume() {
        let minutes = [minute(0, 10.0, 100.0), minute(2, 12.0, 300.0), minute(5, 20.0, 1.0)];
        let (bars, more) = roll(&minutes, "5Min", Order::Ascending, 10);
        assert!(!more);
        let first = &bars[0];
        assert_eq!((first.open, first.high, first.low, first.close), (10.0, 13.0, 9.0, 12.5));
        assert_eq!((first.volume, first.trade_count, first.vwap), (400.0, Some(4), Some(11.5)));
        assert!(first.is_final && !bars[1].is_final, "the second bar's last minute is not there yet");
    }

    #[test]
    fn a_minute_without_vwap_does_not_weigh() {
        let silent = BarRow { vwap: None, trade_count: None, ..minute(1, 99.0, 1000.0) };
        let (bars, _) = roll(&[minute(0, 10.0, 100.0), silent], "5Min", Order::Ascending, 10);
        assert_eq!((bars[0].vwap, bars[0].trade_count, bars[0].volume), (Some(10.0), Some(2), 1100.0));
    }

    #[test]
    fn bars_are_read_in_the_longest_stored_length_that_fills_them() {
        let parts = |frame: &str| parts_of(frame.parse().unwrap()).to_string();
        for (frame, expected) in [
            ("1Min", "1Min"),
            ("7Min", "1Min"),
            ("10Min", "5Min"),
            ("45Min", "15Min"),
            ("1Hour", "1Hour"),
            ("5Hour", "1Hour"),
            ("1Day", "1Day"),
            ("1Week", "1Day"),
            ("12Month", "1Day"),
        ] {
            assert_eq!(parts(frame), expected, "{frame}");
        }
        assert_eq!(
            ["7Min", "45Min", "4Hour", "1Day", "3Month"].map(|frame| parts_in(frame.parse().unwrap())),
            [7, 3, 4, 1, 93]
        );
    }

    #[test]
    fn whole_bars_only_whatever_the_range_cuts() {
        let hour: Timeframe = "1Hour".parse().unwrap();
        let at = |minute: i64| DAY_MS + minute * MS_PER_MINUTE;
        assert_eq!(whole_bars(hour, &(at(1)..at(61))), at(60)..at(120));
        assert_eq!(whole_bars(hour, &(at(0)..at(60))), at(0)..at(60));
        assert_eq!(whole_bars(Timeframe::MINUTE, &(at(1)..at(5))), at(1)..at(5));
    }

    #[test]
    fn the_first_list_wins_where_both_have_a_bar() {
        let merged = merge(
            vec![minute(0, 1.0, 1.0), minute(2, 1.0, 1.0)],
            vec![minute(0, 9.0, 1.0), minute(1, 9.0, 1.0)],
            Order::Ascending,
        );
        assert_eq!(merged.iter().map(|bar| bar.open).collect::<Vec<_>>(), [1.0, 9.0, 1.0]);
    }

    proptest! {
        #[test]
        fn both_directions_make_the_same_bars_and_lose_nothing(
            gaps in prop::collection::vec((1_i64..200, 1_u32..1000, 1_u32..500), 1..200),
            frame in prop::sample::select(vec!["5Min", "15Min", "1Hour", "4Hour", "1Day", "1Week", "1Month"]),
            limit in 1_usize..40,
        ) {
            let mut at = 0;
            let minutes: Vec<_> = gaps.iter().map(|&(gap, volume, price)| {
                at += gap;
                minute(at, f64::from(price), f64::from(volume))
            }).collect();
            let (all, _) = roll(&minutes, frame, Order::Ascending, usize::MAX);
            let (mut back, _) = roll(&minutes, frame, Order::Descending, usize::MAX);
            back.reverse();
            for (one, other) in all.iter().zip(&back) {
                prop_assert_eq!(BarRow { vwap: None, ..one.clone() }, BarRow { vwap: None, ..other.clone() });
                prop_assert!((one.vwap.unwrap() - other.vwap.unwrap()).abs() < 1e-9);
            }
            prop_assert_eq!(all.len(), back.len());
            let total: f64 = minutes.iter().map(|bar| bar.volume).sum();
            prop_assert_eq!(all.iter().map(|bar| bar.volume).sum::<f64>(), total);
            let (page, more) = roll(&minutes, frame, Order::Ascending, limit);
            prop_assert_eq!(&page[..], &all[..limit.min(all.len())]);
            prop_assert_eq!(more, all.len() > limit);
        }
    }
}
