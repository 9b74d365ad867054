//! Recorded days on disk: `SYMBOL_YYYYMMDD.zip`, one CSV inside, a trade a line:
//! `ms since New York midnight, price × 10,000, size, exchange, condition bits in hex, suspicious`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::civil::Date;

use crate::conditions::Conditions;
use crate::hours::Day;
use crate::symbols::{SymbolId, SymbolTable, Tape, is_well_formed};
use crate::units::NS_PER_MS;

/// Milliseconds in the longest day: 25 hours, when clocks go back.
const DAY_MS_MAX: u32 = 25 * 3_600_000;

/// Why recorded days cannot be replayed. Each says which file, and where it can which line.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The folder or file cannot be opened.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A line is not a trade.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Nothing matches the wanted symbols and days.
    #[error("{}: no recorded day here matches; files are named SYMBOL_YYYYMMDD.zip{wanted}", path.display())]
    Nothing {
        /// The folder.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
    },
}

/// One file of one symbol and day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayFile {
    /// Where it is.
    pub path: PathBuf,
    /// The symbol, in capitals.
    pub symbol: String,
    /// The day.
    pub date: Date,
}

/// The trades of one symbol on one day, in order.
#[derive(Clone, Debug)]
pub struct RecordedDay {
    /// The symbol's number.
    pub symbol: SymbolId,
    /// The day they happened on.
    pub hours: Day,
    /// In time order; a trade's id is its place, counted from 1.
    pub trades: Vec<RecordedTrade>,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedTrade {
    /// Milliseconds of wall-clock time since midnight in New York.
    pub ms: u32,
    /// Shares.
    pub size: u32,
    /// Price in 1/10,000 dollar.
    pub price: i64,
    /// Exchange letter.
    pub exchange: u8,
    /// Sale conditions as letters.
    pub conditions: Conditions,
}

impl RecordedDay {
    /// A trade's time in Unix nanoseconds.
    #[must_use]
    pub fn ts_ns(&self, trade: &RecordedTrade) -> i64 {
        self.hours.start_ns + i64::from(trade.ms) * NS_PER_MS
    }
}

/// Finds the recorded days under `path`: a folder, one with a folder `trades` in it, or a single file. Empty `symbols` or `dates` mean
/// all. Sorted by day, then symbol.
///
/// # Errors
/// [`ReadError::File`] when the folder cannot be read, [`ReadError::Nothing`] when nothing matches.
pub fn find(path: &Path, symbols: &[String], dates: &[Date]) -> Result<Vec<DayFile>, ReadError> {
    let wanted = |file: &DayFile| {
        (symbols.is_empty() || symbols.contains(&file.symbol)) && (dates.is_empty() || dates.contains(&file.date))
    };
    let fails = |problem: std::io::Error| ReadError::File { path: path.to_owned(), problem: problem.to_string() };
    let paths: Vec<PathBuf> = if path.is_dir() {
        let inner = path.join("trades");
        let folder = if inner.is_dir() { inner } else { path.to_owned() };
        let entries = std::fs::read_dir(folder).map_err(fails)?;
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(fails)?
    } else {
        std::fs::metadata(path).map_err(fails)?;
        vec![path.to_owned()]
    };
    let mut files: Vec<DayFile> = paths.into_iter().filter_map(day_file).filter(wanted).collect();
    files.sort_by(|a, b| (a.date, &a.symbol).cmp(&(b.date, &b.symbol)));
    if files.is_empty() {
        let wanted = match (symbols, dates) {
            ([], []) => String::new(),
            _ => format!(" (wanted: {symbols:?} on {dates:?}, where empty means all)"),
        };
        return Err(ReadError::Nothing { path: path.to_owned(), wanted });
    }
    Ok(files)
}

fn day_file(path: PathBuf) -> Option<DayFile> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".zip")?;
    let (symbol, date) = stem.rsplit_once('_')?;
    let symbol = symbol.to_ascii_uppercase();
    let date = parse_date(date)?;
    is_well_formed(&symbol).then_some(DayFile { symbol, date, path })
}

