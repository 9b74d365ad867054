//! A short form of `make chaos`: everything is killed, frozen and starved once or more, and every trade is stored once.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use local_stack::chaos::{Options, run};

#[tokio::test(flavor = "multi_thread")]
async fn killed_frozen_and_without_disk_the_cold_path_loses_and_doubles_nothing() {
    // Always the same plan, so that a failure is the fault of what changed; `make chaos` makes a new one each time.
    let options = Options { kills: 8, seconds: 25, seed: Some(2026), rate: 500, kafka_away: 0, outage_max: 8 };
    run(&options, |line| println!("{line}")).await.unwrap();
}
