//! The clockwork: one timer each for heartbeats, pings, gates and sweeps, none per connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use market::calendar::phase_at;
use service::health::Status;
use service::{CancellationToken, Health};
use tokio::time::{MissedTickBehavior, interval};

use crate::access::unix_ms;
use crate::delivery::budget::{ANSWERS, REPLAYS};
use crate::gateway::Gateway;

const GATES_EVERY: Duration = Duration::from_millis(10);
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Runs until `stop`.
///
/// # Errors
/// Never; the type is that of a supervised task.
pub async fn run(gateway: Arc<Gateway>, health: Health, stop: CancellationToken) -> anyhow::Result<()> {
    let ticks = |every| {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    };
    let (mut second, mut gates, mut sweep) = (ticks(Duration::from_secs(1)), ticks(GATES_EVERY), ticks(SWEEP_EVERY));
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = gates.tick() => gateway.hub.open_gates(Instant::now()),
            _ = second.tick() => {
                gateway.hub.cut_the_hopeless(Instant::now(), unix_ms());
                ping(&gateway);
                gateway.hub.announce("heartbeat", &heartbeat(&gateway, &health), true);
                count(&gateway);
            }
            _ = sweep.tick() => {
                gateway.hub.sweep(Instant::now());
                gateway.door.sweep(Instant::now());
            }
        }
    }
}

/// `{"time":…,"market":"open","feed_age_ms":12,"pipeline":"ok","redis":"up","data":"live"}`. The pipeline is `down` where this gateway cannot deliver,
/// `degraded` where any other service of it is not well.
#[must_use]
pub fn heartbeat(gateway: &Gateway, health: &Health) -> String {
    let now = unix_ms();
    let pipeline = match health.report().status {
        Status::Ok if gateway.feed.well() => "ok",
        Status::Ok | Status::Degraded => "degraded",
        Status::Down => "down",
    };
    serde_json::json!({
        "time": now,
        "market": phase_at(i64::try_from(now).unwrap_or(i64::MAX)).as_str(),
        "feed_age_ms": gateway.feed.age_ms(now),
        "pipeline": pipeline,
        "redis": if gateway.feed.connected() { "up" } else { "down" },
        "data": gateway.config.data.as_str(),
    })
    .to_string()
}

fn ping(gateway: &Gateway) {
    let limits = &gateway.config.door;
    for client in gateway.hub.everybody() {
        let encoding = client.encoding();
        let Some(ping) = encoding.ping() else { continue };
        if !encoding.answers() {
            client.heard();
        }
        if client.ping_due(limits.ping_interval, limits.ping_timeout) {
            client.say(Bytes::from_static(ping));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge")]
fn count(gateway: &Gateway) {
    metrics::gauge!("gateway_clients").set(gateway.hub.clients() as f64);
    metrics::gauge!("gateway_connections").set(gateway.door.connections() as f64);
    metrics::gauge!("gateway_sessions").set(gateway.door.sessions() as f64);
    metrics::gauge!("gateway_replay_bytes").set(gateway.hub.log_bytes() as f64);
    metrics::gauge!("gateway_replay_unsent_bytes").set(REPLAYS.used() as f64);
    metrics::gauge!("gateway_answers_unsent_bytes").set(ANSWERS.used() as f64);
    metrics::gauge!("gateway_gates_waiting").set(gateway.hub.waiting_gates() as f64);
    metrics::counter!("gateway_deliveries_total").absolute(gateway.hub.deliveries());
}
