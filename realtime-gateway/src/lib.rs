//! Redis in, Socket.IO, WebSocket and Server-Sent Events out; serves the dashboard and lends the history API its address.
//!
//! ```text
//! Redis ─ redis::subscriber ─▶ records::payload ─▶ records::batch ─▶ hub ─▶ delivery: one outbox ─┬▶ dialects::websocket
//!        everything that one    valid JSON with      encoded once      who     per client, bounded,   ├▶ dialects::socketio
//!        read brought           a symbol             per dialect       wants   conflates              └▶ http::sse
//!                                                                      it
//! ```
//!
//! The rooms, each allowed to use only those before it: [`records`] (what a record is, and its bytes for each kind of client), [`memory`]
//! (what can be sent again), [`subscriptions`] (who wants what, under which scope, how often), [`sessions`] (what waits for a client that
//! broke off), [`delivery`] (outboxes and sockets), [`hub`] (the one step that joins them), then [`redis`], [`dialects`] and [`http`].

pub mod access;
pub mod background;
pub mod config;
pub mod data_kind;
pub mod delivery;
pub mod dialects;
pub mod door;
pub mod drain;
pub mod files;
pub mod gateway;
pub mod heartbeat;
pub mod http;
pub mod hub;
pub mod memory;
mod metrics;
pub mod records;
pub mod redis;
pub mod sessions;
pub mod subscriptions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use service::telemetry::Metrics;
use service::{CancellationToken, Health, Tasks, ops};

pub use config::Config;
use dialects::socketio::polling::Polls;
use gateway::Gateway;
use http::pipeline::Pipeline;

/// Time for the tasks to end after clients were drained.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Runs the gateway until `stop`.
///
/// # Errors
/// Where the port is taken, or a task fails.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let metrics = Metrics::install(metrics::METRICS);
    let health = Health::new("realtime-gateway");
    let redis = health.part("redis");
    let listener = http::server::bind(SocketAddr::new(config.host, config.port))?;
    let address = listener.local_addr()?;
    let drain = config.drain;
    let gateway = Gateway::new(config)?;
    let polls = Arc::<Polls>::default();
    let pipeline = Pipeline::new(Arc::clone(&gateway), health.clone(), metrics.clone());
    let router = http::routes::router(&gateway, &polls, &health, &metrics, Arc::clone(&pipeline));

    // Sources and sockets outlive the stop signal by the time that clients get to leave.
    let drained = CancellationToken::new();
    let mut tasks = Tasks::new(&drained);
    let token = tasks.stop_token();
    tasks.spawn("redis", redis::subscriber::run(Arc::clone(&gateway), redis, token.clone()));
    tasks.spawn("demand", redis::demand::run(Arc::clone(&gateway), token.clone()));
    tasks.spawn("heartbeat", heartbeat::run(Arc::clone(&gateway), health, token.clone()));
    tasks.spawn("polling", dialects::socketio::polling::watch(polls, token.clone()));
    tasks.spawn("background", background::run(Arc::clone(&gateway), token.clone()));
    tasks.spawn("pipeline", http::pipeline::watch(pipeline, token.clone()));
    let serve = http::server::run(Arc::clone(&gateway), listener, router, stop.child_token());
    let (accepting, ended) = (stop.clone(), token.clone());
    tasks.spawn("http", async move {
        serve.await?;
        if accepting.is_cancelled() {
            ended.cancelled().await; // an ordinary stop: clients leave first
        }
        Ok(())
    });
    let upkeep = ops::upkeep(metrics, token);
    tasks.spawn("metrics", async move {
        upkeep.await;
        Ok(())
    });
    tracing::info!("listening on http://localhost:{}", address.port());
    let goodbye = async {
        stop.cancelled().await;
        drain::drain(&gateway, drain).await;
        drained.cancel();
        std::future::pending().await
    };
    tokio::select! {
        ended = tasks.run(STOP_MAX) => ended,
        () = goodbye => Ok(()),
    }
}
