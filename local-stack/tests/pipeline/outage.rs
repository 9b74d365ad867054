//! A feed that is cut in the middle of a day, and a producer that is killed: everything is stored once in the end, and everybody was told.
//!
//! `TAPELINE_OUTAGE_CUT_S` (default 5) and `TAPELINE_OUTAGE_DOWN_S` (default 2) say for how many seconds the feed is cut and the producer
//! is away. The day is replayed at a pace at which both have room in it.

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

/// Trades of the day whose time lies within a gap.
async fn trades_in_gaps(pipeline: &Pipeline) -> i64 {
    let query = "SELECT count(*) FROM market_data_oltp.stock_trades_realtime AS trade WHERE EXISTS (
                     SELECT FROM market_data_oltp.stock_feed_gaps AS gap
                     WHERE trade.ts >= gap.started_at AND trade.ts < gap.ended_at)";
    pipeline.database.connect().await.query_one(query, &[]).await.unwrap().get(0)
}

/// How long everything lasts.
struct Plan {
    /// The feed refuses connections.
    cut: Duration,
    /// The producer is not running.
    down: Duration,
    /// The whole day, from its first trade to its last.
    day: Duration,
}

impl Plan {
    /// The longest wait before the producer connects again.
    const RECONNECT_MAX: Duration = Duration::from_secs(60);
    /// For everything besides the outages.
    const STREAMING: Duration = Duration::from_secs(20);

    fn from_env() -> Self {
        let seconds = |name: &str, default: u64| {
            let text = std::env::var(name).unwrap_or_else(|_| default.to_string());
            let seconds = text.parse().ok().filter(|seconds| (1..=3600).contains(seconds));
            Duration::from_secs(seconds.unwrap_or_else(|| panic!("{name} is `{text}`, not 1 to 3600 seconds")))
        };
        let (cut, down) = (seconds("TAPELINE_OUTAGE_CUT_S", 5), seconds("TAPELINE_OUTAGE_DOWN_S", 2));
        Self { cut, down, day: (cut + cut.min(Self::RECONNECT_MAX) + down + Self::STREAMING) * 5 / 4 }
    }

    /// Messages a second at which `messages` last for the day.
    fn rate(&self, messages: usize) -> i64 {
        i64::try_from(messages).unwrap() / i64::try_from(self.day.as_secs()).unwrap()
    }
}

async fn until_gaps(
    pipeline: &Pipeline,
    what: &str,
    limit: Duration,
    holds: impl Fn(&[GapRow]) -> bool,
) -> Vec<GapRow> {
    let deadline = Instant::now() + limit;
    loop {
        let gaps = gaps(pipeline).await;
        if holds(&gaps) {
            return gaps;
        }
        assert!(Instant::now() < deadline, "{what}: {gaps:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_was_cut_and_a_producer_that_was_killed_leave_every_trade_once_and_two_gaps_that_were_told() {
    let (day, plan) = (Day::load(), Plan::from_env());
    let rate = plan.rate(day.ticks.len());
    let mut pipeline = Pipeline::prepare(&day, &format!("{rate}/s")).await;
    pipeline.set("BACKFILL_HOLD_BACK_S", "1");
    pipeline.set("PAST_BARS_DAYS", "0");
    let (gateway, gateway_port) = pipeline.start("realtime-gateway", "GATEWAY_PORT").await;
    let mut listener = Listener::start(gateway_port, &day.symbol).await;
    let (trades, trades_port) = pipeline.start("consumer-trades", "CONSUMER_TRADES_PORT").await;
    let (bars, bars_port) = pipeline.start("consumer-bars", "CONSUMER_BARS_PORT").await;
    let (mut producer, _) = pipeline.start("producer", "PRODUCER_PORT").await;
    let total = i64::try_from(day.ticks.len()).unwrap();

    let patience = Duration::from_secs(60);
    pipeline.until_stored(total / 8, plan.day / 8 + patience).await;
    pipeline.fault(&json!({"fault": "outage", "seconds": plan.cut.as_secs()})).await;
    let reconnected = plan.cut + Plan::RECONNECT_MAX + patience;
    until_gaps(&pipeline, "the cut is over", reconnected, |gaps| gaps.iter().any(|gap| gap.ended_ms.is_some())).await;
    let gaps = until_gaps(&pipeline, "the cut is healed", patience, |gaps| gaps.iter().any(|gap| gap.healed)).await;
    pipeline.until_safe(gaps[0].ended_ms.unwrap(), patience).await;

    producer.kill().await;
    let missed_from = pipeline.made().await;
    let missed = rate * i64::try_from(plan.down.as_secs()).unwrap();
    let deadline = Instant::now() + plan.down + patience;
    while pipeline.made().await < missed_from + missed {
        assert!(Instant::now() < deadline, "the market goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(pipeline.made().await < total, "the day goes on after the outage");
    producer.restart().await.unwrap();

    pipeline.until_stored(total, plan.day + Duration::from_secs(180)).await;
    let both = |gaps: &[GapRow]| gaps.len() == 2 && gaps.iter().all(|gap| gap.healed);
    let gaps = until_gaps(&pipeline, "both are healed", patience, both).await;
    assert_eq!(pipeline.stored().await, total);
    assert_same_minutes(&pipeline.minutes().await, &day.minutes());
    assert_eq!(pipeline.dead_letters(trades_port).await + pipeline.dead_letters(bars_port).await, 0.0);
    assert!(gaps.iter().all(|gap| gap.ended_ms > Some(gap.started_ms)), "{gaps:?}");
    assert!(!gaps[0].cause.is_empty() && gaps[0].cause != gaps[1].cause, "{gaps:?}");
    assert_eq!(gaps[1].cause, "the producer was not running");
    let (sent, in_gaps) = (pipeline.sent().await, trades_in_gaps(&pipeline).await);
    println!("{total} trades, {sent} of them over the stream; {in_gaps} lie in gaps: {gaps:#?}");
    assert!(total - sent >= missed, "the outages were real");
    assert!(in_gaps >= total - sent, "what the stream did not carry lies in a gap");

    // Its farewell is the last thing that clients hear of the producer, so every event before it has come.
    assert!(producer.stop().await, "it stops by itself");
    let (mut begun, mut healed) = (Vec::new(), Vec::new());
    while healed.len() < 2 {
        let (event, gap) = listener.next(Duration::from_secs(20)).await;
        match event.as_str() {
            "gap" => begun.push(gap["from"].as_i64().unwrap()),
            "healed" => {
                assert!(gap["records"].as_i64() > Some(0) && gap["verified_at"].is_i64(), "what it rests on: {gap}");
                healed.push(gap["from"].as_i64().unwrap());
            }
            _ => assert!(gap["to"].is_i64() && gap.get("healed_at").is_none(), "only a gap's end is a status: {gap}"),
        }
    }
    let started: Vec<i64> = gaps.iter().map(|gap| gap.started_ms).collect();
    healed.sort_unstable();
    assert_eq!((&begun, &healed), (&started, &started), "one `gap` and one `healed` for each");
    assert!(trades.stop().await && bars.stop().await && gateway.stop().await, "all stop by themselves");
}
