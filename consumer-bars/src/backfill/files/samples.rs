//! Sample files of many tools: what each becomes, and that a broken one is rejected or still right.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use market::wire;
use proptest::prelude::*;

use super::{Files, Options};
use crate::backfill::Unit;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files")
}

fn files(path: &Path, words: &[&str]) -> anyhow::Result<Files> {
    let line = ["files", path.to_str().unwrap()].into_iter().chain(words.iter().copied());
    Files::new(Line::try_parse_from(line)?.options)
}

/// Every bar of a file, by its key, as text.
fn stored(path: &Path, words: &[&str]) -> anyhow::Result<BTreeMap<(String, i64), String>> {
    let files = files(path, words)?;
    let mut found = BTreeMap::new();
    for unit in files.units() {
        let Unit::Part { path, start, end, .. } = unit else { panic!("{unit}") };
        for bar in files.read(&path, start, end)? {
            let (bar, position) = wire::decode_bar(&bar)?;
            let shown = format!(
                "{} {} {} {} {} {:?} {:?} {} {} {} {:?}",
                bar.open,
                bar.high,
                bar.low,
                bar.close,
                bar.volume,
                bar.trade_count,
                bar.vwap,
                bar.is_final,
                bar.revision,
                bar.source.as_str(),
                position.map(|position| position.seq)
            );
            found.insert((format!("{} {}", bar.symbol, bar.timeframe), bar.start_ms), shown);
        }
    }
    Ok(found)
}

