//! How well minute bars that are built from recorded trades agree with the minute bars that were recorded beside them, field by field.
//!
//! The recorded bars are a vendor's own, and that vendor's rule for sale conditions is not published: an agreement of all is not to be had.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};

use market::{Bar, BarBuilder, Source, Symbol, Timeframe, Trade};

use super::read::{DayFile, ReadError, RecordedDay, find, load};
use crate::symbols::{SymbolTable, Tape};
use crate::units::{NS_PER_MS, UNITS_PER_DOLLAR};

/// Minutes that were compared, and how many of them agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Minutes with a built and a recorded bar.
    pub both: u64,
    /// Minutes with a built bar only, and with a recorded one only.
    pub one_only: [u64; 2],
    /// How many agree in open, high, low, close and volume.
    pub fields: [u64; 5],
    /// How many agree in all four prices.
    pub prices: u64,
    /// How many agree in everything.
    pub all: u64,
}

impl Agreement {
    fn compare(built: &Minutes, recorded: &Minutes) -> Self {
        let one_only = |these: &Minutes, those: &Minutes| {
            these.keys().filter(|minute| !those.contains_key(minute)).map(|_| 1).sum()
        };
        let mut agreement =
            Self { one_only: [one_only(built, recorded), one_only(recorded, built)], ..Self::default() };
        for (built, recorded) in built.iter().filter_map(|(minute, bar)| Some((bar, recorded.get(minute)?))) {
            agreement.both += 1;
            let mut same = [false; 5];
            for (at, count) in agreement.fields.iter_mut().enumerate() {
                same[at] = built[at] == recorded[at];
                *count += u64::from(same[at]);
            }
            agreement.prices += u64::from(same[..4] == [true; 4]);
            agreement.all += u64::from(same == [true; 5]);
        }
        agreement
    }

    /// Per cent of the compared minutes.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    pub fn share(&self, count: u64) -> f64 {
        100.0 * count as f64 / self.both.max(1) as f64
    }
}

impl AddAssign for Agreement {
    fn add_assign(&mut self, other: Self) {
        self.both += other.both;
        self.prices += other.prices;
        self.all += other.all;
        self.one_only.iter_mut().zip(other.one_only).for_each(|(ours, theirs)| *ours += theirs);
        self.fields.iter_mut().zip(other.fields).for_each(|(ours, theirs)| *ours += theirs);
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:5} minutes", self.both)?;
        for (name, count) in ["open", "high", "low", "close", "volume"].into_iter().zip(self.fields) {
            write!(f, "  {name} {:5.1} %", self.share(count))?;
        }
        write!(f, "  all prices {:5.1} %  everything {:5.1} %", self.share(self.prices), self.share(self.all))?;
        write!(f, "  built only {}, recorded only {}", self.one_only[0], self.one_only[1])
    }
}

/// Open, high, low and close in 1/10,000 dollar and shares, by the minute's start in ms since midnight in New York.
type Minutes = BTreeMap<i64, [i64; 5]>;

/// Compares every day under `folder`: trades as [`find`] finds them, bars of the same name in `minute-bars/` beside them.
///
/// # Errors
/// [`ReadError`] for the first file that is missing or cannot be read.
pub fn measure(folder: &Path) -> Result<Vec<(DayFile, Agreement)>, ReadError> {
    let files = find(folder, &[], &[])?;
    let symbols = SymbolTable::new(files.iter().map(|file| &file.symbol));
    let compare = |file: DayFile| {
        let day = load(&file, &symbols)?;
        let name = file.path.file_name().unwrap_or_default();
        let recorded = recorded_bars(&folder.join("minute-bars").join(name))?;
        let built = built_bars(&day, &file.symbol, symbols.info(day.symbol).tape);
        Ok((file, Agreement::compare(&built, &recorded)))
    };
    files.into_iter().map(compare).collect()
}

/// What the pipeline itself would build of these trades.
fn built_bars(day: &RecordedDay, symbol: &str, tape: Tape) -> Minutes {
    let Ok(symbol) = Symbol::stored(symbol) else { return Minutes::new() };
    let mut builders = BTreeMap::<i64, BarBuilder>::new();
    for recorded in &day.trades {
        let trade = Trade {
            symbol,
            price: dollars(recorded.price),
            size: f64::from(recorded.size),
            ts_ns: day.ts_ns(recorded),
            trade_id: None,
            exchange: None,
            conditions: recorded.conditions.codes().map(Into::into).collect(),
            tape: Some(tape.letter().into()),
            source: Source::alpaca(),
        };
        let start = Timeframe::MINUTE.start_of(trade.ts_ms());
        let builder = builders.entry(start).or_insert_with(|| BarBuilder::for_trade(&trade, Timeframe::MINUTE));
        builder.add(&trade);
    }
    let midnight_ms = day.hours.start_ns / NS_PER_MS;
    let bars = builders.into_values().filter_map(|builder| builder.bar(true, 0));
    bars.map(|bar| (bar.start_ms - midnight_ms, in_units(&bar))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "prices are far below 2^53 units")]
