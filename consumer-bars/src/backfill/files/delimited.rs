//! CSV and its relatives: a header, then one bar a line (or one a symbol and line, see [`wide`]).

use std::io::{BufRead as _, BufReader, Cursor, Read as _};

use anyhow::{Context as _, bail, ensure};
use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};
use market::timeframe::Unit as Length;
use market::{Source, Symbol, Timeframe};

use super::draft::{Draft, Rows, Tap, Tapped};
use super::header::{self, Columns, Field};
use super::value;
use super::when::{self, EpochUnit, When};
use super::wide;

/// Longest header in bytes.
const HEADER_BYTES_MAX: u64 = 1 << 20;

pub(super) type Input = Reader<Box<dyn std::io::Read + Send>>;

/// Understands the header; gives the form in words and the rows.
///
/// # Errors
/// If the header is not understood.
pub(super) fn rows(bytes: Tapped, tap: Tap) -> anyhow::Result<(String, Rows)> {
    let mut bytes = BufReader::new(bytes);
    let mut first = Vec::new();
    bytes.by_ref().take(HEADER_BYTES_MAX).read_until(b'\n', &mut first).context("line 1")?;
    ensure!(!first.is_empty(), "the file is empty");
    let text = std::str::from_utf8(&first).context("line 1: the file is not UTF-8 text; save it as CSV UTF-8")?;
    let delimiter = delimiter(text);
    let skipped = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let input: Box<dyn std::io::Read + Send> = Box::new(Cursor::new(first.split_off(skipped)).chain(bytes));
    let mut reader = ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(input);
    let mut names = StringRecord::new();
    ensure!(next_record(&mut reader, &mut names)?, "the file is empty");
    if let Some(rows) = wide::rows(&mut reader, &names)? {
        return Ok(("CSV of yfinance".to_owned(), Box::new(WithEnd { rows: rows.over(reader), tap, ended: false })));
    }
    let columns = header::columns(&names.iter().collect::<Vec<_>>()).context("line 1")?;
    let form = match (columns.ours, columns.unused.as_slice()) {
        (true, _) => "CSV of this project".to_owned(),
        (false, []) => "CSV".to_owned(),
        (false, unused) => format!("CSV (not used: {})", unused.join(", ")),
    };
    let rows = Lines { reader, columns };
    Ok((form, Box::new(WithEnd { rows: Box::new(rows), tap, ended: false })))
}

/// The one that splits the header into most columns.
fn delimiter(header: &str) -> u8 {
    let count = |delimiter: &u8| header.bytes().filter(|byte| byte == delimiter).count();
    [b'|', b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',')
}

/// Reads a record; `false` at the end.
///
/// # Errors
/// If the line has another number of fields than the header, or a field is not one line of UTF-8.
pub(super) fn next_record(reader: &mut Input, record: &mut StringRecord) -> anyhow::Result<bool> {
    match reader.read_record(record) {
        Ok(false) => Ok(false),
        Ok(true) => {
            if let Some(field) = record.iter().find(|field| field.contains(['\n', '\r'])) {
                let begin: String = field.chars().take(40).collect();
                bail!(
                    "line {}: the field `{begin}…` goes over several lines; is a quotation mark left open?",
                    line(record)
                );
            }
            Ok(true)
        }
        Err(error) => Err(match error.kind() {
            ErrorKind::UnequalLengths { pos, expected_len, len } => {
                let line = pos.as_ref().map_or(0, csv::Position::line);
                anyhow::anyhow!(
                    "line {line}: {len} fields where the header has {expected_len}; a field that holds the separator must stand in quotation marks"
                )
            }
            ErrorKind::Utf8 { pos, .. } => {
                let line = pos.as_ref().map_or(0, csv::Position::line);
                anyhow::anyhow!("line {line}: not UTF-8 text; save the file as CSV UTF-8")
            }
            _ => anyhow::Error::new(error),
        }),
    }
}

