//! Closed days move to the archive and back, and no trade is lost, changed or stored twice on the way.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod support;

use std::path::Path;

use support::{DAY_NS, Place, Sender, encoded, rows_stored, table_hash, trade};

const CONSUMER: &str = env!("CARGO_BIN_EXE_consumer-trades");
const TABLE: &str = "market_data_oltp.stock_trades_realtime";
const DAY: &str = "2024-06-03";

/// A pipeline with an archive, and `count` trades stored on two days.
async fn scene(count: u32) -> (Place, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut place = Place::new().await;
    place.extra = vec![("ARCHIVE_DIR", folder.path().display().to_string())];
    place.make_topics().await;
    let consumer = place.start(CONSUMER);
    send(&place, 0..count, 0).await;
    send(&place, 0..100, 86_400_000_000_000).await;
    rows_stored(&place.database, i64::from(count) + 100).await;
    assert_eq!(consumer.stop().await, Some(0));
    (place, folder)
}

/// Sends trades, shifted in time.
async fn send(place: &Place, numbers: std::ops::Range<u32>, shift_ns: i64) {
    let sender = Sender::new(place);
    for number in numbers {
        let mut trade = trade(number);
        trade.ts_ns = DAY_NS + shift_ns + i64::from(number) * 1_000_003;
        sender.send(trade.symbol.as_str(), &encoded(&trade, u64::from(number) + 1));
    }
    sender.flush();
}

async fn archive(place: &Place, arguments: &[&str]) -> String {
    let arguments: Vec<&str> = ["archive"].iter().chain(arguments).copied().collect();
    let (code, text) = place.command(CONSUMER, &arguments).await;
    assert_eq!(code, Some(0), "{text}");
    text
}

async fn number(place: &Place, sql: &str) -> i64 {
    place.database.connect().await.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_goes_to_the_archive_and_comes_back_equal() {
    let (place, folder) = scene(20_000).await;
    let database = place.database.connect().await;
    let void = format!(
        "UPDATE {TABLE} SET void_at = ts + interval '1 minute', void_reason = 'cancelled' WHERE seq % 1000 = 1 AND ts < '2024-06-04'"
    );
    let void = database.execute(&void, &[]).await.unwrap();
    let before = table_hash(&place.database, TABLE).await;

    let said = archive(&place, &["run", "--day", DAY]).await;
    assert!(said.contains("20000 trades") && said.contains(&format!("{void} void")), "{said}");
    assert_eq!(number(&place, &format!("SELECT count(*) FROM {TABLE}")).await, 100);
    assert_eq!(number(&place, "SELECT count(*) FROM pg_class WHERE relname ~ '20240603'").await, 0);
    assert_eq!(
        number(&place, "SELECT rows FROM market_data_oltp.archived_days WHERE restored_at IS NULL").await,
        20_000
    );
    assert!(archive(&place, &["verify"]).await.contains("20000 trades"));
    assert!(Path::new(&folder.path().join(format!("trades/day={DAY}/trades.parquet"))).exists());

    archive(&place, &["restore", "--day", DAY]).await;
    assert_eq!(table_hash(&place.database, TABLE).await, before);
    assert_eq!(
        number(&place, "SELECT count(*) FROM market_data_oltp.archived_days WHERE restored_at IS NULL").await,
        0
    );
    // The restored day is an ordinary partition: a consumer stores into it, and retention can drop it.
    let consumer = place.start(CONSUMER);
    send(&place, 20_000..20_010, 0).await;
    rows_stored(&place.database, 20_110).await;
    assert_eq!(consumer.stop().await, Some(0));
    let again = archive(&place, &["run", "--day", DAY]).await;
    assert!(again.contains("20010 trades"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn trades_that_arrive_for_an_archived_day_join_it_and_none_is_there_twice() {
    let (place, _folder) = scene(3_000).await;
    archive(&place, &["run", "--day", DAY]).await;
    let consumer = place.start(CONSUMER);
    send(&place, 2_900..3_200, 0).await; // a hundred of them are archived already
    rows_stored(&place.database, 400).await;
    assert_eq!(consumer.stop().await, Some(0));
    let said = archive(&place, &["run", "--day", DAY]).await;
    assert!(said.contains("3200 trades"), "{said}");

    let consumer = place.start(CONSUMER);
    send(&place, 3_150..3_300, 0).await;
    rows_stored(&place.database, 250).await;
    assert_eq!(consumer.stop().await, Some(0));
    archive(&place, &["restore", "--day", DAY]).await; // takes in what arrived meanwhile
    let day = format!("SELECT count(*) FROM {TABLE} WHERE ts < '2024-06-04'");
    assert_eq!(number(&place, &day).await, 3_300);
}

/// What a run leaves that was killed after the detach, with rows that came between its snapshot and the detach.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_is_continued_and_rows_that_came_late_are_kept() {
    let (place, _folder) = scene(2_000).await;
    archive(&place, &["run", "--day", DAY]).await;
    let database = place.database.connect().await;
    let consumer = place.start(CONSUMER);
    send(&place, 2_000..2_050, 0).await;
    rows_stored(&place.database, 150).await;
    assert_eq!(consumer.stop().await, Some(0));
    let detach = "SELECT market_data_oltp.detach_archived_day('2024-06-03', 2000, 0, 0, 0)";
    database.execute(detach, &[]).await.unwrap();
    assert_eq!(number(&place, "SELECT count(*) FROM pg_class WHERE relname = 'archived_trades_p20240603'").await, 1);

    let said = archive(&place, &["run", "--day", DAY]).await;
    assert!(said.contains("2050 trades"), "{said}");
    assert_eq!(number(&place, "SELECT count(*) FROM pg_class WHERE relname ~ '20240603'").await, 0);
    assert_eq!(number(&place, "SELECT rows FROM market_data_oltp.archived_days").await, 2_050);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_retention_the_consumer_archives_by_itself_and_drops_nothing_that_is_not_archived() {
    let (mut place, folder) = scene(1_000).await;
    place.extra.push(("RETENTION_DAYS", "30".to_owned()));
    let consumer = place.start(CONSUMER);
    rows_stored(&place.database, 0).await;
    support::eventually("both days are archived", async || {
        (number(&place, "SELECT count(*) FROM market_data_oltp.archived_days").await == 2).then_some(())
    })
    .await;
    assert_eq!(consumer.stop().await, Some(0));
    let listed = archive(&place, &["list"]).await;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("1000 trades") && listed.contains("100 trades"), "{listed}");

    // A disk that cannot be written: nothing is removed, and the consumer keeps running.
    let (mut place, _) = scene(10).await;
    let file = folder.path().join("a file");
    std::fs::write(&file, "").unwrap();
    place.extra = vec![("ARCHIVE_DIR", file.display().to_string()), ("RETENTION_DAYS", "30".to_owned())];
    let consumer = place.start(CONSUMER);
    support::eventually("the service answers", async || consumer.page("/health").await).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(number(&place, &format!("SELECT count(*) FROM {TABLE}")).await, 110);
    assert_eq!(consumer.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_day_or_folder_is_named() {
    let (place, _folder) = scene(10).await;
    for (arguments, sentence) in [
        (["archive", "run", "--day", "2024-06-05"], "PostgreSQL holds no trades of 2024-06-05"),
        (["archive", "restore", "--day", "2024-06-03"], "2024-06-03 is not in the archive"),
    ] {
        let (code, text) = place.command(CONSUMER, &arguments).await;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(sentence), "{text}");
    }
}
