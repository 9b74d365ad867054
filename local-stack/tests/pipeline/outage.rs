//! A feed that is cut in the middle of a day, and a producer that is killed: everything is stored once in the end, and everybody was told.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::client::Listener;
use crate::day::{Day, assert_same_minutes};
use crate::parts::Pipeline;

/// A row of the table of gaps.
#[derive(Debug)]
struct GapRow {
    started_ms: i64,
    ended_ms: Option<i64>,
    cause: String,
    healed: bool,
}

async fn gaps(pipeline: &Pipeline) -> Vec<GapRow> {
    let client = pipeline.database.connect().await;
    let query = "SELECT started_at, ended_at, cause, healed_at IS NOT NULL, symbol
                 FROM market_data_oltp.stock_feed_gaps WHERE source = 'alpaca' ORDER BY started_at";
    let ms =
        |time: SystemTime| i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let row = |row: tokio_postgres::Row| {
        assert_eq!(row.get::<_, &str>(4), "*", "an outage is one row, not one a symbol");
        let ended_ms = row.get::<_, Option<SystemTime>>(1).map(ms);
        GapRow { started_ms: ms(row.get(0)), ended_ms, cause: row.get(2), healed: row.get(3) }
    };
    client.query(query, &[]).await.unwrap_or_default().into_iter().map(row).collect()
}

async fn until_gaps(pipeline: &Pipeline, what: &str, holds: impl Fn(&[GapRow]) -> bool) -> Vec<GapRow> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let gaps = gaps(pipeline).await;
        if holds(&gaps) {
            return gaps;
        }
        assert!(Instant::now() < deadline, "{what}: {gaps:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Seconds stand for minutes: the feed is cut for five, the producer is killed and away for two.
#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_was_cut_and_a_producer_that_was_killed_leave_every_trade_once_and_two_gaps_that_were_told() {
    let day = Day::load();
    let mut pipeline = Pipeline::prepare(&day, "600/s").await;
    pipeline.set("BACKFILL_HOLD_BACK_S", "1");
    pipeline.set("PAST_BARS_DAYS", "0");
    let (gateway, gateway_port) = pipeline.start("realtime-gateway", "GATEWAY_PORT").await;
    let mut listener = Listener::start(gateway_port, &day.symbol).await;
    let (trades, trades_port) = pipeline.start("consumer-trades", "CONSUMER_TRADES_PORT").await;
    let (bars, bars_port) = pipeline.start("consumer-bars", "CONSUMER_BARS_PORT").await;
    let (mut producer, _) = pipeline.start("producer", "PRODUCER_PORT").await;
    let total = i64::try_from(day.ticks.len()).unwrap();

    pipeline.until_stored(total / 8, Duration::from_secs(60)).await;
    pipeline.fault(&json!({"fault": "outage", "seconds": 5})).await;
    until_gaps(&pipeline, "the cut is over", |gaps| gaps.iter().any(|gap| gap.ended_ms.is_some())).await;
    let gaps = until_gaps(&pipeline, "the cut is healed", |gaps| gaps.iter().any(|gap| gap.healed)).await;
    pipeline.until_safe(gaps[0].ended_ms.unwrap(), Duration::from_secs(30)).await;

    producer.kill().await;
    let missed_from = pipeline.made().await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while pipeline.made().await < missed_from + 1200 {
        assert!(Instant::now() < deadline, "the market goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(pipeline.made().await < total, "the day goes on after the outage");
    producer.restart().await.unwrap();

    pipeline.until_stored(total, Duration::from_secs(180)).await;
    let gaps =
        until_gaps(&pipeline, "both are healed", |gaps| gaps.len() == 2 && gaps.iter().all(|gap| gap.healed)).await;
    assert_eq!(pipeline.stored().await, total);
    assert_same_minutes(&pipeline.minutes().await, &day.minutes());
    assert_eq!(pipeline.dead_letters(trades_port).await + pipeline.dead_letters(bars_port).await, 0.0);
    assert!(gaps.iter().all(|gap| gap.ended_ms > Some(gap.started_ms)), "{gaps:?}");
    assert!(!gaps[0].cause.is_empty() && gaps[0].cause != gaps[1].cause, "{gaps:?}");
    assert_eq!(gaps[1].cause, "the producer was not running");

    // Its farewell is the last thing that clients hear of the producer, so every event before it has come.
    assert!(producer.stop().await, "it stops by itself");
    let (mut begun, mut healed) = (Vec::new(), Vec::new());
    while healed.len() < 2 {
        let (event, gap) = listener.next(Duration::from_secs(20)).await;
        match event.as_str() {
            "gap" => begun.push(gap["from"].as_i64().unwrap()),
            "healed" => healed.push(gap["from"].as_i64().unwrap()),
            _ => assert!(gap["to"].is_i64() && gap.get("healed_at").is_none(), "only a gap's end is a status: {gap}"),
        }
    }
    let started: Vec<i64> = gaps.iter().map(|gap| gap.started_ms).collect();
    healed.sort_unstable();
    assert_eq!((&begun, &healed), (&started, &started), "one `gap` and one `healed` for each");
    assert!(trades.stop().await && bars.stop().await && gateway.stop().await, "all stop by themselves");
}