pub(super) fn line(record: &StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

/// One bar a line.
struct Lines {
    reader: Input,
    columns: Columns,
}

impl Iterator for Lines {
    type Item = anyhow::Result<Draft>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut record = StringRecord::new();
        match next_record(&mut self.reader, &mut record) {
            Ok(false) => None,
            Ok(true) => {
                let place = format!("line {}", line(&record));
                Some(draft(&self.columns, &record, place.clone()).with_context(|| place))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

fn draft(columns: &Columns, record: &StringRecord, place: String) -> anyhow::Result<Draft> {
    let text = |field| columns.at(field).and_then(|at| record.get(at)).map(str::trim);
    let known = |field| text(field).filter(|text| !value::is_absent(text));
    let number =
        |field, name: &str| value::number(text(field).unwrap_or_default()).with_context(|| format!("field `{name}`"));
    let optional = |field, name: &str| {
        let read =
            |text: &str| value::number(text).map(|number| number.value).with_context(|| format!("field `{name}`"));
        known(field).map(read).transpose()
    };
    let time = || match (text(Field::Date), text(Field::TimeOfDay)) {
        (Some(date), Some(time)) => when::parse_two(date, time),
        _ => when::parse(text(Field::Time).unwrap_or_default(), columns.ours.then_some(EpochUnit::Milliseconds)),
    };
    let revision =
        known(Field::Revision).map(|text| -> anyhow::Result<u32> { Ok(u32::try_from(value::count(text)?)?) });
    Ok(Draft {
        symbol: known_symbol(columns, text(Field::Symbol)).context("field `symbol`")?,
        timeframe: known(Field::Timeframe).map(timeframe).transpose().context("field `timeframe`")?,
        source: known(Field::Source).map(Source::new).transpose().context("field `source`")?,
        when: time().context("field `timestamp`")?,
        open: number(Field::Open, "open")?,
        high: number(Field::High, "high")?,
        low: number(Field::Low, "low")?,
        close: number(Field::Close, "close")?,
        volume: number(Field::Volume, "volume")?,
        trade_count: known(Field::TradeCount).map(value::count).transpose().context("field `trade_count`")?,
        vwap: optional(Field::Vwap, "vwap")?,
        is_final: known(Field::Final).map_or(Ok(true), value::flag).context("field `final`")?,
        revision: revision.transpose().context("field `revision`")?,
        position: None,
        place,
    })
}

/// A column of symbols has one in every row.
fn known_symbol(columns: &Columns, text: Option<&str>) -> anyhow::Result<Option<Symbol>> {
    let Some(text) = text else { return Ok(None) };
    if !columns.stooq {
        return symbol(text).map(Some);
    }
    let Some(name) = text.to_ascii_uppercase().strip_suffix(".US").map(|name| name.replace('-', ".")) else {
        bail!("`{text}` is not a US stock of Stooq, such as AAPL.US");
    };
    symbol(&name).map(Some)
}

/// A symbol as feeds write it.
///
/// # Errors
/// If it is written in another way.
pub(super) fn symbol(text: &str) -> anyhow::Result<Symbol> {
    Symbol::new(text).with_context(|| match Symbol::parse(text) {
        Ok(parsed) => format!("`{text}` is not a symbol; did you mean `{}`?", parsed.symbol),
        Err(_) => format!("`{text}` is not a symbol"),
    })
}

/// Ours, or Stooq's: `5`, `60`, `D`, `W`, `M`.
fn timeframe(text: &str) -> anyhow::Result<Timeframe> {
    match text.parse::<u8>() {
        Ok(60) => Ok(Timeframe::new(1, Length::Hour)?),
        Ok(minutes) => Ok(Timeframe::new(minutes, Length::Minute)?),
        Err(_) => text.parse().with_context(|| format!("`{text}` is not the length of a bar")),
    }
}

/// Rows that end as a file does which was written to its end.
struct WithEnd {
    rows: Rows,
    tap: Tap,
    ended: bool,
}

impl Iterator for WithEnd {
    type Item = anyhow::Result<Draft>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        self.rows.next().or_else(|| {
            self.ended = true;
            let cut =
                "the last line does not end with a line break: the file may have been cut off; add one if it is whole";
            (!self.tap.ends_with_newline()).then(|| Err(anyhow::anyhow!(cut)))
        })
    }
}

/// A draft of four prices and a volume, nothing else.
pub(super) fn simple(place: String, symbol: Option<Symbol>, when: When, numbers: [value::Number; 5]) -> Draft {
    let [open, high, low, close, volume] = numbers;
    Draft {
        place,
        symbol,
        timeframe: None,
        source: None,
        when,
        open,
        high,
        low,
        close,
        volume,
        trade_count: None,
        vwap: None,
        is_final: true,
        revision: None,
        position: None,
    }
}
