//! Files with one bar a line, in parts of a few megabytes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use market::{Bar, Source, Symbol, Timeframe, wire};
use serde_json::Value;

use super::Unit;

/// Bytes of a part: some twenty thousand bars.
const PART_BYTES: u64 = 4 << 20;

pub(crate) struct Files {
    paths: Vec<PathBuf>,
    symbol: Option<Symbol>,
    source: Source,
}

impl Files {
    /// # Errors
    /// Where the source is no name of a feed, or a file is of no kind that can be read.
    pub(crate) fn new(paths: Vec<PathBuf>, symbol: Option<Symbol>, source: &str) -> anyhow::Result<Self> {
        for path in &paths {
            Kind::of(path)?;
        }
        Ok(Self { paths, symbol, source: Source::new(source).context("--source")? })
    }

    /// Cuts the files into parts.
    ///
    /// # Errors
    /// Where a file is not there.
    pub(crate) fn units(&self) -> anyhow::Result<Vec<Unit>> {
        let mut units = Vec::new();
        for path in &self.paths {
            let size = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
            let starts = (0..size).step_by(usize::try_from(PART_BYTES)?);
            units.extend(starts.map(|start| Unit::Part { path: path.clone(), start, end: start + PART_BYTES }));
        }
        Ok(units)
    }

    /// The bars of the lines that start within `part`.
    ///
    /// # Errors
    /// Where the file cannot be read, or a line is no bar: its number of bytes from the start, and why.
    pub(crate) fn read(&self, path: &Path, part: Range<u64>) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut file = BufReader::new(File::open(path)?);
        let kind = Kind::of(path)?;
        let mut line = String::new();
        let mut columns = Columns::default();
        if kind == Kind::Csv {
            file.read_line(&mut line)?;
            columns = Columns::read(&line)?;
        }
        let mut at = match kind {
            Kind::Csv => part.start.max(line.len() as u64),
            Kind::Json => part.start,
        };
        if at > 0 {
            // A line that began before belongs to the part before: go to the end of whatever holds the byte before this part.
            file.seek(SeekFrom::Start(at - 1))?;
            at = at - 1 + file.skip_until(b'\n')? as u64;
        }
        let mut bars = Vec::new();
        while at < part.end {
            line.clear();
            let length = file.read_line(&mut line).with_context(|| format!("at byte {at}"))?;
            if length == 0 {
                break;
            }
            let text = line.trim();
            if !text.is_empty() {
                let bar = match kind {
                    Kind::Csv => self.csv_bar(&columns, text),
                    Kind::Json => self.json_bar(text),
                };
                bars.push(bar.with_context(|| format!("at byte {at}"))?);
            }
            at += length as u64;
        }
        Ok(bars)
    }

    /// A line that says everything stays as it is; what it leaves out is added.
    fn json_bar(&self, text: &str) -> anyhow::Result<Vec<u8>> {
        let mut value: Value = serde_json::from_str(text).context("not JSON")?;
        let fields = value.as_object_mut().context("not a JSON object")?;
        let known = fields.len();
        if let Some(symbol) = self.symbol {
            fields.entry("symbol").or_insert_with(|| symbol.as_str().into());
        }
        fields.entry("timeframe").or_insert_with(|| Timeframe::MINUTE.to_string().into());
        fields.entry("source").or_insert_with(|| self.source.as_str().into());
        let whole = fields.len() == known;
        Ok(if whole { text.as_bytes().to_vec() } else { serde_json::to_vec(&value)? })
    }

    fn csv_bar(&self, columns: &Columns, text: &str) -> anyhow::Result<Vec<u8>> {
        let fields: Vec<&str> = text.split(',').map(|field| field.trim().trim_matches('"')).collect();
        let field =
            |name: &str| columns.0.get(name).and_then(|at| fields.get(*at).copied()).filter(|text| !text.is_empty());
        let number = |name: &str| -> anyhow::Result<Option<f64>> {
            field(name).map(|text| text.parse().with_context(|| format!("{name}: `{text}` is no number"))).transpose()
        };
        let needed = |name: &str| number(name)?.with_context(|| format!("{name} is missing"));
        let symbol = match field("symbol") {
            Some(text) => Symbol::parse(text)?.symbol,
            None => self.symbol.context("no column `symbol`: name it with --symbol")?,
        };
        let bar = Bar {
            symbol,
            timeframe: field("timeframe").map_or(Ok(Timeframe::MINUTE), str::parse)?,
            open: needed("open")?,
            high: needed("high")?,
            low: needed("low")?,
            close: needed("close")?,
            volume: needed("volume")?,
            trade_count: field("trade_count").map(str::parse).transpose().context("trade_count")?,
            vwap: number("vwap")?,
            start_ms: moment(field("timestamp").context("timestamp is missing")?)?,
            is_final: field("final").is_none_or(|text| text != "false"),
            revision: field("revision").map_or(Ok(0), str::parse).context("revision")?,
            source: field("source").map_or(Ok(self.source.clone()), Source::new)?,
        };
        let mut out = Vec::with_capacity(280);
        wire::encode_bar(&bar.checked()?, None, &mut out);
        Ok(out)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Csv,
    Json,
}

