//! A day to a file and back: nothing is lost or changed, damage is found, and a query reads only what it needs.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "tests fail by panicking; small numbers")]

use archive::{Archive, ArchivedTrade, DayWriter, Digest, Error};
use compact_str::CompactString;
use jiff::civil::{Date, date};
use proptest::prelude::*;

const DAY: Date = date(2026, 11, 27);
const OPEN_NS: i64 = 1_795_789_800_000_000_000;

fn trade(symbol: &str, number: i64) -> ArchivedTrade {
    ArchivedTrade {
        symbol: symbol.into(),
        ts_ns: OPEN_NS + number * 7_000_003,
        price: 100.0 + (number % 50) as f64 / 100.0,
        size: 1.0 + (number % 300) as f64,
        exchange: "V".into(),
        trade_id: CompactString::from(format!("{}", 52_983_525_000_000 + number)),
        source: "alpaca".into(),
        tape: Some("C".into()),
        conditions: (number % 3 == 0).then(|| "@,I".into()),
        epoch: Some(1_795_780_000_000),
        seq: Some(number + 1),
        void_at_us: (number % 1000 == 0).then_some(OPEN_NS / 1000),
        void_reason: (number % 1000 == 0).then(|| "cancelled".into()),
    }
}

fn write(trades: &[ArchivedTrade]) -> (tempfile::NamedTempFile, Digest) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = DayWriter::new(file.reopen().unwrap()).unwrap();
    trades.iter().for_each(|trade| writer.push(trade.clone()).unwrap());
    let digest = writer.finish().unwrap();
    (file, digest)
}

async fn archive_of(trades: &[ArchivedTrade]) -> (tempfile::TempDir, Archive, Digest) {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::in_folder(folder.path()).unwrap();
    let (file, digest) = write(trades);
    archive.publish(DAY, file.path(), digest).await.unwrap();
    (folder, archive, digest)
}

async fn read(archive: &Archive) -> Vec<ArchivedTrade> {
    let day = archive.open(DAY).await.unwrap().unwrap();
    let mut read = Vec::new();
    for group in 0..Archive::groups(&day) {
        read.extend(archive.group(&day, group).await.unwrap());
    }
    read
}

fn any_text() -> impl Strategy<Value = CompactString> {
    "[A-Z./:0-9é\\x00]{0,12}".prop_map(CompactString::from)
}

fn any_trade() -> impl Strategy<Value = ArchivedTrade> {
    let key = (any_text(), any::<i64>(), any_text(), any_text(), any_text());
    let values = (any::<f64>().prop_filter("not NaN, which equals nothing", |price| !price.is_nan()), 0.0..1e12);
    let optional = (
        proptest::option::of(any_text()),
        proptest::option::of(any_text()),
        proptest::option::of(any::<i64>()),
        proptest::option::of(any::<i64>()),
        proptest::option::of(any::<i64>()),
    );
    (key, values, optional).prop_map(
        |((symbol, ts_ns, exchange, trade_id, source), (price, size), (tape, conditions, epoch, seq, void_at_us))| {
            ArchivedTrade {
                symbol,
                ts_ns,
                price,
                size,
                exchange,
                trade_id,
                source,
                void_reason: conditions.clone(),
                tape,
                conditions,
                epoch,
                seq,
                void_at_us,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_day_reads_back_equal(mut trades in proptest::collection::vec(any_trade(), 0..200)) {
        trades.sort_by(ArchivedTrade::by_key);
        trades.dedup_by(|a, b| a.by_key(b).is_eq());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_folder, archive, digest) = archive_of(&trades).await;
            assert_eq!(read(&archive).await, trades);
            assert_eq!(digest.rows, trades.len() as u64);
            archive.verify(DAY, digest).await.unwrap();
        });
    }
}

