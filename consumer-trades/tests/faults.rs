//! The consumer as a program of its own, killed, frozen, multiplied and cut off: the table holds every trade once all the same.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use local_stack::{Folder, Kafka, Postgres, port};
use support::{PATIENCE, Place, Program, Sender, Sums, encoded, eventually, rows_stored, send_trades, trade};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_postgres::Client;

const CONSUMER: &str = env!("CARGO_BIN_EXE_consumer-trades");

/// Everything is there once, and nothing was taken for a bad record.
async fn assert_stored_once(place: &Place, trades: u32) {
    rows_stored(&place.database, i64::from(trades)).await;
    assert_eq!(Sums::stored(&place.database).await, Sums::of_trades(0..trades));
    assert_eq!(place.letters().await, []);
}

/// `/health` is unwell and names the part that is away.
async fn says_down(consumer: &Program, part: &str) {
    let named = format!(r#""{part}":{{"status":"down""#);
    eventually(&named, async || {
        let page = consumer.page("/health").await?;
        (page.starts_with("HTTP/1.1 503") && page.contains(&named)).then_some(())
    })
    .await;
}

/// A consumer that has stored a thousand trades, whose next transaction is on its way and waits for a lock; and who holds that.
async fn held_at_the_gate(place: &mut Place, trades: u32) -> (Program, Client) {
    place.extra = vec![("SINK_CONNECTIONS", "1".to_owned())];
    place.make_topics().await;
    let consumer = place.start(CONSUMER);
    send_trades(place, 0..1_000).await;
    rows_stored(&place.database, 1_000).await;
    let gate = place.database.connect().await;
    gate.batch_execute("BEGIN; SELECT FROM market_data_oltp.kafka_offsets FOR UPDATE").await.unwrap();
    send_trades(place, 1_000..trades).await;
    let watch = place.database.connect().await;
    eventually("a transaction that waits at the gate", async || {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        (watch.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    (consumer, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_in_the_middle_it_loses_and_doubles_nothing() {
    const TRADES: u32 = 60_000;
    let mut place = Place::new().await;
    place.extra = vec![("BATCH_SIZE", "500".to_owned())]; // many transactions to be killed in
    place.make_topics().await;
    send_trades(&place, 0..TRADES).await;
    for part in 1..=4 {
        let consumer = place.start(CONSUMER);
        rows_stored(&place.database, i64::from(TRADES) * part / 5).await;
        consumer.kill().await;
    }
    let consumer = place.start(CONSUMER);
    assert_stored_once(&place, TRADES).await;
    assert_eq!(consumer.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_sleeps_through_losing_its_partitions_cannot_write_one_row() {
    const TRADES: u32 = 20_000;
    let mut place = Place::new().await;
    let (sleeper, gate) = held_at_the_gate(&mut place, TRADES).await;
    sleeper.freeze();
    gate.batch_execute("COMMIT").await.unwrap();

    // Another one takes over, although the sleeper's transaction is open and holds the rows it needs.
    let successor = place.start(CONSUMER);
    assert_stored_once(&place, TRADES).await;
    sleeper.thaw();
    eventually("the sleeper's rollback", async || {
        (sleeper.metric("consumer_trades_batches_contested_total").await >= 1.0).then_some(())
    })
    .await;
    assert_stored_once(&place, TRADES).await;
    assert_eq!(successor.stop().await, Some(0));
    assert_eq!(sleeper.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_stopped_while_the_group_waits_for_it_leaves() {
    let mut place = Place::new().await;
    let (first, gate) = held_at_the_gate(&mut place, 2_000).await;

    // It is asked to give partitions back and must not do so, because a batch of theirs still waits to be stored.
    let second = place.start(CONSUMER);
    eventually("a group of two", async || (place.members_of_the_group().await == 2).then_some(())).await;
    sleep(Duration::from_millis(500)).await; // the request to give back is on its way
    let stopping = tokio::spawn(first.stop());
    sleep(Duration::from_millis(500)).await;
    gate.batch_execute("COMMIT").await.unwrap();
    assert_eq!(stopping.await.unwrap(), Some(0));

    assert_stored_once(&place, 2_000).await;
    assert_eq!(second.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_come_and_go_under_load() {
    const TRADES: u32 = 60_000;
    let mut place = Place::new().await;
    place.extra = vec![("BATCH_SIZE", "500".to_owned())];
    place.make_topics().await;
    let first = place.start(CONSUMER);
    send_trades(&place, 0..TRADES / 3).await;
    rows_stored(&place.database, 5_000).await;
    let second = place.start(CONSUMER);
    let third = place.start(CONSUMER);
    send_trades(&place, TRADES / 3..TRADES).await;
    eventually("all three at work", async || {
        for consumer in [&first, &second, &third] {
            if consumer.metric("consumer_trades_partitions").await < 1.0 {
                return None;
            }
        }
        Some(())
    })
    .await;
    for consumer in [&first, &second, &third] {
        let contested = consumer.metric("consumer_trades_batches_contested_total").await;
        assert_eq!(contested, 0.0, "who gives a partition back has stored all of it before");
    }
    assert_eq!(first.stop().await, Some(0));
    assert_eq!(second.stop().await, Some(0));
    assert_stored_once(&place, TRADES).await;
    assert_eq!(third.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stands_still_pauses_reading_and_the_group_goes_on() {
    const TRADES: u32 = 60_000;
    let mut place = Place::new().await;
    place.extra = vec![("BATCH_SIZE", "500".to_owned())];
    place.make_topics().await;
    let first = place.start(CONSUMER);
    send_trades(&place, 0..1_000).await;
    rows_stored(&place.database, 1_000).await;

    let gate = place.database.connect().await;
    gate.batch_execute("BEGIN; SELECT FROM market_data_oltp.kafka_offsets FOR UPDATE").await.unwrap();
    send_trades(&place, 1_000..TRADES).await;
    eventually("the pause", async || (first.metric("consumer_trades_paused").await == 1.0).then_some(())).await;
    let read = first.metric("consumer_trades_records_read_total").await;
    assert!(read < f64::from(TRADES) / 2.0, "{read} records in memory");

    // It answers the group all the same: another one gets its share although nothing can be drained.
    let second = place.start(CONSUMER);
    eventually("a share for the second", async || {
        (second.metric("consumer_trades_partitions").await >= 1.0).then_some(())
    })
    .await;
    assert!(first.metric("consumer_trades_partitions").await >= 1.0, "the first is still a member");
    gate.batch_execute("COMMIT").await.unwrap();
    assert_stored_once(&place, TRADES).await;
    assert_eq!(first.stop().await, Some(0));
    assert_eq!(second.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgresql_or_kafka_is_away_it_waits_and_says_so() {
    const TRADES: u32 = 30_000;
    let (mut kafka, mut postgres) =
        (Kafka::start_temporary().await.unwrap(), Postgres::start_temporary().await.unwrap());
    postgres.create_database("market_data").await.unwrap();
    let mut place = Place::on_own(&kafka, &postgres, "market_data");
    place.extra = vec![("BATCH_SIZE", "500".to_owned())];
    place.make_topics().await;

    postgres.stop().await; // away at the start
    let consumer = place.start(CONSUMER);
    says_down(&consumer, "postgres").await;
    postgres.restart().await.unwrap();
    send_trades(&place, 0..TRADES / 3).await;
    rows_stored(&place.database, 1_000).await;

    postgres.kill().await; // away in the middle
    send_trades(&place, TRADES / 3..TRADES / 2).await;
    says_down(&consumer, "postgres").await;
    postgres.restart().await.unwrap();
    rows_stored(&place.database, i64::from(TRADES / 2)).await;

    kafka.kill().await;
    says_down(&consumer, "kafka").await;
    kafka.restart().await.unwrap();
    send_trades(&place, TRADES / 2..TRADES).await;
    assert_stored_once(&place, TRADES).await;

    eventually("health", async || {
        consumer.page("/health").await.filter(|page| page.starts_with("HTTP/1.1 200")).map(drop)
    })
    .await;
    assert_eq!(consumer.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_read_only_makes_it_wait_and_no_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let mut postgres = Postgres::start(Folder::lasting(folder.path()).unwrap(), port::free().unwrap()).await.unwrap();
    postgres.create_database("market_data").await.unwrap();
    let mut place = Place::new().await;
    place.database = local_stack::testing::of(&postgres, "market_data");
    place.make_topics().await;
    let consumer = place.start(CONSUMER);
    send_trades(&place, 0..1_000).await;
    rows_stored(&place.database, 1_000).await;

    // A standby, as after a fail-over that went the wrong way: it answers, and takes no row.
    postgres.stop().await;
    std::fs::write(folder.path().join("postgres/data/standby.signal"), "").unwrap();
    postgres.restart().await.unwrap();
    send_trades(&place, 1_000..2_000).await;
    eventually("the reason in /health", async || {
        let page = consumer.page("/health").await?;
        page.contains("during recovery").then_some(())
    })
    .await;
    place.database.connect().await.execute("SELECT pg_promote()", &[]).await.unwrap();
    assert_stored_once(&place, 2_000).await;
    assert_eq!(consumer.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_of_the_database_for_transactions_do_no_harm() {
    const DAYS: u32 = 4;
    for isolation in ["repeatable read", "serializable"] {
        let mut place = Place::new().await;
        place.extra = vec![("BATCH_SIZE", "50".to_owned())];
        let admin = place.database.connect().await;
        let name = &place.database.name;
        admin
            .batch_execute(&format!(
                "ALTER DATABASE \"{name}\" SET default_transaction_isolation TO '{isolation}';
                 ALTER DATABASE \"{name}\" SET default_transaction_read_only TO on;
                 ALTER DATABASE \"{name}\" SET statement_timeout TO '1s'"
            ))
            .await
            .unwrap();
        place.make_topics().await;
        // Days begin while several consumers store, each in two sessions.
        let consumers = [place.start(CONSUMER), place.start(CONSUMER), place.start(CONSUMER)];
        for consumer in &consumers {
            eventually("partitions for each", async || {
                (consumer.metric("consumer_trades_partitions").await >= 1.0).then_some(())
            })
            .await;
        }
        let sender = Sender::new(&place);
        for number in 0..DAYS * 200 {
            let mut trade = trade(number);
            trade.ts_ns += i64::from(number / 200) * 86_400_000_000_000;
            sender.send(trade.symbol.as_str(), &encoded(&trade, u64::from(number) + 1));
        }
        sender.flush();
        rows_stored(&place.database, i64::from(DAYS) * 200).await;
        for consumer in consumers {
            assert_eq!(consumer.stop().await, Some(0), "{isolation}");
        }
        assert_eq!(place.letters().await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_another_session_has_created_is_no_error_in_an_old_snapshot() {
    let place = Place::new().await;
    place.make_topics().await;
    let consumer = place.start(CONSUMER);
    send_trades(&place, 0..1).await;
    rows_stored(&place.database, 1).await;
    let (old, other) = (place.database.connect().await, place.database.connect().await);
    let ensure = "SELECT market_data_oltp.ensure_trade_partitions('{2031-05-05}')";
    old.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class").await.unwrap();
    other.execute(ensure, &[]).await.unwrap();
    old.execute(ensure, &[]).await.unwrap();
    old.batch_execute("COMMIT").await.unwrap();
    assert_eq!(consumer.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_counts_and_health_recovers_at_once() {
    let mut place = Place::new().await;
    let proxy = Proxy::start(place.database.port).await;
    let direct = place.database.clone();
    place.database.port = proxy.port;
    place.extra = vec![("SINK_CONNECTIONS", "1".to_owned())];
    place.make_topics().await;
    let consumer = place.start(CONSUMER);
    send_trades(&place, 0..1_000).await;
    rows_stored(&direct, 1_000).await;
    proxy.lose_next_commit.store(true, Ordering::SeqCst);
    send_trades(&place, 1_000..1_001).await;
    eventually("a lost answer", async || (!proxy.lose_next_commit.load(Ordering::SeqCst)).then_some(())).await;

    // Nothing more comes, and nobody has to wait for it.
    eventually("health", async || {
        let counted = consumer.metric("consumer_trades_rows_stored_total").await;
        let page = consumer.page("/health").await?;
        (counted >= 1_001.0 && page.starts_with("HTTP/1.1 200")).then_some(())
    })
    .await;
    assert_eq!(consumer.metric("consumer_trades_batches_contested_total").await, 0.0);
    place.database = direct;
    assert_stored_once(&place, 1_001).await;
    assert_eq!(consumer.stop().await, Some(0));
}

/// Stands between a consumer and PostgreSQL, and on demand swallows the answer to the commit of a batch: the server has it, the client hears
/// of it as of a lost connection.
struct Proxy {
    port: u16,
    lose_next_commit: Arc<AtomicBool>,
}

impl Proxy {
    async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let lose_next_commit = Arc::new(AtomicBool::new(false));
        let lose = Arc::clone(&lose_next_commit);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Self::carry(client, server, Arc::clone(&lose)));
            }
        });
        Self { port, lose_next_commit }
    }

    async fn carry(client: TcpStream, server: u16, lose: Arc<AtomicBool>) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let stores_trades = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stores_trades);
        let up = async move {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
                if bytes[..read].windows(b"PGCOPY".len()).any(|window| window == b"PGCOPY") {
                    seen.store(true, Ordering::SeqCst);
                }
                if to_server.write_all(&bytes[..read]).await.is_err() {
                    break;
                }
            }
        };
        let down = async move {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
                let committed = bytes[..read].windows(b"COMMIT\0".len()).any(|window| window == b"COMMIT\0");
                let of_trades = stores_trades.load(Ordering::SeqCst);
                if committed && of_trades && lose.swap(false, Ordering::SeqCst) {
                    break;
                }
                if to_client.write_all(&bytes[..read]).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! { () = up => {}, () = down => {} }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_in_time_while_postgresql_is_away_and_goes_on_later() {
    let mut postgres = Postgres::start_temporary().await.unwrap();
    postgres.create_database("market_data").await.unwrap();
    let mut place = Place::new().await;
    place.database = local_stack::testing::of(&postgres, "market_data");
    place.make_topics().await;
    let consumer = place.start(CONSUMER);
    send_trades(&place, 0..1_000).await;
    rows_stored(&place.database, 1_000).await;
    postgres.stop().await;
    send_trades(&place, 1_000..2_000).await;
    says_down(&consumer, "postgres").await;
    let code = tokio::time::timeout(Duration::from_secs(20), consumer.stop()).await.expect("it stops in time");
    assert_eq!(code, Some(0));
    postgres.restart().await.unwrap();
    let consumer = place.start(CONSUMER);
    assert_stored_once(&place, 2_000).await;
    assert_eq!(consumer.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_in_time_while_kafka_is_away_and_goes_on_later() {
    let mut kafka = Kafka::start_temporary().await.unwrap();
    let mut place = Place::new().await;
    place.kafka = kafka.bootstrap();
    place.extra = vec![("KAFKA_SESSION_TIMEOUT_MS", "20000".to_owned())]; // longer than a stop may take
    place.make_topics().await;
    let consumer = place.start(CONSUMER);
    send_trades(&place, 0..1_000).await;
    rows_stored(&place.database, 1_000).await;
    kafka.kill().await;
    says_down(&consumer, "kafka").await;
    let code = tokio::time::timeout(Duration::from_secs(20), consumer.stop()).await.expect("it stops in time");
    assert_eq!(code, Some(0));
    kafka.restart().await.unwrap();
    let consumer = place.start(CONSUMER);
    send_trades(&place, 1_000..2_000).await;
    assert_stored_once(&place, 2_000).await;
    assert_eq!(consumer.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_end_it_with_64_before_it_does_anything() {
    let mut place = Place::new().await;
    place.extra = vec![("BATCH_SIZE", "many".to_owned()), ("POSTGRES_PORT", "0".to_owned())];
    let mut consumer = place.start(CONSUMER);
    let code = tokio::time::timeout(PATIENCE, consumer.exit_code()).await.unwrap();
    assert_eq!(code, Some(64));
}
