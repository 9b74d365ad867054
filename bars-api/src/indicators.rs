//! Technical indicators over bars in ascending order. Pure; one value a bar, `None` until an indicator has seen enough.
//!
//! Averages with an endless memory (EMA, and Wilder's in RSI and ATR) begin with a plain average. They are warmed up over ten of
//! their periods before the first bar that is shown, after which the beginning weighs less than one part in a hundred million.

use std::fmt;
use std::str::FromStr;

use market::calendar::trading_date;

use crate::db::bars::BarRow;

/// Longest period in bars.
const PERIOD_MAX: usize = 500;
/// Bars of the longest day, where each is a minute.
const DAY_BARS_MAX: usize = 1_440;
/// Periods that an endless memory needs to forget how it began.
const WARM_PERIODS: usize = 10;

/// What can be computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Indicator {
    /// `sma:N`: mean of the last N closes.
    Sma(usize),
    /// `ema:N`: exponential mean of closes, weight 2 / (N + 1).
    Ema(usize),
    /// `rsi:N`: relative strength by Wilder's averages, 0 to 100.
    Rsi(usize),
    /// `atr:N`: Wilder's average of the true range.
    Atr(usize),
    /// `bollinger:N:K`: mean of the last N closes, and K standard deviations around it.
    Bollinger(usize, f64),
    /// `vwap`: volume-weighted mean price since the New York day began.
    Vwap,
}

/// One line of values under its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// `ema:20`, `bollinger:20:2:upper`.
    pub name: String,
    /// One a bar.
    pub values: Vec<Option<f64>>,
}

impl Indicator {
    /// How many bars before the first one that is shown it needs.
    #[must_use]
    pub fn warm_up(self) -> usize {
        match self {
            Self::Sma(period) | Self::Bollinger(period, _) => period - 1,
            Self::Ema(period) | Self::Rsi(period) | Self::Atr(period) => WARM_PERIODS * period,
            Self::Vwap => DAY_BARS_MAX,
        }
    }

    /// Its lines over `bars`.
    #[must_use]
    pub fn lines(self, bars: &[BarRow]) -> Vec<Line> {
        let closes: Vec<f64> = bars.iter().map(|bar| bar.close).collect();
        let one = |values| vec![Line { name: self.to_string(), values }];
        match self {
            Self::Sma(period) => one(rolling(&closes, period, mean)),
            Self::Ema(period) => one(smoothed(&closes, period, 2.0 / count(period + 1))),
            Self::Rsi(period) => one(strength(&closes, period)),
            Self::Atr(period) => one(smoothed(&true_ranges(bars), period, 1.0 / count(period))),
            Self::Vwap => one(since_midnight(bars)),
            Self::Bollinger(period, width) => [("lower", -width), ("middle", 0.0), ("upper", width)]
                .map(|(edge, width)| Line {
                    name: format!("{self}:{edge}"),
                    values: rolling(&closes, period, |window| mean(window) + width * deviation(window)),
                })
                .into(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "periods are small")]
fn count(number: usize) -> f64 {
    number as f64
}

fn mean(window: &[f64]) -> f64 {
    window.iter().sum::<f64>() / count(window.len())
}

/// Of the whole population, as charts do.
fn deviation(window: &[f64]) -> f64 {
    let middle = mean(window);
    (window.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / count(window.len())).sqrt()
}

fn rolling(values: &[f64], period: usize, of: impl Fn(&[f64]) -> f64) -> Vec<Option<f64>> {
    let cold = (period - 1).min(values.len());
    std::iter::repeat_n(None, cold).chain(values.windows(period).map(|window| Some(of(window)))).collect()
}

/// The mean of the first `period` values, then `weight` of each new one.
fn smoothed(values: &[f64], period: usize, weight: f64) -> Vec<Option<f64>> {
    let mut line = vec![None; values.len()];
    let Some(first) = values.get(..period) else { return line };
    let mut last = mean(first);
    line[period - 1] = Some(last);
    for (value, place) in values.iter().zip(&mut line).skip(period) {
        last += weight * (value - last);
        *place = Some(last);
    }
    line
}

fn strength(closes: &[f64], period: usize) -> Vec<Option<f64>> {
    let moves: Vec<f64> = closes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let average = |of: fn(f64) -> f64| {
        let values: Vec<f64> = moves.iter().map(|step| of(*step)).collect();
        smoothed(&values, period, 1.0 / count(period))
    };
    let (ups, downs) = (average(|step| step.max(0.0)), average(|step| (-step).max(0.0)));
    let ratio = |(up, down): (f64, f64)| if up + down == 0.0 { 50.0 } else { 100.0 * up / (up + down) };
    let line = ups.into_iter().zip(downs).map(|(up, down)| up.zip(down).map(ratio));
    std::iter::once(None).chain(line).take(closes.len()).collect()
}

fn true_ranges(bars: &[BarRow]) -> Vec<f64> {
    let first = bars.first().map(|bar| bar.high - bar.low);
    let others = bars.windows(2).map(|pair| {
        let (before, bar) = (&pair[0], &pair[1]);
        bar.high.max(before.close) - bar.low.min(before.close)
    });
    first.into_iter().chain(others).collect()
}

/// A bar that does not say its own mean price counts with the middle of high, low and close.
fn since_midnight(bars: &[BarRow]) -> Vec<Option<f64>> {
    let (mut day, mut value, mut volume) = (None, 0.0, 0.0);
    let add = |bar: &BarRow| {
        let date = trading_date(bar.start_ms);
        if day != Some(date) {
            (day, value, volume) = (Some(date), 0.0, 0.0);
        }
        value += bar.vwap.unwrap_or((bar.high + bar.low + bar.close) / 3.0) * bar.volume;
        volume += bar.volume;
        (volume > 0.0).then(|| value / volume)
    };
    bars.iter().map(add).collect()
}

impl fmt::Display for Indicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sma(period) => write!(f, "sma:{period}"),
            Self::Ema(period) => write!(f, "ema:{period}"),
            Self::Rsi(period) => write!(f, "rsi:{period}"),
            Self::Atr(period) => write!(f, "atr:{period}"),
            Self::Bollinger(period, width) => write!(f, "bollinger:{period}:{width}"),
            Self::Vwap => f.write_str("vwap"),
        }
    }
}

