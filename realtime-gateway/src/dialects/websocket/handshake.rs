//! Takes a connection over from the HTTP server.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::door::Place;
use crate::http::io::Impatient;

/// Kernel memory for unsent bytes. More would hide a stalled client for longer and cost more for each of them.
const SEND_BUFFER_BYTES: usize = 128 << 10;

/// Whether a request wants to become a WebSocket.
#[must_use]
pub fn is_wanted(headers: &HeaderMap) -> bool {
    has_token(headers, header::UPGRADE, "websocket") && has_token(headers, header::CONNECTION, "upgrade")
}

fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// Answers the handshake and runs `serve` with the connection and what was already read of it.
pub fn accept<F>(request: Request, serve: impl FnOnce(TcpStream, Bytes) -> F + Send + 'static) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let headers = request.headers();
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let Some(key) = key.filter(|_| request.method() == Method::GET && is_wanted(headers)) else {
        return (StatusCode::BAD_REQUEST, "this address speaks WebSocket\n").into_response();
    };
    if version.is_none_or(|version| version != "13") {
        return (StatusCode::UPGRADE_REQUIRED, [(header::SEC_WEBSOCKET_VERSION, "13")]).into_response();
    }
    let accept = derive_accept_key(key.as_bytes());
    let place = request.extensions().get::<Arc<Place>>().cloned();
    tokio::spawn(async move {
        let _place = place; // counts as inside until the socket ends
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        // The server below hands out nothing but TCP connections.
        let Ok(parts) = upgraded.downcast::<TokioIo<Impatient>>() else { return };
        serve(parts.io.into_inner().into_inner(), parts.read_buf).await;
    });
    let headers = [
        (header::UPGRADE, "websocket".to_owned()),
        (header::CONNECTION, "Upgrade".to_owned()),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response()
}

/// Sets what every connection needs: no waiting for more to send, little kernel memory.
pub fn tune(socket: &TcpStream) {
    let socket = SockRef::from(socket);
    let tuned = socket.set_tcp_nodelay(true).and_then(|()| socket.set_send_buffer_size(SEND_BUFFER_BYTES));
    if let Err(error) = tuned {
        tracing::debug!(%error, "cannot tune a socket");
    }
}
