//! Accepts connections and speaks HTTP on them. Our own loop, because limits per address, time for a request's head and socket options
//! are nothing that the framework's server offers.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use service::CancellationToken;
use service::web::admission::Admitted;
use service::web::request_id::{HEADER, given_or_new};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::io::{Impatient, Timely};
use super::problem::Problem;
use crate::dialects::websocket::handshake::tune;
use crate::gateway::Gateway;

/// Wait after an accept that failed, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time to say that there is no room.
const REFUSAL_MAX: Duration = Duration::from_secs(2);
/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1_024;

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
    let refusals = Arc::new(Semaphore::new(gateway.door.refusals_max()));
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
        match gateway.door.connect(address.ip(), Instant::now()) {
            Ok(admitted) => {
                tune(&socket);
                tokio::spawn(serve(Arc::clone(&gateway), socket, address, admitted, router.clone(), stop.clone()));
            }
            Err(refused) => {
                let problem = Problem::from(refused);
                // Beyond these, there is nothing left to answer with.
                if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
                    tokio::spawn(async move {
                        let _permit = permit;
                        let _ = timeout(REFUSAL_MAX, refuse(socket, problem)).await;
                    });
                }
            }
        }
    }
}

async fn serve(
    gateway: Arc<Gateway>,
    socket: TcpStream,
    address: SocketAddr,
    admitted: Admitted,
    router: Router,
    stop: CancellationToken,
) {
    let admitted = Arc::new(Connection(admitted));
    let body_max = gateway.config.door.handshake_max;
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(|body| axum::body::Body::new(Timely::new(body, body_max)));
        request.extensions_mut().insert(ConnectInfo(address));
        // Goes along into the socket that this request may become, so that it counts until it ends.
        request.extensions_mut().insert(Arc::clone(&admitted));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(gateway.config.door.handshake_max)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(Impatient::new(socket, gateway.config.hub.stalled_max)), service)
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

/// Says why a connection is not served, in answer to whatever it asks.
async fn refuse(socket: TcpStream, problem: Problem) {
    let service = service_fn(move |_: hyper::Request<Incoming>| {
        let mut response = problem.clone().into_response();
        let id = given_or_new(None);
        *response.body_mut() = axum::body::Body::from(problem.body(&id));
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(HEADER, id);
        }
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let served = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(socket), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "cannot say that there is no room");
    }
}

/// A listener on `address`. An unspecified IPv6 address takes IPv4 too; on a system without IPv6, IPv4 takes its place.
///
/// # Errors
/// With a sentence that names the address and what to do.
pub fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = listen(address).or_else(|error| {
        let only_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        let any = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        if any && error.kind() != io::ErrorKind::AddrInUse { listen(only_v4) } else { Err(error) }
    });
    listener.with_context(|| {
        format!("cannot listen on {address}: stop what uses this port, or set GATEWAY_HOST and GATEWAY_PORT")
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A connection's place in the counts.
struct Connection(#[expect(dead_code, reason = "held until the connection ends")] Admitted);