/// What [`Indicator`] is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an indicator: ema:20, sma:20, rsi:14, atr:14, bollinger:20:2 or vwap, periods 1 to {PERIOD_MAX}")]
pub struct NoIndicator;

impl FromStr for Indicator {
    type Err = NoIndicator;

    /// The period may be left out: 20, for RSI and ATR 14; Bollinger's width is 2.
    fn from_str(text: &str) -> Result<Self, NoIndicator> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let mut period = |usual: usize| match parts.next().map(str::parse) {
            None => Ok(usual),
            Some(Ok(period)) if (1..=PERIOD_MAX).contains(&period) => Ok(period),
            Some(_) => Err(NoIndicator),
        };
        let indicator = match name {
            "sma" => Self::Sma(period(20)?),
            "ema" => Self::Ema(period(20)?),
            "rsi" => Self::Rsi(period(14)?),
            "atr" => Self::Atr(period(14)?),
            "vwap" => Self::Vwap,
            "bollinger" => {
                let period = period(20)?;
                let width = parts.next().map_or(Ok(2.0), str::parse).map_err(|_| NoIndicator)?;
                let fits = (0.1..=10.0).contains(&width);
                if fits { Self::Bollinger(period, width) } else { return Err(NoIndicator) }
            }
            _ => return Err(NoIndicator),
        };
        parts.next().map_or(Ok(indicator), |_| Err(NoIndicator))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bars(closes: &[f64]) -> Vec<BarRow> {
        let bar = |(at, close): (i64, &f64)| BarRow {
            start_ms: 1_717_421_400_000 + at * 60_000,
            open: *close,
            high: close + 1.0,
            low: close - 1.0,
            close: *close,
            volume: 100.0,
            trade_count: None,
            vwap: None,
            is_final: true,
            revision: 0,
        };
        (0..).zip(closes).map(bar).collect()
    }

    fn line(name: &str, closes: &[f64]) -> Vec<Option<f64>> {
        name.parse::<Indicator>().unwrap().lines(&bars(closes)).remove(0).values
    }

    #[test]
    fn values_worked_out_by_hand() {
        let closes = [1.0, 2.0, 3.0, 4.0, 3.0];
        assert_eq!(line("sma:3", &closes), [None, None, Some(2.0), Some(3.0), Some(10.0 / 3.0)]);
        assert_eq!(line("ema:3", &closes), [None, None, Some(2.0), Some(3.0), Some(3.0)]);
        // averages of ups 1, then 1, then 1/2; of downs 0, then 0, then 1/2
        assert_eq!(line("rsi:2", &closes), [None, None, Some(100.0), Some(100.0), Some(50.0)]);
        assert_eq!(line("atr:2", &closes), [None, Some(2.0), Some(2.0), Some(2.0), Some(2.0)]);
        assert_eq!(line("vwap", &closes[..3]), [Some(1.0), Some(1.5), Some(2.0)]);
        let bands = "bollinger:2:1".parse::<Indicator>().unwrap().lines(&bars(&[1.0, 3.0]));
        let last: Vec<_> = bands.iter().map(|band| (band.name.as_str(), band.values[1])).collect();
        let expected = [("lower", 1.0), ("middle", 2.0), ("upper", 3.0)];
        assert_eq!(
            last,
            expected
                .map(|(edge, value)| (format!("bollinger:2:1:{edge}"), Some(value)))
                .each_ref()
                .map(|(name, value)| (name.as_str(), *value))
        );
    }

    #[test]
    fn names_read_back_and_nonsense_is_refused() {
        for name in ["sma:20", "ema:50", "rsi:14", "atr:14", "bollinger:20:2.5", "vwap"] {
            assert_eq!(name.parse::<Indicator>().unwrap().to_string(), name);
        }
        assert_eq!("rsi".parse(), Ok(Indicator::Rsi(14)));
        for name in ["", "ema:0", "ema:501", "ema:x", "ema:5:5", "vwap:1", "bollinger:20:NaN", "macd"] {
            assert_eq!(name.parse::<Indicator>(), Err(NoIndicator), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_warm_line_does_not_depend_on_where_it_began(
            closes in prop::collection::vec(50.0_f64..150.0, 260..400), name in prop::sample::select(vec!["sma:20", "ema:20", "rsi:14", "atr:14", "bollinger:20:2"]),
        ) {
            let indicator: Indicator = name.parse().unwrap();
            let (whole, late) = (bars(&closes), &bars(&closes)[3..]);
            let from = indicator.warm_up() + 3;
            for (one, other) in indicator.lines(&whole).iter().zip(indicator.lines(late)) {
                prop_assert_eq!(one.values.len(), closes.len());
                for (one, other) in one.values[from..].iter().zip(&other.values[from - 3..]) {
                    let (one, other) = (one.unwrap(), other.unwrap());
                    prop_assert!((one - other).abs() < 1e-3 * one.abs().max(1.0), "{one} or {other}");
                }
            }
        }
    }
}
