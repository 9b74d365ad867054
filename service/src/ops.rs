//! `/health` and `/metrics` for people, orchestrators and Prometheus.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Json;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::telemetry::Metrics;

/// How often recorded samples are folded.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The two routes, to merge into a service's own router or to serve alone.
pub fn router(health: Health, metrics: Metrics) -> Router {
    let report = move || async move {
        let report = health.report();
        let status = StatusCode::from_u16(report.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(report)).into_response()
    };
    let render = move || async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()) };
    Router::new().route("/health", get(report)).route("/metrics", get(render))
}

/// Serves the two routes until `stop`.
///
/// # Errors
/// Where the address cannot be bound; the message names it.
pub async fn serve(
    address: SocketAddr,
    health: Health,
    metrics: Metrics,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = bind(address).await?;
    let keep = upkeep(metrics.clone(), stop.clone());
    let served = axum::serve(listener, router(health, metrics)).with_graceful_shutdown(stop.cancelled_owned());
    let (served, ()) = tokio::join!(served.into_future(), keep);
    served.context("the health and metrics endpoint failed")
}

/// Binds a listener.
///
/// # Errors
/// With a sentence that names the address and what to do.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: stop what uses this port or choose another"))
}

/// Folds metrics until `stop`; a service with its own HTTP server runs this beside it.
pub async fn upkeep(metrics: Metrics, stop: CancellationToken) {
    let mut tick = tokio::time::interval(UPKEEP_INTERVAL);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        metrics.upkeep();
    }
}