/// Each sample with the options that it needs, the series it holds, and its first bar.
type Sample = (&'static str, &'static [&'static str], &'static [&'static str], i64, &'static str);
const SAMPLES: &[Sample] = &[
    ("ours.csv", &[], &["AAPL 1Min"], MINUTE, OURS),
    ("ours-pandas.csv", &[], &["AAPL 1Min"], MINUTE, OURS),
    ("ours.ndjson", &[], &["AAPL 1Min"], MINUTE, OURS),
    (
        "kafka.ndjson",
        &[],
        &["AAPL 1Min"],
        MINUTE,
        "150.1 150.4 150 150.25 12345 Some(87) Some(150.21) true 0 alpaca Some(1)",
    ),
    ("ours.json", &[], &["AAPL 1Min"], MINUTE, OURS),
    ("alpaca-py.csv", &[], &["AAPL 1Min"], MINUTE, OURS),
    ("alpaca-rest.json", &["--timeframe", "1Min"], &["AAPL 1Min", "MSFT 1Min"], MINUTE, OURS),
    ("alpaca-stream.ndjson", &[], &["AAPL 1Min"], MINUTE, OURS),
    (
        "massive-minutes.csv",
        &["--source", "massive"],
        &["AAPL 1Min", "BRK.B 1Min"],
        MINUTE,
        "150.1 150.4 150 150.25 12345 Some(87) None true 0 massive None",
    ),
    (
        "massive-days.csv",
        &["--source", "massive"],
        &["AAPL 1Day", "MSFT 1Day"],
        DAY,
        "150.1 151 149.5 150.25 5000000 Some(81000) None true 0 massive None",
    ),
    ("massive-rest.json", &["--timeframe", "1Min"], &["AAPL 1Min"], MINUTE, OURS),
    ("yfinance-days.csv", &["--symbol", "AAPL"], &["AAPL 1Day"], DAY, DAILY),
    ("yfinance-history.csv", &["--symbol", "AAPL"], &["AAPL 1Day"], DAY, DAILY),
    (
        "yfinance-minutes.csv",
        &["--symbol", "AAPL"],
        &["AAPL 1Min"],
        MINUTE,
        "150.1 150.4 150 150.25 12345 None None true 0 alpaca None",
    ),
    ("yfinance-wide.csv", &[], &["AAPL 1Day", "MSFT 1Day"], DAY, DAILY),
    ("stooq-bulk.txt", &[], &["AAPL 1Day", "BRK.B 1Day"], DAY, DAILY),
    (
        "stooq-minutes.txt",
        &["--tz", "Europe/Warsaw"],
        &["AAPL 5Min"],
        MINUTE,
        "150.1 151 149.5 150.25 50000 None None true 0 alpaca None",
    ),
    ("stooq-web.csv", &["--symbol", "AAPL"], &["AAPL 1Day"], DAY, DAILY),
    (
        "plain-quoted.csv",
        &[],
        &["BRK.A 1Day"],
        DAY,
        "612000.5 612900 610000 611250.5 1234 None None true 0 alpaca None",
    ),
    (
        "plain-local.csv",
        &["--tz", "America/New_York"],
        &["AAPL 1Min"],
        MINUTE,
        "150.1 150.4 150 150.25 12345 None None true 0 alpaca None",
    ),
    ("plain-newest-first.csv", &["--symbol", "AAPL"], &["AAPL 1Day"], DAY, DAILY),
];
const MINUTE: i64 = 1_717_421_400_000;
const DAY: i64 = 1_717_387_200_000;
const OURS: &str = "150.1 150.4 150 150.25 12345 Some(87) Some(150.21) true 0 alpaca None";
const DAILY: &str = "150.1 151 149.5 150.25 5000000 None None true 0 alpaca None";

#[test]
fn files_of_many_tools_are_understood() {
    for (name, words, series, first_ms, first) in SAMPLES {
        let bars = stored(&samples().join(name), words).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let mut found: Vec<&str> = bars.keys().map(|(series, _)| series.as_str()).collect();
        found.dedup();
        assert_eq!(found, *series, "{name}");
        let ((_, start_ms), bar) = bars.first_key_value().unwrap();
        assert_eq!((*start_ms, bar.as_str()), (*first_ms, *first), "{name}");
        let missing = usize::from(*name == "yfinance-wide.csv");
        assert_eq!(bars.len(), 3 * series.len() - missing, "{name}");
    }
    assert_eq!(std::fs::read_dir(samples()).unwrap().count(), SAMPLES.len(), "every sample is tried");
}

/// Three minutes of one symbol, all else being equal, in whichever of our forms they come.
#[test]
fn every_form_that_is_written_here_comes_back_equal() {
    let of = |name: &str| stored(&samples().join(name), &[]).unwrap();
    let expected = of("ours.csv");
    for name in ["ours-pandas.csv", "ours.ndjson", "ours.json"] {
        assert_eq!(of(name), expected, "{name}");
    }
}

#[test]
fn packed_files_are_read_in_order_and_a_cut_one_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let plain = std::fs::read(samples().join("massive-minutes.csv")).unwrap();
    let expected = stored(&samples().join("massive-minutes.csv"), &[]).unwrap();
    let gzip = |bytes: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    };
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, method) in [("a.csv", zip::CompressionMethod::Deflated), ("b.csv", zip::CompressionMethod::Stored)] {
        zip.start_file(name, zip::write::SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(&plain).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    for (name, bytes) in [("bars.csv.gz", gzip(&plain)), ("bars.zip", zip)] {
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(stored(&path, &[]).unwrap(), expected, "{name}");
        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        assert!(stored(&path, &[]).is_err(), "{name} cut off");
        let mut damaged = bytes.clone();
        damaged[60] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        if let Ok(bars) = stored(&path, &[]) {
            assert_eq!(bars, expected, "{name} damaged");
        }
    }
}

/// What a mistake says: the file, the line, the field and what would help.
#[test]
fn what_is_not_understood_is_rejected_with_its_place_and_what_would_help() {
    let folder = tempfile::tempdir().unwrap();
    let said = |name: &str, text: &str, words: &[&str]| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        format!("{:#}", files(&path, words).err().unwrap_or_else(|| panic!("{name} was believed: {text}")))
    };
    let head = "date,open,high,low,close,volume,symbol\n";
    let row = "2024-06-03,150,151,149,150.5,1000,AAPL\n2024-06-04,150,151,149,150.5,1000,AAPL\n";
    let daily: String =
        (3..20).map(|day| format!("2024-06-{day:02}T04:00:00Z,150,151,149,150.5,1000,AAPL\n")).collect();
    for (text, words, help) in [
        (format!("{head}2024-06-03,150,151,149,150.5,1000\n"), &[][..], "line 2: 6 fields where the header has 7"),
        (format!("{head}{row}2024-06-05,1 50,151,149,150.5,1000,AAPL\n"), &[], "line 4: field `open`: `1 50`"),
        (format!("{head}{row}2024-06-05,150,149,151,150.5,1000,AAPL\n"), &[], "are columns swapped?"),
        (format!("{head}{row}2024-06-05,150,151,149,150.5,1000,aapl\n"), &[], "did you mean `AAPL`?"),
        (format!("{head}{row}2024-06-03,150,151,149,150.5,1000,AAPL\n"), &[], "sort the file"),
        (format!("{head}{row}2024-06-04,150,151,149,150.6,1000,AAPL\n"), &[], "with other values"),
        (format!("{head}{row}2024-06-05,150,151,149,150.5,1000,AAPL"), &[], "cut off"),
        (format!("{head}{row}2024-06-05,150,151,149,150.5,1000,\"AAPL\n"), &[], "quotation mark"),
        (format!("{head}{daily}"), &["--timeframe", "1Min"], "--timeframe 1Day"),
        (format!("{head}2024-06-03,150,151,149,150.5,1000,AAPL\n"), &[], "--timeframe"),
        (row.to_owned(), &[], "must name the columns"),
        (format!("{head}{row}").replace("symbol", "Volume"), &[], "would both be the bar's Volume"),
        (head.to_owned(), &["--timeframe", "1Day"], "holds no bars"),
        (
            format!("{head}{row}")
                .replace(",150,", ",\"149,500\",")
                .replace("151,149", "\"151,000\",\"149,000\"")
                .replace("150.5", "\"150,500\""),
            &[],
            "decimal comma",
        ),
    ] {
        let error = said("a.csv", &text, words);
        assert!(error.contains(help) && error.contains("a.csv"), "{help}: {error}");
    }
    for (text, help) in [
        (r#"{"open":1,"open":2}"#, "stands there twice"),
        (r#"{"T":"t","S":"AAPL","p":1}"#, "is not a bar"),
        ("[1]", "not a JSON object"),
        (r#"{"timestamp":1717421400000"#, "line 1"),
    ] {
        let error = said("a.ndjson", &format!("{text}\n"), &["--timeframe", "1Min"]);
        assert!(error.contains(help), "{help}: {error}");
    }
    assert!(said("a.parquet", "PAR1", &[]).contains(".csv"));
    assert!(said("a.json", r#"{"adjusted":true,"results":[]}"#, &[]).contains("adjusted=false"));
}

/// How a file may be broken on its way.
#[derive(Clone, Debug)]
enum Damage {
    Cut(prop::sample::Index),
    DropByte(prop::sample::Index),
    SwapColumns(usize, usize),
    DropColumn(usize),
    RepeatColumn(usize),
    SwapLines(prop::sample::Index, prop::sample::Index),
    JoinLines(prop::sample::Index),
    OpenQuote(prop::sample::Index),
    DecimalCommas,
}

fn damages() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        index().prop_map(Damage::Cut),
        index().prop_map(Damage::DropByte),
        (0..8_usize, 0..8_usize).prop_map(|(one, two)| Damage::SwapColumns(one, two)),
        (0..8_usize).prop_map(Damage::DropColumn),
        (0..8_usize).prop_map(Damage::RepeatColumn),
        (index(), index()).prop_map(|(one, two)| Damage::SwapLines(one, two)),
        index().prop_map(Damage::JoinLines),
        index().prop_map(Damage::OpenQuote),
        Just(Damage::DecimalCommas),
    ]
}

impl Damage {
    /// The broken text, and whether a digit may have been lost inside of a number, which leaves another number.
    fn of(&self, text: &str) -> (String, bool) {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let by_column = |change: &dyn Fn(&mut Vec<&str>)| {
            let changed = lines.iter().map(|line| {
                let mut fields: Vec<&str> = line.trim_end().split(',').collect();
                change(&mut fields);
                fields.join(",") + "\n"
            });
            changed.collect::<String>()
        };
        match self {
            Self::Cut(at) => (text[..at.index(text.len())].to_owned(), false),
            Self::DropByte(at) => {
                let at = at.index(text.len());
                (
                    format!("{}{}", &text[..at], &text[at + 1..]),
                    text.as_bytes()[at].is_ascii_alphanumeric() || text.as_bytes()[at] == b'.',
                )
            }
            Self::SwapColumns(one, two) => (
                by_column(&|fields| {
                    if *one < fields.len() && *two < fields.len() {
                        fields.swap(*one, *two)
                    }
                }),
                false,
            ),
            Self::DropColumn(at) => (
                by_column(&|fields| {
                    if *at < fields.len() {
                        fields.remove(*at);
                    }
                }),
                false,
            ),
            Self::RepeatColumn(at) => (by_column(&|fields| fields.extend(fields.get(*at).copied())), false),
            Self::SwapLines(one, two) => {
                let mut lines = lines;
                let (one, two) = (one.index(lines.len()), two.index(lines.len()));
                lines.swap(one, two);
                (lines.concat(), false)
            }
            Self::JoinLines(at) => {
                let at = at.index(lines.len());
                (
                    lines
                        .iter()
                        .enumerate()
                        .map(|(line, text)| if line == at { text.trim_end() } else { text })
                        .collect(),
                    false,
                )
            }
            Self::OpenQuote(at) => {
                let commas: Vec<usize> = text.match_indices(',').map(|(at, _)| at + 1).collect();
                let at = commas[at.index(commas.len())];
                (format!("{}\"{}", &text[..at], &text[at..]), false)
            }
            Self::DecimalCommas => (text.replace(',', ";").replace('.', ","), false),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Whatever happens to a file, each bar that it still gives is one that the whole file has.
    #[test]
    fn a_broken_file_is_rejected_or_still_right(
        name in prop::sample::select(vec!["ours.csv", "alpaca-py.csv", "massive-minutes.csv", "massive-days.csv", "yfinance-days.csv"]),
        damage in damages(),
    ) {
        let words = if name == "yfinance-days.csv" { &["--symbol", "AAPL"][..] } else { &[] };
        let whole = stored(&samples().join(name), words).unwrap();
        let text = std::fs::read_to_string(samples().join(name)).unwrap();
        let (broken, digit_lost) = damage.of(&text);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, broken).unwrap();
        // Without a column that may be missing, its value is not known; and nobody can see that a digit is gone.
        let optional = |bar: &str| bar.split(' ').take(5).collect::<Vec<_>>().join(" ");
        if let (Ok(bars), false) = (stored(&path, words), digit_lost) {
            for (key, bar) in &bars {
                let dropped = matches!(damage, Damage::DropColumn(_));
                let right = whole.get(key).is_some_and(|known| if dropped { optional(known) == optional(bar) } else { known == bar });
                prop_assert!(right, "{key:?} {bar} {damage:?}");
            }
        }
    }
}
