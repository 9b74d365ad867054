//! What a correction costs does not depend on how much is stored, and nobody who stores trades waits for it.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod support;

use local_stack::testing::{self, Database};
use market::{Correction, Outcome, VoidTrade, wire};
use service::postgres::PostgresConfig;
use service::{CancellationToken, Health, Vars};
use support::{DAY_NS, Place, Sender, encoded, eventually, rows_stored, trade};
use tokio_postgres::Client;

const CONSUMER: &str = env!("CARGO_BIN_EXE_consumer-trades");
const MINUTE_NS: i64 = 60_000_000_000;
/// Symbols of the made-up market.
const SYMBOLS: i64 = 8_000;

/// Rows of the large table; `TAPELINE_TEST_ROWS=5000000` makes it as large as one likes.
fn large() -> i64 {
    std::env::var("TAPELINE_TEST_ROWS").map_or(400_000, |rows| rows.parse().unwrap())
}

/// A database of the newest schema.
async fn migrated() -> (Database, Client) {
    let database = testing::database().await;
    let env = database.env();
    let vars = Vars::from_pairs(&env.each_ref().map(|(name, value)| (*name, value.as_str())));
    let settings = vars.load(PostgresConfig::from_vars).unwrap();
    let part = Health::new("test").part("postgres");
    sink::schema::migrate(&settings, "test", &part, &CancellationToken::new()).await.unwrap();
    let client = database.connect().await;
    (database, client)
}

/// Stores trades `from..to` of a day: 8,000 symbols in turn, but every tenth trade is one of S0, whose day is then the longest.
async fn fill(client: &Client, from: i64, to: i64) {
    client.execute("SELECT market_data_oltp.ensure_trade_partitions('{2024-06-03}')", &[]).await.unwrap();
    client
        .batch_execute(&format!(
            "INSERT INTO market_data_oltp.stock_trades_realtime
                 (ts, price, size, ts_ns, symbol, exchange, trade_id, source, tape)
             SELECT to_timestamp(ns / 1000000000.0), 100, 10, ns,
                    'S' || CASE WHEN n % 10 = 0 THEN 0 ELSE n % {SYMBOLS} END, 'Q', n::text, 'alpaca', 'C'
             FROM generate_series({from}::bigint, {to} - 1) n, LATERAL (SELECT {DAY_NS} - 4 * 3600000000000 + n * 2000) AS at (ns)"
        ))
        .await
        .unwrap();
}

/// Stores cancellations of the trades `ids` of S0, as the consumer of corrections does, and returns how many blocks were looked at until
/// they were settled.
async fn cost_of_settling(client: &Client, ids: &[i64]) -> i64 {
    let list = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    client
        .batch_execute(&format!(
            "INSERT INTO market_data_oltp.stock_trade_corrections
                 (ts, price, size, ts_ns, symbol, exchange, trade_id, source, reason)
             SELECT to_timestamp({DAY_NS} / 1000000000), 100, 10, {DAY_NS}, 'S0', 'Q', id::text, 'alpaca', 'cancelled'
             FROM unnest(ARRAY[{list}]) id"
        ))
        .await
        .unwrap();
    let names = ids.iter().map(|id| format!("E'S0\\t{id}'")).collect::<Vec<_>>().join(",");
    blocks(client, &format!("SELECT market_data_oltp.settle_named_corrections(ARRAY[{names}])")).await
}

/// How many blocks a statement looks at.
async fn blocks(client: &Client, statement: &str) -> i64 {
    let plan = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}");
    let plan: String = client
        .simple_query(&plan)
        .await
        .unwrap()
        .iter()
        .filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let top = &plan[0]["Plan"];
    top["Shared Hit Blocks"].as_i64().unwrap() + top["Shared Read Blocks"].as_i64().unwrap()
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