/// Reads `20131007`.
#[must_use]
pub fn parse_date(text: &str) -> Option<Date> {
    if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Date::new(text[..4].parse().ok()?, text[4..6].parse().ok()?, text[6..].parse().ok()?).ok()
}

/// Reads one file whole.
///
/// # Errors
/// [`ReadError::File`] when it is no zip with one file in it, [`ReadError::Line`] for the first line that is not a trade or goes back in time.
pub fn load(file: &DayFile, symbols: &SymbolTable) -> Result<RecordedDay, ReadError> {
    let fails = |problem: String| ReadError::File { path: file.path.clone(), problem };
    let symbol = symbols.id(&file.symbol).ok_or_else(|| fails("its symbol is not of this market".into()))?;
    let tape = symbols.info(symbol).tape;
    let opened = File::open(&file.path).map_err(|error| fails(error.to_string()))?;
    let mut archive = zip::ZipArchive::new(opened).map_err(|error| fails(format!("not a zip file: {error}")))?;
    if archive.len() != 1 {
        return Err(fails(format!("must hold exactly one file, but holds {}", archive.len())));
    }
    let mut content = Vec::new();
    let mut entry = archive.by_index(0).map_err(|error| fails(format!("damaged: {error}")))?;
    entry.read_to_end(&mut content).map_err(|error| fails(format!("damaged: {error}")))?;

    let mut trades = Vec::with_capacity(content.len() / 28);
    let mut lines = content.split(|&byte| byte == b'\n').enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() && lines.peek().is_none() {
            break; // the end of the last line, where that has one
        }
        let fails = |problem: String| ReadError::Line { path: file.path.clone(), line: at + 1, problem };
        let trade = parse_line(line, tape).map_err(fails)?;
        if trades.last().is_some_and(|last: &RecordedTrade| trade.ms < last.ms) {
            return Err(fails("is earlier than the line before it".into()));
        }
        trades.push(trade);
    }
    Ok(RecordedDay { symbol, hours: Day::on(file.date), trades })
}

fn parse_line(line: &[u8], tape: Tape) -> Result<RecordedTrade, String> {
    let line = std::str::from_utf8(line).map_err(|_| "is not text".to_owned())?;
    let fields: Vec<&str> = line.split(',').collect();
    let [ms, price, size, exchange, condition, suspicious] = fields[..] else {
        return Err(format!("has {} fields instead of 6 (ms,price,size,exchange,condition,suspicious)", fields.len()));
    };
    let bad = |name: &str, text: &str, expected: &str| format!("{name} {text:?} must be {expected}");
    let ms = ms.parse().ok().filter(|&ms| ms < DAY_MS_MAX);
    let price_units = price.parse().ok().filter(|&price: &i64| price > 0 && price <= 10_000_000_000_000);
    let &[letter] = exchange.as_bytes() else {
        return Err(bad("exchange", exchange, "one letter"));
    };
    if !letter.is_ascii_alphanumeric() {
        return Err(bad("exchange", exchange, "one letter"));
    }
    if !matches!(suspicious, "0" | "1") {
        return Err(bad("suspicious", suspicious, "0 or 1"));
    }
    let bits =
        u32::from_str_radix(condition, 16).map_err(|_| bad("condition", condition, "up to 8 hexadecimal digits"))?;
    Ok(RecordedTrade {
        ms: ms.ok_or_else(|| bad("ms", fields[0], "milliseconds since midnight"))?,
        price: price_units.ok_or_else(|| bad("price", price, "dollars × 10,000, above 0 and at most 10^13"))?,
        size: size.parse().ok().filter(|&size| size > 0).ok_or_else(|| bad("size", size, "shares, above 0"))?,
        exchange: letter,
        conditions: Conditions::of_recorded_bits(bits, tape),
    })
}
