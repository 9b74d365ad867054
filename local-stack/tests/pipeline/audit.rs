//! The audit compares what the producer says that it sent with every hop after it: equal under load, and a loss at the end of a run is named.

use std::process::Stdio;
use std::time::{Duration, Instant};

use local_stack::{Kafka, service};

use crate::parts::Pipeline;

const PATIENCE: Duration = Duration::from_secs(60);
const SYMBOLS: &str = "AAPL,MSFT,GOOGL,SPY";

/// Exit code and everything that was printed.
async fn audit(pipeline: &Pipeline, more: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(service::binary("consumer-trades").unwrap());
    command.args(["audit", "--all"]).args(more).envs(pipeline.env.iter().cloned());
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code(), said)
}

/// Audits until it ends with `code` and `holds` is true of what it says.
async fn until_audit(pipeline: &Pipeline, code: i32, holds: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (ended, said) = audit(pipeline, &[]).await;
        if ended == Some(code) && holds(&said) {
            return said;
        }
        assert!(Instant::now() < deadline, "not {code} as expected but {ended:?}: {said}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_audits_under_load_are_equal_and_what_a_killed_producer_held_in_memory_is_named() {
    let kafka = Kafka::start_temporary().await.unwrap();
    let market =
        ["--symbols", SYMBOLS, "--rate", "1000", "--late-share", "0.02", "--late-max-seconds", "4", "--seed", "7"];
    let mut pipeline = Pipeline::with_market(&market, SYMBOLS).await;
    pipeline.set("KAFKA_BOOTSTRAP_SERVERS", &kafka.bootstrap());
    pipeline.set("LEADER_LEASE", "off");
    pipeline.set("PAST_BARS_DAYS", "0");
    pipeline.set("BACKFILL_HOLD_BACK_S", "600"); // no gap is healed for now
    let (_trades, _) = pipeline.start("consumer-trades", "CONSUMER_TRADES_PORT").await;
    let (_bars, _) = pipeline.start("consumer-bars", "CONSUMER_BARS_PORT").await;
    let (_api, api_port) = pipeline.start("bars-api", "API_PORT").await;
    let (mut producer, producer_port) = pipeline.start("producer", "PRODUCER_PORT").await;
    pipeline.until_stored(2_000, PATIENCE).await;
    let reports = |said: &str| said.contains("the producer reports ") && !said.contains("reports 0 sent");
    until_audit(&pipeline, 0, reports).await; // a report comes every five seconds

    let api = format!("http://127.0.0.1:{api_port}");
    for round in 0..10 {
        let (code, said) = audit(&pipeline, &["--api", &api]).await;
        assert_eq!(code, Some(0), "audit {round}: {said}");
        assert!(reports(&said), "audit {round}: {said}");
    }
    pipeline.set("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1");
    let (code, said) = audit(&pipeline, &[]).await;
    assert!(code == Some(2) && said.contains("could not be asked"), "{code:?}: {said}");
    pipeline.set("KAFKA_BOOTSTRAP_SERVERS", &kafka.bootstrap());

    // Kafka stands still, so what comes waits in memory; after three seconds it would go to disk.
    let holds = async |name| pipeline.metric(producer_port, name).await;
    let mut attempts = 0;
    loop {
        attempts += 1;
        assert!(attempts < 6, "the spool was faster than the kill each time");
        kafka.pause();
        while holds("producer_kafka_unacknowledged").await < 500.0 && holds("producer_spool_bytes").await == 0.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let in_memory = holds("producer_spool_bytes").await == 0.0;
        if in_memory {
            producer.kill().await;
        }
        kafka.resume();
        if in_memory {
            break;
        }
        while holds("producer_spool_bytes").await > 0.0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    producer.restart().await.unwrap();
    let named = ["producer → Kafka, ", " missing in the gap from ", "not healed: the producer was not running"];
    until_audit(&pipeline, 1, |said| named.iter().all(|part| said.contains(part))).await;

    // Once the gap is healed nothing is missing any more, and the audit still says what happened.
    assert!(producer.stop().await);
    pipeline.set("BACKFILL_HOLD_BACK_S", "1");
    let (healing, _) = pipeline.start("producer", "PRODUCER_PORT").await;
    let said = until_audit(&pipeline, 0, |said| said.contains("did not reach Kafka and were fetched again")).await;
    assert!(said.contains(", healed: the producer was not running"), "{said}");
    assert!(healing.stop().await);
}
