//! The consumer behind a real PgBouncer in transaction mode: no transaction meets the session of the one before.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod support;

use local_stack::{PgBouncer, Postgres};
use market::{Correction, Outcome, VoidTrade, wire};
use support::{Place, Sender, Sums, encoded, eventually, rows_stored, send_trades, trade};

const CONSUMER: &str = env!("CARGO_BIN_EXE_consumer-trades");

#[tokio::test(flavor = "multi_thread")]
async fn consumers_migrate_store_merge_and_settle_through_a_pooler_in_transaction_mode() {
    const TRADES: u32 = 20_000;
    let postgres = Postgres::start_temporary().await.unwrap();
    postgres.create_database("market_data").await.unwrap();
    let bouncer = PgBouncer::start_temporary(postgres.port()).await.unwrap();
    let direct = local_stack::testing::of(&postgres, "market_data");
    let mut place = Place::new().await;
    place.database = direct.clone();
    place.database.port = bouncer.port();
    place.extra = vec![("BATCH_SIZE", "500".to_owned())];
    place.make_topics().await;

    // They migrate at once, and each takes some partitions.
    let consumers = [place.start(CONSUMER), place.start(CONSUMER), place.start(CONSUMER)];
    send_trades(&place, 0..TRADES).await;
    rows_stored(&direct, i64::from(TRADES)).await;

    // Everything once more, which goes through the temporary table, with a bad record and a correction in between.
    send_trades(&place, 0..TRADES / 2).await;
    let sender = Sender::new(&place);
    sender.send("AAPL", b"{");
    let last = trade(TRADES);
    sender.send(last.symbol.as_str(), &encoded(&last, u64::from(TRADES) + 1));
    sender.flush();
    let correction = Correction {
        void: VoidTrade {
            symbol: last.symbol,
            price: last.price,
            size: last.size,
            ts_ns: last.ts_ns,
            trade_id: last.trade_id.clone(),
            exchange: last.exchange.clone(),
        },
        outcome: Outcome::Cancelled("C".into()),
        source: last.source.clone(),
    };
    let mut json = Vec::new();
    wire::encode_correction(&correction, None, &mut json);
    let corrections = Sender::of_corrections(&place);
    corrections.send(last.symbol.as_str(), &json);
    corrections.flush();
    let client = direct.connect().await;
    let void = "SELECT count(*) FROM market_data_oltp.stock_trades_realtime WHERE void_at IS NOT NULL";
    eventually("the void trade", async || {
        (client.query_one(void, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    eventually("everything read", async || {
        let mut read = 0.0;
        for consumer in &consumers {
            read += consumer.metric("consumer_trades_rows_stored_total").await;
            read += consumer.metric("consumer_trades_duplicates_skipped_total").await;
        }
        (read >= f64::from(TRADES + TRADES / 2 + 1)).then_some(())
    })
    .await;
    assert_eq!(Sums::stored(&direct).await, Sums::of_trades(0..TRADES + 1));
    assert_eq!(place.letters().await.len(), 1);
    for consumer in consumers {
        assert_eq!(consumer.stop().await, Some(0));
    }

    // Nothing of a session was left behind for the next client of the pool.
    drop(client);
    let left: i64 = direct
        .connect()
        .await
        .query_one("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 0);
    drop(bouncer);
}
