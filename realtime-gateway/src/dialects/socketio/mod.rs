//! Socket.IO. [`packet`] reads and writes its packets, [`session`] is the conversation, [`engine`] the layer below it (Engine.IO 4).
//! A client comes with a WebSocket ([`direct`]), or polls ([`polling`]) and may move to a WebSocket later ([`upgrade`]). Clients of
//! Engine.IO 3 are served by engineioxide ([`legacy`]).

pub mod direct;
pub mod engine;
pub mod legacy;
pub mod packet;
pub mod polling;
pub mod session;
pub mod upgrade;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use engineioxide::service::EngineIoService;
use tower::ServiceExt as _;

use crate::access::query_value;
use crate::gateway::Gateway;
use crate::http::body;
use polling::Polls;

/// What answers `/socket.io/`.
#[derive(Clone)]
pub struct SocketIo {
    gateway: Arc<Gateway>,
    polls: Arc<Polls>,
    legacy: EngineIoService<legacy::Handler>,
}

/// Why a request cannot be served, as the JavaScript server numbers it.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    UnknownTransport,
    UnknownSession,
    BadMethod,
    BadVersion,
}

impl SocketIo {
    /// Serves clients of `gateway`; `polls` are those that poll.
    #[must_use]
    pub fn new(gateway: &Arc<Gateway>, polls: &Arc<Polls>) -> Self {
        Self { gateway: Arc::clone(gateway), polls: Arc::clone(polls), legacy: legacy::service(gateway) }
    }
}

/// Finds out what kind of client asks.
pub async fn enter(State(socketio): State<SocketIo>, request: Request) -> Response {
    let [version, transport, sid] = ["EIO", "transport", "sid"].map(|name| query_value(request.uri().query(), name));
    let method = request.method().clone();
    match version.as_deref() {
        Some("4") => {}
        Some("3") => return socketio.legacy.oneshot(request).await.into_response(),
        _ => return Refusal::BadVersion.into_response(),
    }
    let poll = match &sid {
        Some(sid) => match socketio.polls.get(sid) {
            Some(poll) => Some(poll),
            None => return Refusal::UnknownSession.into_response(),
        },
        None => None,
    };
    match (transport.as_deref(), poll, method) {
        (Some("websocket"), None, _) => direct::accept(&socketio.gateway, request),
        (Some("websocket"), Some(poll), _) => upgrade::accept(&socketio.polls, poll, request),
        (Some("polling"), None, Method::GET) => socketio.polls.open(&socketio.gateway, &request),
        (Some("polling"), Some(poll), Method::GET) => socketio.polls.receive(&poll).await,
        (Some("polling"), Some(poll), Method::POST) => {
            match body::read(request, socketio.gateway.config.door.message_bytes_max).await {
                Ok(body) => socketio.polls.send(&poll, &body).await,
                Err(problem) => problem.into_response(),
            }
        }
        (Some("polling"), ..) => Refusal::BadMethod.into_response(),
        _ => Refusal::UnknownTransport.into_response(),
    }
}

impl Refusal {
    fn into_response(self) -> Response {
        let (code, message) = match self {
            Self::UnknownTransport => (0, "Transport unknown"),
            Self::UnknownSession => (1, "Session ID unknown"),
            Self::BadMethod => (2, "Bad handshake method"),
            Self::BadVersion => (5, "Unsupported protocol version"),
        };
        (StatusCode::BAD_REQUEST, Json(serde_json::json!({ "code": code, "message": message }))).into_response()
    }
}
