//! History straight into a real PostgreSQL: once, by the consumer's rules, wherever it was stopped.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use std::path::Path;

use clap::Parser as _;
use consumer_bars::backfill::{self, RestConfig};
use consumer_bars::config;
use feed_simulator::Options;
use jiff::ToSpan as _;
use local_stack::testing::{self, Database};
use service::{CancellationToken, Vars};
use tokio_postgres::Client;

const TABLE: &str = "market_data_oltp.stock_bars_staging";
/// Ten trading days, a half one and a holiday among them.
const SPAN: [&str; 6] = ["--symbols", "AAPL,MSFT,BRK.B", "--start", "2024-06-24", "--end", "2024-07-08"];
/// 24 June to 8 July 2024 has ten days, of which the third of July ends at 13:00.
const MINUTES: i64 = 3 * (9 * 390 + 210);

async fn backfill(database: &Database, words: &[&str], journal: &Path) -> anyhow::Result<()> {
    backfill_with(database, words, journal, &[]).await
}

/// The same with further variables.
async fn backfill_with(
    database: &Database,
    words: &[&str],
    journal: &Path,
    extra: &[(&str, &str)],
) -> anyhow::Result<()> {
    let env = database.env();
    let mut pairs: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    pairs.extend_from_slice(extra);
    let vars = || Vars::from_pairs(&pairs);
    let words = [words, &["--journal", journal.to_str().unwrap()]].concat();
    let (sink, rest) = (vars().load(config::from_vars)?, vars().load(RestConfig::from_vars)?);
    backfill::run(backfill::arguments(&words)?, sink, rest, CancellationToken::new()).await
}

fn synthetic() -> Vec<&'static str> {
    ["synthetic"].into_iter().chain(SPAN).collect()
}

async fn count(client: &Client, timeframe: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {TABLE} WHERE timeframe = $1");
    client.query_one(&sql, &[&timeframe]).await.unwrap().get(0)
}

/// Everything that a reader can see of all bars.
async fn content(client: &Client) -> String {
    let sql = format!("SELECT md5(string_agg(bar::text, ',' ORDER BY symbol, timeframe, ts_ns)) FROM {TABLE} AS bar");
    client.query_one(&sql, &[]).await.unwrap().get(0)
}