impl Kind {
    fn of(path: &Path) -> anyhow::Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("ndjson" | "jsonl") => Ok(Self::Json),
            _ => bail!("{}: expected a name that ends in .csv, .ndjson or .jsonl", path.display()),
        }
    }
}

/// Which field is what.
#[derive(Debug, Default)]
struct Columns(HashMap<String, usize>);

impl Columns {
    fn read(header: &str) -> anyhow::Result<Self> {
        let names = header.trim().trim_start_matches('\u{feff}').split(',').enumerate();
        let columns: HashMap<_, _> =
            names.map(|(at, name)| (name.trim().trim_matches('"').to_ascii_lowercase(), at)).collect();
        for name in ["timestamp", "open", "high", "low", "close", "volume"] {
            ensure!(columns.contains_key(name), "the header has no column `{name}`: {}", header.trim());
        }
        Ok(Self(columns))
    }
}

/// Unix milliseconds, or RFC 3339.
fn moment(text: &str) -> anyhow::Result<i64> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    let moment: Timestamp =
        text.parse().with_context(|| format!("timestamp: `{text}` is neither Unix milliseconds nor RFC 3339"))?;
    Ok(moment.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    fn read_in_parts(files: &Files, path: &Path, cuts: &[u64]) -> Vec<Vec<u8>> {
        let bounds = std::iter::once(0).chain(cuts.iter().copied()).chain([u64::MAX]).collect::<Vec<_>>();
        bounds.windows(2).flat_map(|bound| files.read(path, bound[0]..bound[1]).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn wherever_it_is_cut_each_line_is_read_once(mut cuts in prop::collection::vec(0_u64..900, 0..6), blank: bool) {
            let folder = tempfile::tempdir().unwrap();
            cuts.sort_unstable();
            let mut csv = "Timestamp,open,high,low,close,volume\n".to_owned();
            let mut json = String::new();
            for minute in 0..12_i64 {
                let ms = minute * 60_000;
                writeln!(csv, "{ms},1.5,2,1,{},100", minute + 1).unwrap();
                let end = if blank && minute % 3 == 0 { "\n\n" } else { "\n" };
                write!(json, r#"{{"timestamp":{ms},"open":1.5,"high":2,"low":1,"close":{},"volume":100,"final":true,"revision":0}}{end}"#, minute + 1).unwrap();
            }
            let files = Files::new(vec![], Some(Symbol::new("AAPL").unwrap()), "alpaca").unwrap();
            for (name, text) in [("a.csv", csv), ("a.ndjson", json.trim_end().to_owned())] {
                let path = folder.path().join(name);
                std::fs::write(&path, text).unwrap();
                let bars = read_in_parts(&files, &path, &cuts);
                let closes: Vec<f64> = bars.iter().map(|bar| wire::decode_bar(bar).unwrap().0.close).collect();
                prop_assert_eq!(closes, (1..=12).map(f64::from).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(vec![], None, "alpaca").unwrap();
        let said = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            format!("{:#}", files.read(&path, 0..u64::MAX).unwrap_err())
        };
        assert!(said("a.csv", "time,open\n").contains("no column `timestamp`"));
        let header = "timestamp,open,high,low,close,volume";
        assert!(said("a.csv", &format!("{header}\n0,1,1,1,1,1\n")).contains("--symbol"));
        let row = said("a.csv", &format!("{header},symbol\n0,1,1,1,1,1,A\nyesterday,1,1,1,1,1,A\n"));
        assert!(row.contains("at byte 58") && row.contains("yesterday"), "{row}");
        assert!(said("a.ndjson", "[1]\n").contains("not a JSON object"));
        assert!(Files::new(vec!["a.parquet".into()], None, "alpaca").is_err());
    }
}
