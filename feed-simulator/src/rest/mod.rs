//! REST over the same data: what the stream sent is found here again, with the same ids and times.

mod latest;
pub mod page;
mod points;
mod query;
mod trading;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::app::{App, Credentials};
use crate::rate_limit::{self, RateLimit};
use crate::symbols::SymbolId;
use crate::venue::Market;

/// An answer that says what is wrong, as Alpaca does: `{"message":"…"}`.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"message": self.message}))).into_response()
    }
}

/// A body that is JSON already.
fn json_body(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=UTF-8")], body).into_response()
}

/// The market that knows a symbol: the main one, or the one behind the test endpoint.
fn market_of<'a>(app: &'a App, symbol: &str) -> Option<(&'a Arc<Market>, SymbolId)> {
    [&app.main, &app.test].into_iter().find_map(|market| Some((market, market.symbols.id(symbol)?)))
}

/// The routes of the data host and of the trading host.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let data = Router::new()
        .route("/v2/stocks/bars", get(points::bars))
        .route("/v2/stocks/trades", get(points::trades))
        .route("/v2/stocks/{symbol}/bars", get(points::bars_of))
        .route("/v2/stocks/{symbol}/trades", get(points::trades_of))
        .route("/v2/stocks/bars/latest", get(latest::bars))
        .route("/v2/stocks/trades/latest", get(latest::trades))
        .route("/v2/stocks/quotes/latest", get(latest::quotes))
        .route("/v2/stocks/{symbol}/bars/latest", get(latest::bar_of))
        .route("/v2/stocks/{symbol}/trades/latest", get(latest::trade_of))
        .route("/v2/stocks/{symbol}/quotes/latest", get(latest::quote_of))
        .route("/v2/stocks/snapshots", get(latest::snapshots))
        .route("/v2/stocks/{symbol}/snapshot", get(latest::snapshot_of))
        .route_layer(from_fn_with_state(Arc::clone(app), guard_data));
    let trading = Router::new()
        .route("/v2/clock", get(trading::clock))
        .route("/v2/calendar", get(trading::calendar))
        .route_layer(from_fn_with_state(Arc::clone(app), guard_trading));
    data.merge(trading)
}

async fn guard_data(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    guard(&app, &app.data_requests, request, next).await
}

async fn guard_trading(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    guard(&app, &app.trading_requests, request, next).await
}

/// Faults, keys and the rate limit, in this order; the limit's headers are on every answer.
async fn guard(app: &App, limit: &RateLimit, request: Request, next: Next) -> Response {
    if let Some((status, reset)) = app.faults.rest_failure() {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let text = status.canonical_reason().unwrap_or("error").to_lowercase();
        let mut response = Refusal::new(status, text).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            put_headers(response.headers_mut(), limit.size(), 0, rate_limit::epoch_after(reset));
        }
        return response;
    }
    let Some(credentials) = Credentials::of_headers(request.headers()) else {
        return Refusal::new(StatusCode::UNAUTHORIZED, "authentication headers are missing").into_response();
    };
    if !app.accepts(&credentials) {
        return Refusal::new(StatusCode::FORBIDDEN, "forbidden.").into_response();
    }
    let taken = limit.take();
    let mut response = match taken.allowed {
        true => next.run(request).await,
        false => Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many requests.").into_response(),
    };
    put_headers(response.headers_mut(), limit.size(), taken.remaining, taken.reset);
    response
}

fn put_headers(headers: &mut HeaderMap, limit: u32, remaining: u32, reset: Duration) {
    headers.insert("X-RateLimit-Limit", HeaderValue::from(limit));
    headers.insert("X-RateLimit-Remaining", HeaderValue::from(remaining));
    headers.insert("X-RateLimit-Reset", HeaderValue::from(reset.as_secs()));
}
