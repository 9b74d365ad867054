//! Trades from a real Kafka into a real PostgreSQL: each once, whatever comes in.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use consumer_trades::config;
use futures_util::TryFutureExt as _;
use local_stack::{Folder, Postgres, port, testing};
use service::postgres::PostgresConfig;
use service::{CancellationToken, Health};
use support::{Place, Sender, Sums, encoded, eventually, rows_stored, send_trades, table_hash, trade};
use tokio::task::JoinHandle;

const CONSUMER: &str = env!("CARGO_BIN_EXE_consumer-trades");
const TABLE: &str = "market_data_oltp.stock_trades_realtime";

/// A consumer in this process.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    fn start(place: &Place) -> Self {
        let config = place.vars().load(config::Config::from_vars).unwrap();
        let stop = CancellationToken::new();
        let run = consumer_trades::run(config, stop.clone());
        let task = tokio::spawn(run.inspect_err(|error| eprintln!("the consumer ended: {error:#}")));
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// How it ended by itself.
    async fn failure(self) -> String {
        let ended = tokio::time::timeout(support::PATIENCE, self.task).await.expect("it ends");
        format!("{:#}", ended.unwrap().unwrap_err())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trade_is_stored_as_it_was_sent() {
    let place = Place::new().await;
    let consumer = Running::start(&place);
    place.make_topics().await;
    send_trades(&place, 0..20_000).await;
    rows_stored(&place.database, 20_000).await;
    assert_eq!(Sums::stored(&place.database).await, Sums::of_trades(0..20_000));

    let row = place
        .database
        .connect()
        .await
        .query_one(
            "SELECT price, size, ts_ns, exchange, tape, conditions, source, epoch, seq, market_data_oltp.ns(ts), symbol
             FROM market_data_oltp.stock_trades_realtime WHERE trade_id = '4711'",
            &[],
        )
        .await
        .unwrap();
    let sent = trade(4711);
    assert_eq!((row.get::<_, f64>(0), row.get::<_, f64>(1), row.get::<_, i64>(2)), (sent.price, sent.size, sent.ts_ns));
    assert_eq!((row.get::<_, &str>(3), row.get::<_, &str>(4), row.get::<_, Option<&str>>(5)), ("P", "C", Some("@")));
    assert_eq!(
        (row.get::<_, &str>(6), row.get::<_, i64>(7), row.get::<_, i64>(8)),
        ("alpaca", 1_717_400_000_000, 4712)
    );
    assert_eq!((row.get::<_, i64>(9), row.get::<_, &str>(10)), (sent.ts_ns, sent.symbol.as_str()));
    consumer.stop().await;
    assert_eq!(place.letters().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_trade_is_visible_within_a_second() {
    let place = Place::new().await;
    let consumer = Running::start(&place);
    place.make_topics().await;
    send_trades(&place, 0..1).await;
    rows_stored(&place.database, 1).await; // the group is formed, everything is connected
    for number in 1..6 {
        send_trades(&place, number..number + 1).await;
        support::within(Duration::from_secs(1), "a lone trade", async || {
            (Sums::stored(&place.database).await.rows > i64::from(number)).then_some(())
        })
        .await;
    }
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_records_repeated_three_times_and_shuffled_leave_the_table_as_it_was() {
    let place = Place::new().await;
    let consumer = Running::start(&place);
    place.make_topics().await;
    send_trades(&place, 0..5_000).await;
    rows_stored(&place.database, 5_000).await;
    let before = table_hash(&place.database, TABLE).await;

    let sender = Sender::new(&place);
    for round in 0..3_u32 {
        for step in 0..5_000_u32 {
            let number = (step * 1_237 + round * 911) % 5_000; // 1237 and 5000 have no common factor: every number once
            let trade = trade(number);
            sender.send(trade.symbol.as_str(), &encoded(&trade, u64::from(number) + 1));
        }
    }
    let marker = trade(5_000);
    for partition in 0..support::PARTITIONS {
        let mut marker = marker.clone();
        marker.trade_id = Some(format!("end-{partition}").into());
        sender.send_to(Some(partition), "end", &encoded(&marker, 1));
    }
    sender.flush();
    rows_stored(&place.database, 5_000 + i64::from(support::PARTITIONS)).await;
    let client = place.database.connect().await;
    client
        .execute("DELETE FROM market_data_oltp.stock_trades_realtime WHERE trade_id LIKE 'end-%'", &[])
        .await
        .unwrap();
    assert_eq!(table_hash(&place.database, TABLE).await, before);
    consumer.stop().await;
    assert_eq!(place.letters().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_records_become_dead_letters_and_the_rest_is_stored() {
    let place = Place::new().await;
    place.make_topics().await;
    let sender = Sender::new(&place);
    let mut far_ahead = trade(1);
    far_ahead.ts_ns = i64::MAX;
    let mut long_ago = trade(2);
    long_ago.ts_ns = i64::MIN;
    let bad: [&[u8]; 5] = [b"{\"half\":", b"\xff\xfe", b"", &encoded(&far_ahead, 1), &encoded(&long_ago, 1)];
    for (number, payload) in bad.iter().enumerate() {
        let good = trade(u32::try_from(number).unwrap());
        sender.send("AAPL", payload);
        sender.send(good.symbol.as_str(), &encoded(&good, 1));
    }
    sender.flush();
    let consumer = Running::start(&place);
    rows_stored(&place.database, 5).await;
    let letters =
        eventually("5 dead letters", async || Some(place.letters().await).filter(|letters| letters.len() >= 5)).await;
    consumer.stop().await;

    assert_eq!((Sums::stored(&place.database).await.rows, letters.len()), (5, 5));
    for payload in bad {
        let letter = letters.iter().find(|letter| letter.payload_bytes().as_deref() == Some(payload)).unwrap();
        assert_eq!((letter.topic.as_str(), letter.key.as_deref()), (place.topic.as_str(), Some("AAPL")));
        assert!(!letter.reason.is_empty());
    }
    assert!(letters.iter().any(|letter| letter.reason.contains("days ahead")), "{letters:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_record_that_the_table_refuses_among_ten_thousand_costs_few_statements() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(Folder::lasting(folder.path()).unwrap(), port::free().unwrap()).await.unwrap();
    postgres.create_database("market_data").await.unwrap();
    let mut place = Place::new().await;
    place.database = testing::of(&postgres, "market_data");
    place.extra = vec![
        ("BATCH_SIZE", "10000".to_owned()),
        ("BATCH_WAIT_MAX_MS", "60000".to_owned()),
        ("SINK_CONNECTIONS", "1".to_owned()),
    ];
    place.make_topics().await;
    // The table exists before the consumer does, with a rule that only the database knows.
    let settings = place.vars().load(PostgresConfig::from_vars).unwrap();
    let part = Health::new("test").part("postgres");
    sink::schema::migrate(&settings, "test", &part, &CancellationToken::new()).await.unwrap();
    let admin = place.database.connect().await;
    admin.execute("SELECT market_data_oltp.ensure_trade_partitions('{2024-06-03}')", &[]).await.unwrap();
    let rule = "ADD CONSTRAINT no_lucky_trades CHECK (trade_id <> '7777')";
    admin.batch_execute(&format!("ALTER TABLE {TABLE} {rule}")).await.unwrap();
    // Every statement of the consumer goes to the server's log.
    for setting in ["log_line_prefix = '%a %p|'", "log_statement = 'all'"] {
        admin.batch_execute(&format!("ALTER SYSTEM SET {setting}")).await.unwrap();
    }
    admin.execute("SELECT pg_reload_conf()", &[]).await.unwrap();

    let sender = Sender::new(&place);
    for number in 0..10_000 {
        let trade = trade(number);
        sender.send_to(Some(0), trade.symbol.as_str(), &encoded(&trade, 1));
    }
    sender.flush();
    let consumer = Running::start(&place);
    rows_stored(&place.database, 9_999).await;
    consumer.stop().await;

    assert_eq!(Sums::stored(&place.database).await.rows, 9_999);
    let letters = place.letters().await;
    assert_eq!(letters.len(), 1, "{letters:#?}");
    assert!(letters[0].reason.contains("no_lucky_trades") && letters[0].reason.contains("23514"), "{letters:#?}");
    assert_eq!(letters[0].payload_bytes(), Some(encoded(&trade(7777), 1)));

    let log = std::fs::read_to_string(folder.path().join("postgres.log")).unwrap();
    let copy = log.lines().find(|line| line.contains(&format!("COPY {TABLE}"))).unwrap();
    let session = copy.split('|').next().unwrap();
    let statements: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with(session))
        .filter(|line| line.contains("statement: ") || line.contains("execute "))
        .collect();
    let copied = statements.iter().position(|line| line.contains(&format!("COPY {TABLE}"))).unwrap();
    let first = statements[..copied].iter().rposition(|line| line.contains("BEGIN")).unwrap();
    let last = first + statements[first..].iter().position(|line| line.ends_with("statement: COMMIT")).unwrap();
    let usual = 5; // BEGIN, step, does a correction wait, COPY, COMMIT
    // The good rows are stored in the usual way once the bad one is known and its dead letter delivered.
    let extra = last + 1 - first - 2 * usual;
    assert!(
        extra <= 26,
        "{extra} extra statements, 2·log2(10,000) = 26.6 allowed:\n{}",
        statements[first..=last].join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn trades_without_an_id_are_never_merged() {
    let place = Place::new().await;
    place.make_topics().await;
    let mut twin = trade(1);
    twin.trade_id = None;
    let sender = Sender::new(&place);
    for _ in 0..10 {
        sender.send("AAPL", &encoded(&twin, 1));
    }
    sender.flush();
    let consumer = Running::start(&place);
    rows_stored(&place.database, 10).await;
    consumer.stop().await;
    let ids: String = place
        .database
        .connect()
        .await
        .query_one("SELECT string_agg(trade_id, ' ') FROM market_data_oltp.stock_trades_realtime", &[])
        .await
        .unwrap()
        .get(0);
    assert!(ids.split(' ').all(|id| id.starts_with("kafka:")), "{ids}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_anew_stops_the_consumer_with_a_sentence() {
    let place = Place::new().await;
    let consumer = Running::start(&place);
    place.make_topics().await;
    send_trades(&place, 0..100).await;
    rows_stored(&place.database, 100).await;
    consumer.stop().await;
    let client = place.database.connect().await;
    client.execute("UPDATE market_data_oltp.kafka_offsets SET next_offset = next_offset + 1000", &[]).await.unwrap();
    let sentence = Running::start(&place).failure().await;
    assert!(
        sentence.contains("made anew") && sentence.contains("DELETE FROM market_data_oltp.kafka_offsets"),
        "{sentence}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_consumers_start_at_once_on_an_empty_database() {
    let place = Place::new().await;
    place.make_topics().await;
    send_trades(&place, 0..5_000).await;
    let consumers: Vec<Running> = (0..8).map(|_| Running::start(&place)).collect();
    rows_stored(&place.database, 5_000).await;
    for consumer in consumers {
        consumer.stop().await;
    }
    assert_eq!(Sums::stored(&place.database).await, Sums::of_trades(0..5_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_and_column_says_what_it_holds() {
    let place = Place::new().await;
    let consumer = Running::start(&place);
    place.make_topics().await;
    send_trades(&place, 0..10).await;
    rows_stored(&place.database, 10).await;
    let silent: i64 = place
        .database
        .connect()
        .await
        .query_one(
            "SELECT count(*) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
             WHERE c.relnamespace = 'market_data_oltp'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
               AND NOT a.attisdropped
               AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(silent, 0);
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_listed_shown_and_replayed_once() {
    let place = Place::new().await;
    let consumer = Running::start(&place);
    place.make_topics().await;
    send_trades(&place, 0..10).await;
    rows_stored(&place.database, 10).await;
    let admin = place.database.connect().await;
    admin.batch_execute(&format!("ALTER TABLE {TABLE} ADD CONSTRAINT cheap CHECK (price < 1000)")).await.unwrap();
    let mut dear = trade(11);
    (dear.price, dear.trade_id) = (5000.0, None);
    let sender = Sender::new(&place);
    sender.send("TSLA", b"not a trade");
    sender.send("TSLA", &encoded(&dear, 1));
    sender.flush();
    let letters = eventually("2 dead letters", async || Some(place.letters().await).filter(|all| all.len() == 2)).await;
    consumer.stop().await;
    let id = |reason: &str| letters.iter().find(|letter| letter.reason.contains(reason)).unwrap().id();
    let (dear_id, broken_id) = (id("cheap"), id("not a record"));

    let (code, list) = place.command(CONSUMER, &["dead-letters", "list"]).await;
    assert_eq!(code, Some(0));
    assert!(list.contains(&dear_id) && list.contains(&broken_id) && list.contains("2 dead letters"), "{list}");
    let (_, shown) = place.command(CONSUMER, &["dead-letters", "show", &dear_id]).await;
    assert!(shown.contains("SQLSTATE 23514") && shown.contains("5000"), "{shown}");

    let replay = ["dead-letters", "replay", dear_id.as_str()];
    let (code, said) = place.command(CONSUMER, &replay).await;
    assert!(code == Some(1) && said.contains("refused again"), "{said}");
    admin.batch_execute(&format!("ALTER TABLE {TABLE} DROP CONSTRAINT cheap")).await.unwrap();
    let (code, said) = place.command(CONSUMER, &replay).await;
    assert!(code == Some(0) && said.contains("\tstored"), "{said}");
    let (code, said) = place.command(CONSUMER, &["dead-letters", "replay", "--all"]).await;
    assert!(
        code == Some(1) && said.contains("was stored before") && said.contains("refused again: not a record"),
        "{said}"
    );
    assert_eq!(Sums::stored(&place.database).await.rows, 11);

    assert_eq!(place.command(CONSUMER, &["dead-letters", "show", "nothing-0-0"]).await.0, Some(1));
    assert_eq!(place.command(CONSUMER, &["dead-letters", "burn"]).await.0, Some(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn days_past_keeping_are_removed_and_what_comes_too_late_is_a_dead_letter() {
    let mut place = Place::new().await;
    place.extra = vec![("RETENTION_DAYS", "30".to_owned())];
    place.make_topics().await;
    let settings = place.vars().load(PostgresConfig::from_vars).unwrap();
    let part = Health::new("test").part("postgres");
    sink::schema::migrate(&settings, "test", &part, &CancellationToken::new()).await.unwrap();
    let client = place.database.connect().await;
    client.execute("SELECT market_data_oltp.ensure_trade_partitions('{2013-10-07,2013-10-08}')", &[]).await.unwrap();

    let consumer = Running::start(&place);
    send_trades(&place, 0..3).await; // of 2024
    let mut recent = trade(3);
    recent.ts_ns = jiff::Timestamp::now().as_nanosecond().try_into().unwrap();
    let sender = Sender::new(&place);
    sender.send("AAPL", &encoded(&recent, 1));
    sender.flush();
    rows_stored(&place.database, 1).await;
    let letters = eventually("3 dead letters", async || Some(place.letters().await).filter(|all| all.len() == 3)).await;
    assert!(letters.iter().all(|letter| letter.reason.contains("first day that is kept")), "{letters:#?}");
    let days = "SELECT string_agg(day::text, ' ' ORDER BY day) FROM market_data_oltp.tapeline_counts";
    eventually("the old days' end", async || {
        let days: String = client.query_one(days, &[]).await.unwrap().get(0);
        (!days.contains("2013")).then_some(())
    })
    .await;
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let days: String = client.query_one(days, &[]).await.unwrap().get(0);
    assert!(days.contains(&today.to_string()) && days.contains(&today.tomorrow().unwrap().to_string()), "{days}");
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_on_ts_reads_only_the_days_it_names() {
    let place = Place::new().await;
    let consumer = Running::start(&place);
    place.make_topics().await;
    send_trades(&place, 0..10).await;
    rows_stored(&place.database, 10).await;
    consumer.stop().await;
    let client = place.database.connect().await;
    for filter in [
        "ts >= '2024-06-03 00:00Z' AND ts < '2024-06-04 00:00Z'",
        "ts_ns >= market_data_oltp.ns('2024-06-03 00:00Z') AND ts_ns < market_data_oltp.ns('2024-06-04 00:00Z')",
    ] {
        let plan = client.query(&format!("EXPLAIN SELECT count(*) FROM {TABLE} WHERE {filter}"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        // A plan may name a partition more than once: itself and its index.
        let day = |line: &String| line.split("stock_trades_realtime_p").nth(1).map(|rest| rest[..8].to_owned());
        let days: BTreeSet<String> = plan.iter().filter_map(day).collect();
        assert_eq!(days, BTreeSet::from(["20240603".to_owned()]), "{}", plan.join("\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_a_producer_creates_at_the_same_moment_stops_no_consumer() {
    let place = Place::new().await;
    let producer = place.database.connect().await;
    producer.batch_execute("BEGIN; CREATE SCHEMA market_data_oltp").await.unwrap();
    let consumer = Running::start(&place);
    let watch = place.database.connect().await;
    let waiting = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
                   WHERE NOT granted AND locktype = 'transactionid' AND datname = current_database()";
    eventually("a migration that waits for the producer's schema", async || {
        let row = watch.query_one(waiting, &[]).await.unwrap();
        (row.get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    producer.batch_execute("COMMIT").await.unwrap();
    let migrated = "SELECT count(*) FROM market_data_oltp.schema_history";
    eventually("the tables", async || watch.query_one(migrated, &[]).await.ok()).await;
    consumer.stop().await;
}
