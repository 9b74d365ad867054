//! Files to trades, and trades to the stream.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::read::{DayFile, ReadError, find, load};
use super::*;
use crate::wire::text::parse_time;

/// Writes a recorded day into `folder`.
fn record(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(format!("{name}.zip"));
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    zip.start_file(format!("{name}.csv"), zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(content.as_bytes()).unwrap();
    zip.finish().unwrap();
    path
}

fn load_all(folder: &Path) -> Result<(Arc<SymbolTable>, Vec<RecordedDay>), ReadError> {
    let files = find(folder, &[], &[])?;
    let symbols = Arc::new(SymbolTable::new(files.iter().map(|file: &DayFile| &file.symbol)));
    let days = files.iter().map(|file| load(file, &symbols)).collect::<Result<_, _>>()?;
    Ok((symbols, days))
}

fn all_messages(mut replay: Replay) -> Vec<Message> {
    std::iter::from_fn(|| replay.next_batch()).flat_map(|batch| batch.messages).collect()
}

const AIG: &str = "34200000,491800,300,P,1,0\n34200000,491800,300,P,1,0\n34259999,491900,100,Q,20000020,0\n34260000,492000,50,D,80000001,1";
const BAC: &str = "34200001,140000,1000,N,1,0\n34320000,140100,200,N,1,0\n";

#[test]
fn trades_of_all_symbols_come_in_time_order_with_line_numbers_as_ids() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), "aig_20131007", AIG);
    record(folder.path(), "bac_20131007", BAC);
    let (symbols, days) = load_all(folder.path()).unwrap();
    let messages = all_messages(Replay::new(Arc::clone(&symbols), days, Pace::Max, 0, 0));
    let trades: Vec<(&str, u64, i64)> = messages
        .iter()
        .filter_map(|m| match m {
            Message::Trade(t) => Some((symbols.info(t.symbol).name.as_str(), t.id, t.ts_ns)),
            _ => None,
        })
        .collect();
    let open = parse_time("2013-10-07T13:30:00Z").unwrap(); // 09:30 in daylight time
    let ms = |ms: i64| open + ms * NS_PER_MS;
    assert_eq!(
        trades,
        [
            ("AIG", 1, open),
            ("AIG", 2, open),
            ("BAC", 1, ms(1)),
            ("AIG", 3, ms(59_999)),
            ("AIG", 4, ms(60_000)),
            ("BAC", 2, ms(120_000)),
        ]
    );
}

#[test]
fn bars_follow_their_minute_and_are_made_of_its_trades() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), "aig_20131007", AIG);
    let (symbols, days) = load_all(folder.path()).unwrap();
    let messages = all_messages(Replay::new(symbols, days, Pace::Max, 0, 0));
    let kinds: Vec<&str> = messages.iter().map(|message| message.kind().letter()).collect();
    assert_eq!(kinds, ["t", "t", "t", "b", "d", "t"], "the last minute is one odd lot, which makes no bar");
    let Message::Bar(BarKind::Minute, bar) = messages[3] else { panic!("{messages:?}") };
    assert_eq!((bar.open, bar.high, bar.low, bar.close), (491_800, 491_900, 491_800, 491_900));
    assert_eq!((bar.volume, bar.trade_count), (700, 3));
}

#[test]
fn every_pace_sends_the_same_messages_in_the_same_order() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), "aig_20131007", AIG);
    record(folder.path(), "bac_20131008", BAC);
    let (symbols, days) = load_all(folder.path()).unwrap();
    let at = |pace| all_messages(Replay::new(Arc::clone(&symbols), days.clone(), pace, 0, 0));
    let fast = at(Pace::Max);
    for pace in [Pace::Speed(1.0), Pace::Speed(1e5), Pace::Rate(1.0), Pace::Rate(10_000.0)] {
        assert_eq!(at(pace), fast, "{pace}");
    }
}

#[test]
fn a_shift_moves_every_time_alike_and_a_later_start_leaves_the_morning_out() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), "aig_20131007", AIG);
    let (symbols, days) = load_all(folder.path()).unwrap();
    let mut replay = Replay::new(Arc::clone(&symbols), days.clone(), Pace::Max, 0, 0);
    let (first_ns, last_ns) = replay.span_ns().unwrap();
    assert_eq!(last_ns - first_ns, NS_PER_MINUTE);
    replay.shift(1_000_000_000_000 - first_ns);
    let Message::Trade(first) = all_messages(replay)[0] else { panic!("no trade") };
    assert_eq!(first.ts_ns, 1_000_000_000_000);
    let late = Replay::new(symbols, days, Pace::Max, 0, first_ns + 1);
    let Message::Trade(first) = all_messages(late)[0] else { panic!("no trade") };
    assert_eq!(first.id, 3, "ids stay line numbers");
}

#[test]
fn a_bad_file_is_named_with_its_line() {
    for (content, expected) in [
        ("1,2,3,P,1,0\n1,2,3,P,1", "line 2: has 5 fields"),
        ("x,2,3,P,1,0", "line 1: ms \"x\""),
        ("1,0,3,P,1,0", "line 1: price \"0\""),
        ("1,2,-3,P,1,0", "line 1: size \"-3\""),
        ("1,2,3,PP,1,0", "line 1: exchange \"PP\""),
        ("1,2,3,P,xyz,0", "line 1: condition \"xyz\""),
        ("1,2,3,P,1,maybe", "line 1: suspicious \"maybe\""),
        ("5,2,3,P,1,0\n4,2,3,P,1,0\n", "line 2: is earlier"),
        ("1,2,3,P,1,0\n\n1,2,3,P,1,0", "line 2: has 1 fields"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        record(folder.path(), "aig_20131007", content);
        let problem = load_all(folder.path()).unwrap_err().to_string();
        assert!(problem.contains("aig_20131007.zip") && problem.contains(expected), "{problem}");
    }
}

#[test]
fn what_is_no_recorded_day_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(find(folder.path(), &[], &[]), Err(ReadError::Nothing { .. })));
    assert!(matches!(find(&folder.path().join("none"), &[], &[]), Err(ReadError::File { .. })));
    std::fs::write(folder.path().join("aig_20131007.zip"), "no zip").unwrap();
    let problem = load_all(folder.path()).unwrap_err().to_string();
    assert!(problem.contains("aig_20131007.zip: not a zip file"), "{problem}");
    assert!(matches!(find(folder.path(), &["IBM".into()], &[]), Err(ReadError::Nothing { .. })));
}
