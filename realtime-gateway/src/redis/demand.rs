//! Tells the producers which symbols the clients of this gateway want, so that the feed is asked for these and no more.
//!
//! Each message holds the whole list: one that was lost is made good by the next, and a gateway that died is forgotten by its silence.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use service::CancellationToken;
use tokio::time::{Instant, interval};

use crate::gateway::{Gateway, random_id};

/// How often a change is looked for: no more messages than this, however fast clients come and go.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often the list is repeated where it did not change.
const REPEAT_AFTER: Duration = Duration::from_secs(5);
/// Time for the last word at a stop.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Runs until `stop`. Redis being away is no failure: the list is sent again when it is back.
///
/// # Errors
/// Where the address of Redis is malformed.
pub async fn run(gateway: Arc<Gateway>, stop: CancellationToken) -> anyhow::Result<()> {
    let channel = &gateway.config.redis.channel_demand;
    let client = gateway.config.redis.client()?;
    let name = random_id();
    let mut look = interval(LOOK_EVERY);
    let mut connection: Option<MultiplexedConnection> = None;
    let mut told: Option<(u64, Instant)> = None;
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        let changes = gateway.hub.demand_changes();
        if told.is_some_and(|(before, at)| before == changes && at.elapsed() < REPEAT_AFTER) {
            continue;
        }
        let Some(redis) = stop.run_until_cancelled(connect(&client, &mut connection)).await.flatten() else { continue };
        told = publish(redis, channel, &name, &wanted(&gateway)).await.then(|| (changes, Instant::now()));
        if told.is_none() {
            connection = None;
        }
    }
    if let Some(redis) = &mut connection {
        let _ = tokio::time::timeout(GOODBYE_MAX, publish(redis, channel, &name, &[])).await; // silence says it too, later
    }
    Ok(())
}

fn wanted(gateway: &Gateway) -> Vec<String> {
    let mut symbols: Vec<String> = gateway.hub.followed_symbols().iter().map(ToString::to_string).collect();
    symbols.sort_unstable();
    symbols
}

async fn connect<'a>(
    client: &redis::Client,
    connection: &'a mut Option<MultiplexedConnection>,
) -> Option<&'a mut MultiplexedConnection> {
    if connection.is_none() {
        *connection = client.get_multiplexed_async_connection().await.ok();
    }
    connection.as_mut()
}

async fn publish(redis: &mut MultiplexedConnection, channel: &str, name: &str, symbols: &[String]) -> bool {
    let message = serde_json::json!({ "gateway": name, "symbols": symbols }).to_string();
    let told: redis::RedisResult<i64> = redis::cmd("PUBLISH").arg(channel).arg(message).query_async(redis).await;
    if let Err(error) = &told {
        tracing::debug!(%error, "cannot tell the wanted symbols");
    }
    told.is_ok()
}
