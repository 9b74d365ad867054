//! Many clients over several gateways, and one connection to the feed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::client::Crowd;
use crate::parts::Pipeline;

const ALWAYS: &str = "AAPL";

/// Waits until the feed sees one connection that carries exactly these symbols.
async fn until_carried(pipeline: &Pipeline, wanted: &BTreeSet<String>) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let stats = pipeline.stats().await;
        let clients = stats["clients"].as_array().unwrap();
        assert!(clients.len() <= 1, "the feed never sees a second connection: {clients:?}");
        let carried =
            clients.iter().flat_map(|client| client["subscription"]["trades"].as_array().into_iter().flatten());
        let carried: BTreeSet<String> = carried.map(|name| name.as_str().unwrap().to_owned()).collect();
        if carried == *wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{carried:?} instead of {wanted:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_over_three_gateways_are_one_connection_and_exactly_the_union() {
    let symbols: Vec<String> = ('A'..='Z')
        .chain('A'..='N')
        .zip(1..)
        .map(|(letter, at)| format!("T{letter}{}", if at > 26 { "B" } else { "A" }))
        .collect();
    let market = format!("{ALWAYS},{}", symbols.join(","));
    let mut pipeline = Pipeline::with_market(&["--symbols", &market, "--rate", "200"], ALWAYS).await;
    pipeline.set("DEMAND_GRACE_S", "1");
    let (producer, _) = pipeline.start("producer", "PRODUCER_PORT").await;
    let always = BTreeSet::from([ALWAYS.to_owned()]);
    until_carried(&pipeline, &always).await;
    let mut gateways = Vec::new();
    for _ in 0..3 {
        gateways.push(pipeline.start("realtime-gateway", "GATEWAY_PORT").await);
    }
    let ports: Vec<u16> = gateways.iter().map(|(_, port)| *port).collect();

    let crowd = Crowd::start(&ports, 200, &symbols).await;
    let union: BTreeSet<String> = symbols.iter().cloned().chain([ALWAYS.to_owned()]).collect();
    until_carried(&pipeline, &union).await;
    crowd.leave().await;
    until_carried(&pipeline, &always).await;

    // A gateway that is killed says no goodbye: its silence does.
    let crowd = Crowd::start(&ports[..1], 10, &symbols[..3]).await;
    until_carried(&pipeline, &symbols[..3].iter().cloned().chain([ALWAYS.to_owned()]).collect()).await;
    gateways[0].0.kill().await;
    until_carried(&pipeline, &always).await;
    crowd.leave().await;
    assert!(producer.stop().await, "it stops by itself");
}