async fn versions(client: &Client) -> i64 {
    let sql = "SELECT sum(version - 1600000000000000)::bigint FROM market_data_oltp.stock_bar_versions";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_stores_each_bar_once_with_its_roll_ups_and_a_second_one_changes_nothing() {
    let (database, folder) = (testing::database().await, tempfile::tempdir().unwrap());
    backfill(&database, &synthetic(), &folder.path().join("one")).await.unwrap();
    let client = database.connect().await;
    assert_eq!(count(&client, "1Min").await, MINUTES);
    assert_eq!((count(&client, "1Day").await, count(&client, "5Min").await), (3 * 10, MINUTES / 5));
    let (before, version) = (content(&client).await, versions(&client).await);
    // By its journal there is nothing to do; with another journal everything is stored again, and nothing changes.
    backfill(&database, &synthetic(), &folder.path().join("one")).await.unwrap();
    backfill(&database, &synthetic(), &folder.path().join("two")).await.unwrap();
    assert_eq!((content(&client).await, versions(&client).await), (before, version));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_bar_stands_above_a_backfilled_one_whichever_comes_first() {
    let (database, folder) = (testing::database().await, tempfile::tempdir().unwrap());
    backfill(&database, &synthetic(), &folder.path().join("one")).await.unwrap();
    let client = database.connect().await;
    let live = format!(
        "UPDATE {TABLE} SET close = 1, low = 1, epoch = 1719849600000, seq = 5 WHERE symbol = 'AAPL' AND timeframe = '1Min' AND revision = 0"
    );
    assert_eq!(client.execute(&live, &[]).await.unwrap(), MINUTES.unsigned_abs() / 3);
    backfill(&database, &synthetic(), &folder.path().join("two")).await.unwrap();
    let left = format!("SELECT count(*) FROM {TABLE} WHERE symbol = 'AAPL' AND timeframe = '1Min' AND close = 1");
    assert_eq!(client.query_one(&left, &[]).await.unwrap().get::<_, i64>(0), MINUTES / 3);
}

/// A process that is ended at any moment has stored whole units, and noted some of them.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_it_goes_on_and_ends_with_the_same_table() {
    let folder = tempfile::tempdir().unwrap();
    let whole = testing::database().await;
    backfill(&whole, &synthetic(), &folder.path().join("whole")).await.unwrap();
    let expected = content(&whole.connect().await).await;

    let database = testing::database().await;
    let (client, journal) = (database.connect().await, folder.path().join("journal"));
    let mut kills = 0;
    for noted in [1, 3, 5] {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_consumer-bars"))
            .arg("backfill")
            .args(synthetic())
            .arg("--journal")
            .arg(&journal)
            .envs(database.env())
            .current_dir(folder.path())
            .spawn()
            .unwrap();
        let lines = || std::fs::read_to_string(&journal).map_or(0, |text| text.lines().count());
        loop {
            if lines() > noted {
                child.kill().unwrap();
                kills += 1;
            }
            if child.try_wait().unwrap().is_some() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    assert!(kills > 0);
    backfill(&database, &synthetic(), &journal).await.unwrap();
    assert_eq!(content(&client).await, expected);
    let units: Vec<String> = std::fs::read_to_string(&journal).unwrap().lines().skip(1).map(str::to_owned).collect();
    assert_eq!(units.len(), 3 * 2, "each symbol's month once: {units:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_history_api_and_kafka_write_can_be_read_from_files() {
    let (database, folder) = (testing::database().await, tempfile::tempdir().unwrap());
    let csv = "timestamp,open,high,low,close,volume,trade_count,vwap,final,revision\n\
        1719235800000,1.5,2,1,1.75,100,7,1.6,true,0\n1719235860000,1.75,2,1,1.5,100,,,true,1\n";
    let ndjson = r#"{"symbol":"MSFT","timeframe":"1Min","open":1.5,"high":2,"low":1,"close":1.75,"volume":100,"timestamp":1719235800000,"final":true,"revision":0,"source":"alpaca","epoch":7,"seq":3}
{"timestamp":1719235860000,"timeframe":"1Min","open":1.5,"high":2,"low":1,"close":1.25,"volume":100,"final":true,"revision":0}
"#;
    let (csv_path, json_path) = (folder.path().join("aapl.csv"), folder.path().join("msft.ndjson"));
    std::fs::write(&csv_path, csv).unwrap();
    std::fs::write(&json_path, ndjson).unwrap();
    let words = ["files", csv_path.to_str().unwrap(), json_path.to_str().unwrap(), "--symbol", "AAPL"];
    backfill(&database, &words, &folder.path().join("journal")).await.unwrap();
    let client = database.connect().await;
    let sql = format!(
        "SELECT string_agg(symbol || ' ' || close || ' ' || revision || ' ' || seq, ', ' ORDER BY symbol, ts_ns) FROM {TABLE} WHERE timeframe = '1Min'"
    );
    // The line that names no symbol got the one of the command.
    let stored: String = client.query_one(&sql, &[]).await.unwrap().get(0);
    assert_eq!(stored, "AAPL 1.75 0 0, AAPL 1.5 1 0, MSFT 1.75 0 3");

    std::fs::write(&csv_path, format!("{csv}1719235920000,-1,2,1,1.75,100,7,1.6,true,0\n")).unwrap();
    let error = backfill(&database, &words, &folder.path().join("another")).await.unwrap_err();
    let said = format!("{error:#}");
    assert!(said.contains("aapl.csv") && said.contains("line 4") && said.contains("price"), "{said}");
    // Nothing of a file is stored that is not understood to its end, and nothing at all of a dry run.
    std::fs::write(&csv_path, csv.replace("1.75", "1.85")).unwrap();
    let dry = [&words[..], &["--dry-run"]].concat();
    backfill(&database, &dry, &folder.path().join("dry")).await.unwrap();
    let unchanged: String = client.query_one(&sql, &[]).await.unwrap().get(0);
    assert_eq!(unchanged, stored);
    let error = backfill(&database, &synthetic(), &folder.path().join("journal")).await.unwrap_err().to_string();
    assert!(error.contains("journal of another backfill"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_feeds_rest_history_has_is_in_the_table_afterwards() {
    let (database, folder) = (testing::database().await, tempfile::tempdir().unwrap());
    let options =
        ["feed-simulator", "--listen", "127.0.0.1:0", "--symbols", "AAPL,MSFT", "--rate", "1", "--history-days", "4"];
    let simulator = feed_simulator::start(Options::parse_from(options).check().unwrap()).await.unwrap();
    let url = format!("http://{}", simulator.address());
    let today = jiff::Zoned::now().with_time_zone(market::calendar::new_york()).date();
    let (start, end) = (today.saturating_sub(3.days()).to_string(), today.saturating_sub(2.days()).to_string());
    let words = ["rest", "--symbols", "AAPL,MSFT", "--start", &start, "--end", &end];
    let journal = folder.path().join("journal");

    let error = backfill_with(&database, &words, &journal, &[("ALPACA_DATA_REST_URL", &url)]).await.unwrap_err();
    assert!(error.to_string().contains("ALPACA_API_KEY"), "{error:#}");
    let with = |key: &'static str| {
        [("ALPACA_DATA_REST_URL", url.as_str()), ("ALPACA_API_KEY", key), ("ALPACA_API_SECRET", "demo")]
    };
    let error = backfill_with(&database, &words, &journal, &with("no-key")).await.unwrap_err();
    assert!(format!("{error:#}").contains("answered 40"), "{error:#}");
    backfill_with(&database, &words, &journal, &with("demo")).await.unwrap();

    let client = database.connect().await;
    let sql = format!(
        "SELECT count(*), count(DISTINCT symbol), min(ts) >= $1::text::timestamptz, max(ts) < $2::text::timestamptz + interval '1 day'
         FROM {TABLE} WHERE timeframe = '1Min'"
    );
    let midnight = |day: &str| format!("{day} 00:00 America/New_York");
    let row = client.query_one(&sql, &[&midnight(&start), &midnight(&end)]).await.unwrap();
    // The synthetic market trades round the clock: two days of minutes of each symbol, page after page.
    assert!(row.get::<_, i64>(0) > 2 * 2 * 1_200, "{} bars", row.get::<_, i64>(0));
    assert_eq!((row.get::<_, i64>(1), row.get(2), row.get(3)), (2, true, true));
    let before = content(&client).await;
    backfill_with(&database, &words, &folder.path().join("again"), &with("demo")).await.unwrap();
    assert_eq!(content(&client).await, before);
    simulator.stop().await;
}