#[test]
fn a_digest_notices_any_change_and_no_order() {
    let trades: Vec<_> = (0..100).map(|number| trade("AAPL", number)).collect();
    let digest = |trades: &[ArchivedTrade]| {
        let mut digest = Digest::default();
        trades.iter().for_each(|trade| digest.add(trade));
        digest
    };
    let mut reversed = trades.clone();
    reversed.reverse();
    assert_eq!(digest(&trades), digest(&reversed));
    let changes: [fn(&mut ArchivedTrade); 6] = [
        |trade| trade.price += 0.01,
        |trade| trade.seq = None,
        |trade| trade.conditions = Some("@".into()),
        |trade| trade.void_at_us = Some(1),
        |trade| std::mem::swap(&mut trade.exchange, &mut trade.source),
        |trade| trade.ts_ns += 1,
    ];
    for change in changes {
        let mut changed = trades.clone();
        change(&mut changed[41]);
        assert_ne!(digest(&trades), digest(&changed));
    }
    assert_ne!(digest(&trades), digest(&trades[1..]));
}

#[test]
fn rows_out_of_order_or_twice_are_rejected() {
    let file = tempfile::tempfile().unwrap();
    let mut writer = DayWriter::new(file).unwrap();
    writer.push(trade("MSFT", 5)).unwrap();
    for wrong in [trade("MSFT", 5), trade("MSFT", 4), trade("AAPL", 9)] {
        assert!(matches!(writer.push(wrong), Err(Error::Order { .. })));
    }
    writer.push(trade("MSFT", 6)).unwrap();
}

#[tokio::test]
async fn a_query_for_one_symbol_reads_few_row_groups() {
    let symbols: Vec<String> = (0..400).map(|number| format!("SYM{number:03}")).collect();
    let trades: Vec<_> =
        symbols.iter().flat_map(|symbol| (0..1_000).map(move |number| trade(symbol, number))).collect();
    let (_folder, archive, _) = archive_of(&trades).await;
    let day = archive.open(DAY).await.unwrap().unwrap();
    let all = Archive::groups(&day);
    assert!(all >= 3, "{all}");
    let groups = Archive::groups_of(&day, "SYM100", &(i64::MIN..i64::MAX));
    assert!(groups.len() <= 2, "{groups:?} of {all}");
    let mut found = Vec::new();
    for group in groups {
        found.extend(archive.group(&day, group).await.unwrap().into_iter().filter(|trade| trade.symbol == "SYM100"));
    }
    assert_eq!(found, (0..1_000).map(|number| trade("SYM100", number)).collect::<Vec<_>>());
    assert!(Archive::groups_of(&day, "ZZZ", &(i64::MIN..i64::MAX)).is_empty());
    assert!(Archive::groups_of(&day, "SYM100", &(0..OPEN_NS)).is_empty());
}

#[tokio::test]
async fn a_damaged_file_is_noticed_and_never_replaces_a_good_one() {
    let trades: Vec<_> = (0..8_000).map(|number| trade("AAPL", number)).collect();
    let (folder, archive, digest) = archive_of(&trades).await;
    let (other, other_digest) = write(&trades[1..]);
    // What is uploaded is not what was said to be in it: the old file stays.
    assert!(matches!(archive.publish(DAY, other.path(), digest).await, Err(Error::Digest { .. })));
    archive.verify(DAY, digest).await.unwrap();
    archive.publish(DAY, other.path(), other_digest).await.unwrap();
    archive.verify(DAY, other_digest).await.unwrap();

    let path = folder.path().join(format!("trades/day={DAY}/trades.parquet"));
    let bytes = std::fs::read(&path).unwrap();
    let mut noticed = 0;
    for at in (0..bytes.len()).step_by(bytes.len() / 60) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        // A bit may be one that no reader looks at. Then the trades must be the right ones.
        match archive.verify(DAY, other_digest).await {
            Ok(_) => {
                assert!(read(&archive).await == trades[1..], "a flipped bit at byte {at} changes trades and passes")
            }
            Err(_) => noticed += 1,
        }
    }
    assert!(noticed > 30, "{noticed}");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(archive.open(DAY).await.is_err());
    assert_eq!(archive.days().await.unwrap().len(), 1);
    archive.remove(DAY).await.unwrap();
    assert!(archive.open(DAY).await.unwrap().is_none());
}
