//! Outages with the stamps and histories that real feeds have, against the real simulator and real Kafka: the gap covers everything that was
//! missed, and it is called healed only when that is true.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod stack;

use std::collections::BTreeSet;
use std::time::Duration;

use feed_simulator::Simulator;
use jiff::{Timestamp, ToSpan as _};
use local_stack::{Kafka, Service};
use market::{Gap, NS_PER_MS};
use serde_json::json;

use stack::{control, eventually, freeze, gaps, history, key, metric, producer, simulator_with, trades};

const PATIENCE: Duration = Duration::from_secs(60);

/// Sends every client a trade with this stamp that the market never made.
async fn inject(simulator: &Simulator, id: u64, stamp: Timestamp) {
    let trade =
        json!([{"T": "t", "S": "AAPL", "i": id, "x": "V", "p": 100.5, "s": 7, "t": stamp.to_string(), "z": "C"}]);
    control(simulator, "inject", &json!({"text": trade.to_string()})).await;
}

async fn reconnects(producer: &Service, times: f64) {
    eventually("the feed is back", PATIENCE, async || {
        metric(producer, "producer_feed_reconnects_total{feed=\"alpaca\"}").await >= times
    })
    .await;
}

/// The last version of the newest gap, once it is healed, and the reasons why it was not before.
async fn healed(producer: &Service, kafka: &Kafka, after: i64) -> (Gap, Vec<String>) {
    // Before the first gap is healed its topic may not be ready to be read.
    eventually("a gap is healed", PATIENCE, async || metric(producer, "producer_backfilled_total").await > 0.0).await;
    let newest = || {
        let versions: Vec<Gap> = gaps(kafka).into_iter().filter(|gap| gap.from > after).collect();
        let healed = versions.iter().find(|gap| gap.healed_at.is_some()).cloned();
        healed.map(|healed| (healed, versions.into_iter().filter_map(|gap| gap.reason).collect()))
    };
    eventually("the gap is healed", PATIENCE, async || newest().is_some()).await;
    newest().unwrap()
}