const VOID: &str = "SELECT count(*) FROM market_data_oltp.stock_trades_realtime WHERE void_at IS NOT NULL";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_correction_costs_does_not_grow_with_the_table() {
    let (_database, client) = migrated().await;
    let known = |from: i64| -> Vec<i64> { (0..50).map(|n| from + n * 10).collect() };
    let unknown = |from: i64| -> Vec<i64> { (0..50).map(|n| -from - n).collect() };

    fill(&client, 0, 20_000).await;
    cost_of_settling(&client, &known(10_000)).await; // fills the caches of this session
    let (small, small_unknown) =
        (cost_of_settling(&client, &known(2_000)).await, cost_of_settling(&client, &unknown(1_000)).await);
    assert_eq!(count(&client, VOID).await, 100, "they are settled");

    fill(&client, 20_000, large()).await;
    cost_of_settling(&client, &known(large() / 2)).await;
    let (large_known, large_unknown) =
        (cost_of_settling(&client, &known(4_000)).await, cost_of_settling(&client, &unknown(2_000)).await);
    assert_eq!(count(&client, VOID).await, 200, "they are settled");

    // An index grows by a level when the table grows a hundredfold; the search reads four times through one.
    let allowed = |small: i64| small + small / 2;
    assert!(large_known <= allowed(small), "50 corrections: {small} blocks, in the large table {large_known}");
    assert!(large_unknown <= allowed(small_unknown), "50 unknown: {small_unknown}, in the large table {large_unknown}");

    // What waits is looked at a few at a time and ever less often; what a live batch asks does not read it.
    client.batch_execute("UPDATE market_data_oltp.stock_trade_corrections SET next_look_at = now()").await.unwrap();
    let looked = blocks(&client, "SELECT market_data_oltp.settle_due_corrections(50)").await;
    assert!(looked <= 100 * 50, "one look at 50 waiting corrections reads {looked} blocks");
    let due = "SELECT count(*) FROM market_data_oltp.stock_trade_corrections WHERE void_ts_ns IS NULL AND next_look_at <= now()";
    assert_eq!(count(&client, due).await, 100 - 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_settles_corrections_makes_no_writer_wait_and_waits_for_none() {
    let (database, client) = migrated().await;
    fill(&client, 0, 20_000).await;

    // Corrections of trades that are there, in a transaction that stays open.
    client.batch_execute("BEGIN").await.unwrap();
    cost_of_settling(&client, &(0..50).map(|n| n * 10).collect::<Vec<_>>()).await;
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);

    // Meanwhile others store trades, and settle corrections of their own: neither waits.
    let other = database.connect().await;
    other.batch_execute("SET lock_timeout = '1ms'").await.unwrap();
    fill(&other, 20_000, 25_000).await;
    cost_of_settling(&other, &[15_000, 15_010]).await;
    assert_eq!(count(&other, "SELECT market_data_oltp.settle_due_corrections(1000)").await, 0);
    assert_eq!(count(&other, VOID).await, 2);

    // The locks say the same: rows, and tables in modes that go together with everything a writer does.
    let modes = "SELECT count(*) FROM pg_locks WHERE pid = $1 AND (locktype = 'advisory' OR mode IN
                     ('ShareLock', 'ShareUpdateExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                     AND locktype NOT IN ('virtualxid', 'transactionid'))";
    let strong: i64 = other.query_one(modes, &[&pid]).await.unwrap().get(0);
    assert_eq!(strong, 0, "locks that writers would wait for");

    // A trade whose row is being changed is left alone, and found later.
    other.batch_execute("UPDATE market_data_oltp.stock_trade_corrections SET void_ts_ns = NULL, next_look_at = now() WHERE trade_id = '15000'").await.unwrap();
    client
        .batch_execute(
            "COMMIT; BEGIN; UPDATE market_data_oltp.stock_trades_realtime SET void_at = NULL WHERE trade_id = '15000'",
        )
        .await
        .unwrap();
    assert_eq!(count(&other, "SELECT market_data_oltp.settle_due_corrections(1000)").await, 1);
    client.batch_execute("COMMIT").await.unwrap();
    other
        .batch_execute(
            "UPDATE market_data_oltp.stock_trade_corrections SET next_look_at = now() WHERE void_ts_ns IS NULL",
        )
        .await
        .unwrap();
    assert_eq!(count(&other, "SELECT market_data_oltp.settle_due_corrections(1000)").await, 1);
    assert_eq!(count(&other, VOID).await, 52);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_finds_a_trade_of_an_earlier_day_once_its_own_day_has_had_its_time() {
    let (_database, client) = migrated().await;
    fill(&client, 0, 100).await;
    client
        .batch_execute(&format!(
            "INSERT INTO market_data_oltp.stock_trade_corrections
                 (ts, price, size, ts_ns, symbol, exchange, trade_id, source, reason)
             SELECT to_timestamp({0} / 1000000000), 100, 10, {0}, 'S0', 'Q', '30', 'alpaca', 'cancelled'",
            DAY_NS + 26 * 60 * MINUTE_NS,
        ))
        .await
        .unwrap();
    let look = "SELECT market_data_oltp.settle_due_corrections(10)";
    assert_eq!((count(&client, look).await, count(&client, VOID).await), (1, 0), "its trade may still be on its way");
    client
        .batch_execute("UPDATE market_data_oltp.stock_trade_corrections SET stored_at = now() - interval '1 minute', next_look_at = now()")
        .await
        .unwrap();
    assert_eq!((count(&client, look).await, count(&client, VOID).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bar_that_counts_a_trade_that_was_voided_since_is_shown_as_such() {
    let (_database, client) = migrated().await;
    fill(&client, 0, 20).await; // trades 0 and 10 are S0's, within one minute
    client
        .batch_execute(&format!(
            "INSERT INTO market_data_oltp.stock_bars_staging
                 (ts, open, high, low, close, volume, trade_count, ts_ns, symbol, timeframe, source)
             SELECT to_timestamp(ns / 1000000000), 100, 100, 100, 100, 20, 2, ns, 'S0', '1Min', 'alpaca'
             FROM (SELECT {DAY_NS} - 4 * 3600000000000) AS at (ns)"
        ))
        .await
        .unwrap();
    let minute = async || {
        let sql = "SELECT trades, void_trades, bar_trades, bar_exceeds_trades FROM market_data_oltp.tapeline_minutes WHERE symbol = 'S0'";
        let row = client.query_one(sql, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2), row.get::<_, bool>(3))
    };
    assert_eq!(minute().await, (2, 0, 2, false));
    cost_of_settling(&client, &[10]).await;
    assert_eq!(minute().await, (1, 1, 2, true));
    let sql = "SELECT minute = to_timestamp(minute_ns / 1000000000), bar_trades, trades
               FROM market_data_oltp.contradicted_minutes(interval '1 day', 1000), (SELECT $1::bigint AS minute_ns) AS expected
               WHERE symbol = 'S0'";
    let minute_ns = DAY_NS - 4 * 3_600_000_000_000;
    let rows = client.query(sql, &[&minute_ns]).await.unwrap();
    let found: Vec<(bool, i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(found, [(true, 2, 1)], "the metric counts it");
    // The feed sends the bar again, without that trade.
    let revised =
        "UPDATE market_data_oltp.stock_bars_staging SET trade_count = 1, volume = 10, revision = 1 WHERE symbol = 'S0'";
    client.batch_execute(revised).await.unwrap();
    assert_eq!(minute().await, (1, 1, 1, false));
    assert_eq!(client.query(sql, &[&minute_ns]).await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_that_missed_its_trade_by_a_moment_is_settled_a_moment_later() {
    let place = Place::new().await;
    place.make_topics().await;
    let consumer = place.start(CONSUMER);
    let (trades, corrections) = (Sender::new(&place), Sender::of_corrections(&place));
    let first = trade(0);
    trades.send(first.symbol.as_str(), &encoded(&first, 1));
    trades.flush();
    rows_stored(&place.database, 1).await;

    // A trade that the consumer of corrections cannot see, because the transaction that stores it has not committed.
    let client = place.database.connect().await;
    let missed = trade(8);
    client
        .batch_execute(&format!(
            "BEGIN; INSERT INTO market_data_oltp.stock_trades_realtime (ts, price, size, ts_ns, symbol, exchange, trade_id, source)
             VALUES (to_timestamp({ns} / 1000000000.0), {price}, {size}, {ns}, '{symbol}', '{exchange}', '{id}', 'alpaca')",
            ns = missed.ts_ns,
            price = missed.price,
            size = missed.size,
            symbol = missed.symbol,
            exchange = missed.exchange.as_deref().unwrap(),
            id = missed.trade_id.as_deref().unwrap(),
        ))
        .await
        .unwrap();
    let correction = Correction {
        void: VoidTrade {
            symbol: missed.symbol,
            price: missed.price,
            size: missed.size,
            ts_ns: missed.ts_ns + MINUTE_NS,
            trade_id: missed.trade_id.clone(),
            exchange: missed.exchange.clone(),
        },
        outcome: Outcome::Cancelled("C".into()),
        source: missed.source.clone(),
    };
    let mut json = Vec::new();
    wire::encode_correction(&correction, None, &mut json);
    corrections.send("AAPL", &json);
    corrections.flush();
    let watch = place.database.connect().await;
    let waits = "SELECT count(*) FROM market_data_oltp.stock_trade_corrections WHERE void_ts_ns IS NULL AND next_look_at > stored_at";
    eventually("a look in vain", async || (count(&watch, waits).await == 1).then_some(())).await;
    client.batch_execute("COMMIT").await.unwrap();
    eventually("the void trade", async || (count(&watch, VOID).await == 1).then_some(())).await;
    assert_eq!(consumer.stop().await, Some(0));
}
