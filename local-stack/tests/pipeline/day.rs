//! Days to replay: a recorded one where it is present, else one that is made up.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// One trade of a recorded day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tick {
    /// Milliseconds since midnight in New York.
    pub(crate) ms: i64,
    /// Dollars × 10,000.
    pub(crate) price: i64,
    /// Shares.
    pub(crate) size: i64,
}

/// A recorded day and what must come out of it.
pub(crate) struct Day {
    pub(crate) folder: PathBuf,
    pub(crate) symbol: String,
    pub(crate) date: String,
    pub(crate) ticks: Vec<Tick>,
    _made_up: Option<tempfile::TempDir>,
}

/// Per minute of the New York day: trades, sum of size, sum of price × size in dollars × 10,000.
pub(crate) type Minutes = BTreeMap<i64, (i64, i64, i64)>;

impl Day {
    pub(crate) fn load() -> Self {
        let name = std::env::var("TAPELINE_PIPELINE_DAY").unwrap_or_else(|_| "AIG_20131007".to_owned());
        let (symbol, date) = name.split_once('_').expect("TAPELINE_PIPELINE_DAY is SYMBOL_YYYYMMDD");
        let (symbol, date) = (symbol.to_uppercase(), date.to_owned());
        let recorded = std::env::var_os("TAPELINE_RECORDED_DAYS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/us-equity-ticks-2013-10"),
            PathBuf::from,
        );
        let file = recorded.join(format!("trades/{}_{date}.zip", symbol.to_lowercase()));
        if file.is_file() {
            let folder = tempfile::tempdir().unwrap();
            std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
            let ticks = read_ticks(&file);
            return Self { folder: folder.path().to_owned(), symbol, date, ticks, _made_up: Some(folder) };
        }
        println!("no recorded day at {}: a made-up one is used", file.display());
        let folder = tempfile::tempdir().unwrap();
        let ticks = make_up(30_000);
        write_ticks(&folder.path().join(format!("{}_{date}.zip", symbol.to_lowercase())), &ticks);
        Self { folder: folder.path().to_owned(), symbol, date, ticks, _made_up: Some(folder) }
    }

    pub(crate) fn minutes(&self) -> Minutes {
        let mut minutes = Minutes::new();
        for tick in &self.ticks {
            let minute = minutes.entry(tick.ms / 60_000).or_default();
            *minute = (minute.0 + 1, minute.1 + tick.size, minute.2 + tick.price * tick.size);
        }
        minutes
    }
}

/// Compares two days and, where they differ, shows the first minute that does.
pub(crate) fn assert_same_minutes(stored: &Minutes, recorded: &Minutes) {
    assert!(!recorded.is_empty());
    for minute in stored.keys().chain(recorded.keys()) {
        assert_eq!(stored.get(minute), recorded.get(minute), "minute {minute} of the day: stored, recorded");
    }
}

fn read_ticks(file: &Path) -> Vec<Tick> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(file).unwrap()).unwrap();
    let mut text = String::new();
    archive.by_index(0).unwrap().read_to_string(&mut text).unwrap();
    let tick = |line: &str| {
        let mut fields = line.split(',').map(|field| field.parse::<f64>().unwrap_or(0.0));
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers far below 2^53")]
        let mut next = || fields.next().unwrap() as i64;
        Tick { ms: next(), price: next(), size: next() }
    };
    text.lines().map(tick).collect()
}

/// A day of a random walk: no market, but every trade different enough to be missed.
fn make_up(count: i64) -> Vec<Tick> {
    let mut state = 42_u64;
    let mut random = |below: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(state >> 33).unwrap() % below
    };
    let mut price = 500_000;
    let open_ms = 34_200_000;
    (0..count)
        .map(|at| {
            price += random(201) - 100;
            Tick { ms: open_ms + at * 23_400_000 / count, price, size: 1 + random(500) }
        })
        .collect()
}

fn write_ticks(file: &Path, ticks: &[Tick]) {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(file).unwrap());
    archive.start_file("day.csv", zip::write::SimpleFileOptions::default()).unwrap();
    for tick in ticks {
        writeln!(archive, "{},{},{},Q,1,0", tick.ms, tick.price, tick.size).unwrap();
    }
    archive.finish().unwrap();
}