/// Everything that the market made up to the end of `gap` is in Kafka; behind it, trades are on their way.
async fn nothing_is_missing(simulator: &Simulator, kafka: &Kafka, since: Timestamp, gap: &Gap) {
    let to_ns = gap.to.unwrap() * NS_PER_MS;
    let keys: BTreeSet<_> = trades(kafka).iter().map(|(trade, _)| key(trade)).collect();
    let since_ns = i64::try_from(since.as_nanosecond()).unwrap();
    let made = history(simulator, since_ns).await;
    let missing: Vec<_> = made.difference(&keys).filter(|(_, ts_ns, ..)| *ts_ns <= to_ns).collect();
    assert!(missing.is_empty(), "{} trades are missing, such as {:?}", missing.len(), missing.first());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_stamps_and_histories_say_a_gap_covers_what_was_missed_and_healed_is_true() {
    let folder = tempfile::tempdir().unwrap();
    let kafka = Kafka::start_temporary().await.unwrap();
    let simulator =
        simulator_with(500, &["--late-share", "0.05", "--late-max-seconds", "4", "--quote-share", "0"]).await;
    let producer = producer(&simulator, &kafka, folder.path()).await;
    eventually("records flow", PATIENCE, async || metric(&producer, "producer_kafka_acknowledged_total").await > 500.0)
        .await;
    let since = Timestamp::now();

    // A stamp of 37 minutes ahead, an outage, and a history that is another feed's for a while.
    inject(&simulator, 1, since + 37.minutes()).await;
    control(&simulator, "faults", &json!({"fault": "history_other", "seconds": 12})).await;
    let cut = Timestamp::now().as_millisecond();
    control(&simulator, "faults", &json!({"fault": "outage", "seconds": 3})).await;
    reconnects(&producer, 1.0).await;
    let (gap, reasons) = healed(&producer, &kafka, 0).await;
    assert!(gap.from <= cut && gap.to.unwrap() >= cut + 3000, "{gap:?} does not cover {cut}");
    assert!(gap.to.unwrap() < cut + 60_000, "{gap:?} was moved by a stamp");
    assert!(reasons.iter().any(|reason| reason.contains("another feed's")), "{reasons:?}");
    nothing_is_missing(&simulator, &kafka, since, &gap).await;

    // The market pauses before the reconnect; the only record that comes is stamped one second after the outage began. And the history
    // leaves a record out: of the answer that is only compared with the stream, where one decides nothing, and of the one that is handed on.
    control(&simulator, "faults", &json!({"fault": "history_drop", "count": 2})).await;
    let cut = Timestamp::now().as_millisecond();
    control(&simulator, "faults", &json!({"fault": "outage", "seconds": 5})).await;
    tokio::time::sleep(Duration::from_secs(3)).await; // these trades are missed
    freeze(&simulator).await;
    let paused = Timestamp::now().as_millisecond();
    eventually("the feed is back", PATIENCE, async || {
        let stats = reqwest::get(format!("http://{}/control/stats", simulator.address())).await.unwrap();
        let stats: serde_json::Value = stats.json().await.unwrap();
        stats["clients"].as_array().is_some_and(|clients| !clients.is_empty())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await; // it subscribes
    inject(&simulator, 2, Timestamp::from_millisecond(cut + 1000).unwrap()).await;
    let (gap, reasons) = healed(&producer, &kafka, gap.from + 3000).await;
    assert!(gap.from <= cut && gap.to.unwrap() >= paused, "{gap:?} does not cover {cut} to {paused}");
    assert!(reasons.iter().any(|reason| reason.contains("not settled")), "a dropped record is noticed: {reasons:?}");
    assert!(gap.records > Some(0) && gap.verified_at.is_some() && gap.reason.is_none(), "{gap:?}");
    nothing_is_missing(&simulator, &kafka, since, &gap).await;
    assert!(producer.stop().await, "a graceful stop");
}

/// What the producer remembers of second looks that it owes.
fn looks(folder: &std::path::Path) -> Vec<String> {
    let text = std::fs::read(folder.join("spool/journal.json")).unwrap_or_default();
    let journal: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    journal["looks"].as_object().map(|looks| looks.keys().cloned().collect()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_look_that_is_owed_outlives_a_kill_and_keeps_nobody_from_being_well() {
    let folder = tempfile::tempdir().unwrap();
    let kafka = Kafka::start_temporary().await.unwrap();
    let ahead = ["--early-share", "0.05", "--early-max-seconds", "15", "--quote-share", "0"];
    let simulator = simulator_with(500, &ahead).await;
    let mut producer = producer(&simulator, &kafka, folder.path()).await;
    eventually("records flow", PATIENCE, async || {
        metric(&producer, "producer_kafka_acknowledged_total").await > 1000.0
    })
    .await;
    let since = Timestamp::now();
    control(&simulator, "faults", &json!({"fault": "outage", "seconds": 2})).await;
    reconnects(&producer, 1.0).await;
    let (gap, _) = healed(&producer, &kafka, 0).await;
    eventually("the look is remembered", PATIENCE, async || !looks(folder.path()).is_empty()).await;
    let owed = looks(folder.path()).remove(0);
    let port = local_stack::server::Kind::port(producer.kind()).unwrap();
    let status = async || {
        let answer = local_stack::http::get(port, "/health").await.unwrap().body;
        let report: serde_json::Value = serde_json::from_str(&answer).unwrap();
        report["parts"]["backfill-alpaca"]["status"].as_str().unwrap_or_default().to_owned()
    };
    eventually("a look that waits is no complaint", PATIENCE, async || status().await == "ok").await;

    producer.kill().await;
    producer.restart().await.unwrap();
    eventually("the look was taken", PATIENCE, async || {
        metric(&producer, "producer_second_looks_total").await > 0.0 && !looks(folder.path()).contains(&owed)
    })
    .await;
    nothing_is_missing(&simulator, &kafka, since, &gap).await;
    assert!(producer.stop().await, "a graceful stop");
}
