//! `/api/bars/…` and `/api/market/…`, answered by the history API: same query, same answer, streamed through.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::time::timeout;

use super::problem::Problem;
use crate::gateway::Gateway;

/// Time for the head of the answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// What of a request reaches the API. Not the credentials: those are for this gateway, which has its own for the API.
const PASSED_ON: [&str; 4] = ["accept", "accept-encoding", "if-none-match", "x-request-id"];
/// What of an answer reaches the client.
const PASSED_BACK: [&str; 15] = [
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
    "x-request-id",
    "server-timing",
    "age",
];

/// Asks the API for `/bars/…` where the client asked for `/api/bars/…`.
pub async fn bars(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let path = request.uri().path().strip_prefix("/api").unwrap_or_default().to_owned();
    forward(&gateway, &path, request.into_parts().0).await
}

/// Asks the API for the same path.
pub async fn same(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    forward(&gateway, &path, request.into_parts().0).await
}

async fn forward(gateway: &Gateway, path: &str, request: Parts) -> Response {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "history is only read: use GET");
        return ([(header::ALLOW, "GET, HEAD")], problem).into_response();
    }
    let query = without_token(request.uri.query());
    let url = format!("{}{path}{query}", gateway.config.bars_api_url);
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

/// The query as it came, less the token, which is nobody else's business.
fn without_token(query: Option<&str>) -> String {
    let kept: Vec<&str> =
        query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("token=")).collect();
    if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_passes_as_it_came_and_the_token_does_not() {
        assert_eq!(
            without_token(Some("start=2024-01-02T10%3A00:00Z&token=abc&limit=5")),
            "?start=2024-01-02T10%3A00:00Z&limit=5"
        );
        assert_eq!(without_token(Some("token=abc")), "");
        assert_eq!(without_token(None), "");
    }
}