fn dollars(units: i64) -> f64 {
    units as f64 / UNITS_PER_DOLLAR as f64
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "whole units, far below 2^53")]
fn in_units(bar: &Bar) -> [i64; 5] {
    let units = |price: f64| (price * UNITS_PER_DOLLAR as f64).round() as i64;
    [units(bar.open), units(bar.high), units(bar.low), units(bar.close), bar.volume.round() as i64]
}

/// `ms,open,high,low,close,volume`, a minute a line.
fn recorded_bars(path: &Path) -> Result<Minutes, ReadError> {
    let fails = |problem: String| ReadError::File { path: PathBuf::from(path), problem };
    let file = std::fs::File::open(path).map_err(|error| fails(error.to_string()))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| fails(format!("not a zip file: {error}")))?;
    let mut text = String::new();
    let mut entry = archive.by_index(0).map_err(|error| fails(format!("damaged: {error}")))?;
    entry.read_to_string(&mut text).map_err(|error| fails(format!("damaged: {error}")))?;
    let line = |(at, line): (usize, &str)| {
        let fields: Result<Vec<i64>, _> = line.trim_end().split(',').map(str::parse).collect();
        match fields.as_deref() {
            Ok([ms, open, high, low, close, volume]) => Ok((*ms, [*open, *high, *low, *close, *volume])),
            _ => Err(ReadError::Line {
                path: PathBuf::from(path),
                line: at + 1,
                problem: "is not six whole numbers (ms,open,high,low,close,volume)".to_owned(),
            }),
        }
    };
    text.lines().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn write(path: &Path, lines: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
        zip.start_file("day.csv", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(lines.as_bytes()).unwrap();
        zip.finish().unwrap();
    }

    /// 09:30, 09:31 and 09:32 of a day; in the second an odd lot (bit 31) at a price that must not count.
    const TRADES: &str = "34200000,100000,100,P,1,0\n34210000,100200,50,P,1,0\n34260000,100100,200,P,1,0\n\
        34261000,999999,7,P,80000000,0\n34320000,100000,100,P,1,0\n";

    #[test]
    fn minutes_are_compared_field_by_field() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("trades/aig_20131007.zip"), TRADES);
        let bars =
            "34200000,100000,100200,100000,100200,150\n34260000,100100,100100,100100,100100,200\n34380000,1,1,1,1,1\n";
        write(&folder.path().join("minute-bars/aig_20131007.zip"), bars);
        let measured = measure(folder.path()).unwrap();
        let expected = Agreement { both: 2, one_only: [1, 1], fields: [2, 2, 2, 2, 1], prices: 2, all: 1 };
        assert_eq!(measured.into_iter().map(|(_, agreement)| agreement).collect::<Vec<_>>(), [expected]);
        assert_eq!(expected.share(expected.all), 50.0);
        let text = expected.to_string();
        assert!(text.contains("open 100.0 %") && text.contains("volume  50.0 %"), "{text}");
    }

    #[test]
    fn what_is_missing_or_broken_is_named() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("trades/aig_20131007.zip"), TRADES);
        let missing = measure(folder.path()).unwrap_err().to_string();
        assert!(missing.contains("minute-bars"), "{missing}");
        write(&folder.path().join("minute-bars/aig_20131007.zip"), "34200000,1,1,1,1,1\nnonsense\n");
        let broken = measure(folder.path()).unwrap_err().to_string();
        assert!(broken.contains("line 2"), "{broken}");
    }

    /// The rules for sale conditions must do better than none: taken from all trades, 75 % of these bars agree in the four prices.
    #[test]
    fn recorded_days_agree_where_there_are_any() {
        let Some(folder) = std::env::var_os("TAPELINE_RECORDED_DAYS") else {
            return println!("TAPELINE_RECORDED_DAYS names no recorded days: nothing to compare");
        };
        let mut total = Agreement::default();
        for (file, agreement) in measure(Path::new(&folder)).unwrap() {
            println!("{} {}: {agreement}", file.symbol, file.date);
            total += agreement;
        }
        println!("all: {total}");
        assert!(total.share(total.fields[4]) > 99.0 && total.share(total.prices) > 75.0, "{total}");
    }
}
