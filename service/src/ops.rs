//! `/health`, `/health/live`, `/health/ready` and `/metrics` for people, orchestrators and Prometheus.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use axum::Json;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::health::{Health, Liveness};
use crate::telemetry::Metrics;

/// How often recorded samples are folded.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The routes, to merge into a service's own router or to serve alone:
///
/// | route | code |
/// | --- | --- |
/// | `/health/live` | 200 for as long as the process answers at all; whoever restarts services asks here |
/// | `/health/ready` | 200 if the service can do its work, else 503; a load balancer asks here |
/// | `/health` | the same code, for people: every part, since when, and why |
/// | `/metrics` | 200, Prometheus's text format |
pub fn router(health: Health, metrics: Metrics) -> Router {
    let ready = health.clone();
    let report = move || async move {
        let report = health.report();
        let status = StatusCode::from_u16(report.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(report)).into_response()
    };
    let ready = move || async move {
        let report = ready.report();
        let status = StatusCode::from_u16(report.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(report.readiness())).into_response()
    };
    let render = move || async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()) };
    Router::new()
        .route("/health", get(report))
        .route("/health/live", get(|| async { Json(Liveness::default()) }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(render))
}

/// Serves the routes until `stop`.
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

/// Binds a listener for tokio; see [`listen`].
///
/// # Errors
/// With a sentence that names the address and what to do.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::from_std(listen(address)?).with_context(|| format!("cannot listen on {address}"))
}

/// Binds a listener. `[::]` takes IPv6 and IPv4, whatever the system's default is; on a machine without IPv6 it takes IPv4.
///
/// # Errors
/// With a sentence that names the address and what to do.
pub fn listen(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let listener = open(address).or_else(|error| match (address.ip(), error.raw_os_error()) {
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), Some(NO_SUCH_FAMILY)) => {
            open(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
        }
        _ => Err(error),
    });
    listener.with_context(|| format!("cannot listen on {address}: stop what uses this port or choose another"))
}

/// Linux's `EAFNOSUPPORT`: this machine has no IPv6.
const NO_SUCH_FAMILY: i32 = 97;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

fn open(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Folds metrics until `stop`; a service with its own HTTP server runs this beside it.
pub async fn upkeep(metrics: Metrics, stop: CancellationToken) {
    let mut tick = tokio::time::interval(UPKEEP_INTERVAL);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        metrics.upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn the_default_address_takes_both_families_and_a_taken_port_is_named() {
        let listener = bind("[::]:0".parse().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        if listener.local_addr().unwrap().is_ipv6() {
            TcpStream::connect(("::1", port)).await.unwrap();
        }
        let error = listen(SocketAddr::from(([127, 0, 0, 1], port))).unwrap_err().to_string();
        assert!(error.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{error}");
        let local = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        assert!(TcpStream::connect(("::1", local.local_addr().unwrap().port())).await.is_err());
    }
}
