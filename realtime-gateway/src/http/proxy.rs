//! `/api/bars/…` and `/api/market/…`, answered by the history API: same query, same answer, streamed through.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use service::web::problem::echo;
use service::web::routes::Route;
use service::web::without_token;
use tokio::time::timeout;

use super::problem::Problem;
use crate::access::Grant;
use crate::gateway::Gateway;

/// Time for the head of the answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// What of a request reaches the API. Not the credentials: those are for this gateway, which has its own for the API.
const PASSED_ON: [&str; 4] = ["accept", "accept-encoding", "if-none-match", "x-request-id"];
/// What of an answer reaches the client.
const PASSED_BACK: [&str; 17] = [
    "content-type",
    "content-length",
    "content-encoding",
    "etag",
    "cache-control",
    "last-modified",
    "retry-after",
    "vary",
    "link",
    "x-complete",
    "x-as-of",
    "x-next-page-token",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "server-timing",
    "age",
];

/// Asks the API for `/bars/…` when the client asked for `/api/bars/…`.
pub async fn bars(
    State(gateway): State<Arc<Gateway>>,
    Extension(grant): Extension<Grant>,
    request: Request,
) -> Response {
    let path = request.uri().path().strip_prefix("/api").unwrap_or_default().to_owned();
    answer(&gateway, &grant, &path, request.into_parts().0).await
}

/// Asks the API for the same path.
pub async fn same(
    State(gateway): State<Arc<Gateway>>,
    Extension(grant): Extension<Grant>,
    request: Request,
) -> Response {
    let path = request.uri().path().to_owned();
    answer(&gateway, &grant, &path, request.into_parts().0).await
}

async fn answer(gateway: &Gateway, grant: &Grant, path: &str, request: Parts) -> Response {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "history is only read: use GET");
        return ([(header::ALLOW, "GET, HEAD")], problem).into_response();
    }
    // Only listed routes are passed on, in our own spelling: the API answers this gateway's key on more than its clients may see.
    let Some(route) = Route::find(path) else {
        let detail = format!("`{}` is not a route of the history, or not a symbol", echo(request.uri.path()));
        return Problem::new(StatusCode::NOT_FOUND, detail).into_response();
    };
    let query = without_token(request.uri.query().unwrap_or_default());
    match route.check(&grant.scope, &query) {
        Ok(narrowed) => forward(gateway, &route.path, &narrowed.unwrap_or(query), request).await,
        Err(problem) => Problem::from(problem).into_response(),
    }
}

async fn forward(gateway: &Gateway, path: &str, query: &str, request: Parts) -> Response {
    let separator = if query.is_empty() { "" } else { "?" };
    let url = format!("{}{path}{separator}{query}", gateway.config.bars_api_url);
    let mut asked = gateway.ask_history(request.method, url);
    for name in PASSED_ON {
        if let Some(value) = request.headers.get(name) {
            asked = asked.header(name, value);
        }
    }
    match timeout(ANSWER_MAX, asked.send()).await {
        Err(_) => {
            let detail = format!("the history API did not answer within {} seconds; try again", ANSWER_MAX.as_secs());
            Problem::new(StatusCode::GATEWAY_TIMEOUT, detail).into_response()
        }
        Ok(Err(error)) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "the history API cannot be reached");
            let detail = "the history API cannot be reached; live data goes on, try again in a moment";
            ([(header::RETRY_AFTER, "2")], Problem::new(StatusCode::BAD_GATEWAY, detail)).into_response()
        }
        Ok(Ok(answer)) if matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            tracing::warn!(
                "the history API rejects this gateway's key: the first of API_KEYS must be one of the API's, too"
            );
            let detail =
                "the history API does not accept this gateway's own key; its operator has to set API_KEYS alike";
            Problem::new(StatusCode::BAD_GATEWAY, detail).into_response()
        }
        Ok(Ok(answer)) => {
            let (status, headers) = (answer.status(), picked(answer.headers()));
            (status, headers, Body::from_stream(answer.bytes_stream())).into_response()
        }
    }
}

fn picked(headers: &HeaderMap) -> HeaderMap {
    let names = PASSED_BACK.iter().map(|name| HeaderName::from_static(name));
    names.filter_map(|name| headers.get(&name).map(|value| (name, value.clone()))).collect()
}
