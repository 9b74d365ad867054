//! The history API: what is in PostgreSQL, over HTTP. It reads and never writes.
//!
//! A request goes [`params`] (valid or 400) → [`answer`] (known and still true?) → [`history`] (pages of any timeframe) →
//! [`db`] (SQL) → [`render`] (JSON). Whatever fails on the way becomes a [`problem`].

pub mod access;
pub mod answer;
pub mod app;
pub mod companies;
pub mod config;
pub mod db;
pub mod dto;
pub mod format;
pub mod history;
pub mod indicators;
pub mod many;
mod metrics;
pub mod middleware;
pub mod newest;
pub mod openapi;
pub mod params;
pub mod problem;
pub mod quote;
pub mod rate;
pub mod remembered;
pub mod render;
pub mod reply;
pub mod roll_up;
pub mod routes;
pub mod state;
pub mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::{HttpServer, web};
use anyhow::Context as _;
use service::{CancellationToken, Health, Tasks};

pub use config::Config;

use crate::db::Database;
use crate::state::State;

/// How long requests that are being answered may take after a stop is asked for, in seconds.
const DRAIN_MAX_S: u64 = 10;

/// Serves until `stop`; then answers what it has begun.
///
/// # Errors
/// Where the address cannot be bound, or a task fails.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let health = Health::new("bars-api");
    let part = health.part("postgres");
    let state = State::new(&config, health)?;
    let server = serve(&config, &state)?;

    let mut tasks = Tasks::new(&stop);
    let (upkeep, metrics) = (tasks.stop_token(), state.metrics.clone());
    tasks.spawn("metrics", async move {
        service::ops::upkeep(metrics, upkeep).await;
        Ok(())
    });
    let probes = Database::new(&config, "bars-api-health", 1, Arc::default(), None)?;
    tasks.spawn("health", watch::watch(probes, part, tasks.stop_token()));
    let handle = server.handle();
    let stopping = tasks.stop_token();
    tasks.spawn("http", async move {
        let stopper = async {
            stopping.cancelled().await;
            handle.stop(true).await;
        };
        tokio::join!(async { server.await.context("the HTTP server failed") }, stopper).0
    });
    tasks.run(Duration::from_secs(DRAIN_MAX_S + 2)).await
}

fn serve(config: &Config, state: &State) -> anyhow::Result<actix_web::dev::Server> {
    let states: Vec<_> = state.per_thread(config)?.into_iter().map(web::Data::new).collect();
    let (next, origins) = (Arc::new(AtomicUsize::new(0)), config.origins.clone());
    let address = config.address;
    let app = move || {
        let state = &states[next.fetch_add(1, Ordering::Relaxed) % states.len()];
        app::app(state.clone(), origins.clone())
    };
    let bound = HttpServer::new(app)
        .workers(config.workers)
        .shutdown_timeout(DRAIN_MAX_S)
        .disable_signals()
        .listen(service::ops::listen(address)?)?;
    for bound in bound.addrs() {
        tracing::info!("listening on http://{bound}");
    }
    Ok(bound.run())
}
