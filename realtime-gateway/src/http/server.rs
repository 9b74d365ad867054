//! Accepts connections and speaks HTTP on them. Our own loop, because limits per address, time for a request's head and socket options
//! are nothing that the framework's server offers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use service::CancellationToken;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use crate::dialects::websocket::handshake::tune;
use crate::door::Place;
use crate::gateway::Gateway;

/// Wait after an accept that failed, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop`; connections that became sockets go on.
///
/// # Errors
/// Never for now; the type is that of a supervised task.
pub async fn run(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match gateway.door.enter(address.ip(), Instant::now()) {
            Ok(place) => {
                tune(&socket);
                tokio::spawn(serve(Arc::clone(&gateway), socket, address, place, router.clone(), stop.clone()));
            }
            Err(turned) => metrics::counter!("gateway_connects_refused_total", "reason" => turned.label()).increment(1),
        }
    }
}

async fn serve(
    gateway: Arc<Gateway>,
    socket: TcpStream,
    address: SocketAddr,
    place: Place,
    router: Router,
    stop: CancellationToken,
) {
    let place = Arc::new(place);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(address));
        // Goes along into the socket that this request may become, so that it counts until it ends.
        request.extensions_mut().insert(Arc::clone(&place));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(gateway.config.door.handshake_max)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown(); // what is being answered is answered
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection failed");
    }
}
