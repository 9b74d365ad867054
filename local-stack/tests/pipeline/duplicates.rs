//! A feed that repeats itself: each trade is stored once, and an operator sees how many came twice.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::day::{Day, assert_same_minutes};
use crate::parts::Pipeline;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_feed_says_twice_is_stored_once_and_counted_as_a_duplicate() {
    let day = Day::load();
    let mut pipeline = Pipeline::prepare(&day, "2000/s").await;
    pipeline.set("PAST_BARS_DAYS", "0");
    let (trades, port) = pipeline.start("consumer-trades", "CONSUMER_TRADES_PORT").await;
    let (producer, _) = pipeline.start("producer", "PRODUCER_PORT").await;
    let total = i64::try_from(day.ticks.len()).unwrap();
    pipeline.until_stored(total / 8, Duration::from_secs(60)).await;
    pipeline.fault(&json!({"fault": "duplicate", "count": 2000})).await;
    pipeline.until_stored(total, Duration::from_secs(120)).await;

    let twice = pipeline.sent().await - total;
    assert!(twice > 1000, "{twice} trades were sent twice");
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        #[expect(clippy::cast_possible_truncation, reason = "a count")]
        let counted = pipeline.metric(port, "consumer_trades_duplicates_skipped_total").await as i64;
        if counted == twice {
            break;
        }
        assert!(Instant::now() < deadline, "{counted} of {twice} duplicates are counted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(pipeline.stored().await, total);
    assert_same_minutes(&pipeline.minutes().await, &day.minutes());
    assert_eq!(pipeline.dead_letters(port).await, 0.0, "a duplicate is no error");
    assert!(producer.stop().await && trades.stop().await, "all stop by themselves");
}
