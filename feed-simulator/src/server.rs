//! The HTTP server: stream handshakes, REST and control on one port.

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;

use crate::app::{App, Credentials, Endpoint};
use crate::session::{Handshake, serve};
use crate::wire::Encoding;
use crate::{control, rest};

/// Longest message that a client may send, in bytes.
const CLIENT_MESSAGE_MAX: usize = 16 << 20;

/// All routes.
pub(crate) fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/v2/{feed}", any(handshake))
        .merge(rest::routes(app))
        .merge(control::routes())
        .with_state(Arc::clone(app))
}

async fn handshake(
    State(app): State<Arc<App>>,
    Path(feed): Path<String>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let Some(endpoint) = Endpoint::parse(&feed) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.max_message_size(CLIENT_MESSAGE_MAX).max_frame_size(CLIENT_MESSAGE_MAX),
        Err(rejection) => return rejection.into_response(),
    };
    if let Some(status) = app.faults.refusal() {
        return StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE).into_response();
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let encoding = match content_type {
        Some("application/msgpack") => Encoding::Msgpack,
        _ => Encoding::Json,
    };
    let credentials = Credentials::of_headers(&headers);
    let sessions = app.sessions.clone();
    upgrade.on_upgrade(move |socket| {
        sessions.track_future(serve(app, socket, Handshake { endpoint, encoding, credentials }))
    })
}
