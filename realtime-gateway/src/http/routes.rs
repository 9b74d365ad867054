//! Which address is answered by whom.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use service::telemetry::Metrics;
use service::web::origin::Origins;
use service::web::request_id::Lines;
use service::{Health, ops};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::pipeline::{self, Pipeline};
use super::problem::Problem;
use super::request_id;
use super::{dashboard, proxy, sse, token};
use crate::access::{Grant, credential, query_value};
use crate::dialects::socketio::polling::Polls;
use crate::dialects::socketio::{self, SocketIo};
use crate::dialects::websocket::handshake;
use crate::dialects::websocket::plain::{self, Address};
use crate::gateway::Gateway;

/// The whole address space of the gateway.
pub fn router(
    gateway: &Arc<Gateway>,
    polls: &Arc<Polls>,
    health: &Health,
    metrics: &Metrics,
    pipeline: Arc<Pipeline>,
) -> Router {
    let pipeline = Router::new()
        .route("/api/pipeline", get(pipeline::look).with_state(pipeline))
        .route_layer(middleware::from_fn(everything));
    let guarded = Router::new()
        .route("/api/bars/{*path}", any(proxy::bars))
        .route("/api/market/{*path}", any(proxy::same))
        .with_state(Arc::clone(gateway))
        .merge(pipeline)
        .route_layer(middleware::from_fn_with_state(Arc::clone(gateway), guard));
    let socketio = Router::new()
        .route("/socket.io/", any(socketio::enter))
        .route("/socket.io", any(socketio::enter))
        .with_state(SocketIo::new(gateway, polls));
    let sockets = Router::new()
        .route("/ws", get(ws))
        .route("/api/socket", get(api_socket))
        .route("/stream", get(sse::open))
        .with_state(Arc::clone(gateway))
        .merge(socketio)
        .route_layer(middleware::from_fn_with_state(Arc::clone(gateway), begin_session))
        .route_layer(middleware::from_fn_with_state(Arc::clone(gateway), check_origin));
    let tokens = Router::new()
        .route("/api/token", post(token::issue))
        .route("/api/websocket-token", post(token::notification))
        .with_state(Arc::clone(gateway));
    let router = Router::new()
        .merge(guarded)
        .merge(sockets)
        .merge(tokens)
        .route("/api/{*path}", any(unknown))
        .merge(ops::router(health.clone(), metrics.clone()));
    dashboard::serve(router, &gateway.config.dashboard_dir)
        .layer(middleware::from_fn_with_state(Arc::<Lines>::default(), request_id::around))
        .layer(cors(gateway))
}

async fn ws(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    plain::accept(&gateway, Address::Ws, request)
}

async fn api_socket(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    plain::accept(&gateway, Address::Socket, request)
}

async fn unknown() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no such address; /api/bars/…, /api/market/…, /api/pipeline and /api/token exist",
    )
}

/// Lets requests through that bring a token or key, where one is needed, and notes what it covers.
async fn guard(State(gateway): State<Arc<Gateway>>, mut request: Request, next: Next) -> Response {
    match gateway.access.admit(credential(request.headers(), request.uri().query()).as_deref()) {
        Ok(grant) => {
            request.extensions_mut().insert(grant);
            next.run(request).await
        }
        Err(denied) => Problem::from(denied).into_response(),
    }
}

/// Behind [`guard`]: lets those through whose scope covers everything.
async fn everything(Extension(grant): Extension<Grant>, request: Request, next: Next) -> Response {
    if grant.scope.is_all() {
        return next.run(request).await;
    }
    Problem::new(
        StatusCode::FORBIDDEN,
        "your token covers some symbols or streams only; this answer is about all of them",
    )
    .into_response()
}

/// Gives each new session its place in the counts. A Socket.IO request with a `sid` belongs to a session that has one, or to none.
async fn begin_session(State(gateway): State<Arc<Gateway>>, mut request: Request, next: Next) -> Response {
    let session = query_value(request.uri().query(), "sid").filter(|sid| !sid.is_empty());
    if session.is_none() || !request.uri().path().starts_with("/socket.io") {
        match gateway.door.begin(&request, Instant::now()) {
            Ok(place) => request.extensions_mut().insert(place),
            Err(refused) => return Problem::from(refused).into_response(),
        };
    }
    next.run(request).await
}

/// Browsers enforce CORS for requests but not for WebSockets: pages from elsewhere are turned away here.
async fn check_origin(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    if handshake::is_wanted(request.headers()) && !may_ask(&gateway.config.origins, request.headers()) {
        metrics::counter!("gateway_connects_refused_total", "reason" => "origin").increment(1);
        return Problem::new(StatusCode::FORBIDDEN, "this page's origin is not in FRONTEND_URL").into_response();
    }
    next.run(request).await
}

/// Whether a request may open a connection: programs send no `Origin` and are let in.
fn may_ask(origins: &Origins, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    text(header::ORIGIN).is_none_or(|origin| origins.allow(origin, text(header::HOST)))
}

fn cors(gateway: &Arc<Gateway>) -> CorsLayer {
    let origins = gateway.config.origins.clone();
    let allowed = move |origin: &HeaderValue, request: &request::Parts| {
        let host = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        origin.to_str().is_ok_and(|origin| origins.allow(origin, host))
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::HEAD])
        .allow_headers([
            header::CONTENT_TYPE,
            header::AUTHORIZATION,
            header::IF_NONE_MATCH,
            HeaderName::from_static("x-api-key"),
            HeaderName::from_static(service::web::request_id::HEADER),
        ])
        .expose_headers([
            header::ETAG,
            header::RETRY_AFTER,
            HeaderName::from_static(service::web::request_id::HEADER),
            HeaderName::from_static("x-ratelimit-limit"),
            HeaderName::from_static("x-ratelimit-remaining"),
            HeaderName::from_static("x-ratelimit-reset"),
            HeaderName::from_static("x-complete"),
            HeaderName::from_static("x-as-of"),
            HeaderName::from_static("x-next-page-token"),
        ])
}
