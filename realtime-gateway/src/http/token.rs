//! `POST /api/token` and `POST /api/websocket-token`.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use http_body_util::LengthLimitError;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::problem::Problem;
use crate::access::{Claims, credential};
use crate::gateway::Gateway;

/// Largest body: a token may name some hundred symbols.
const BODY_BYTES_MAX: usize = 8 << 10;
/// Time for the body to arrive.
const BODY_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    symbols: Option<Vec<String>>,
    streams: Option<Vec<String>>,
    history: Option<bool>,
    /// Seconds.
    expires_in: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct NotificationWish {
    symbol: String,
}

/// A token scoped to symbols and streams, for whoever holds an API key.
///
/// # Errors
/// 401 without a key, 400 for a request that makes no sense, 413 and 408 for a body that is too large or too slow.
pub async fn issue(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Json<Value>, Problem> {
    let body = authorised_body(&gateway, request).await?;
    let wish: Wish = if body.is_empty() { Wish::default() } else { read(&body)? };
    let life = wish.expires_in.map(Duration::from_secs);
    let claims = Claims { symbols: wish.symbols, streams: wish.streams, history: wish.history, ..Claims::default() };
    let claims = in_one_spelling(claims)?;
    let (token, claims) = gateway.access.issue(claims, life);
    Ok(Json(
        json!({ "token": token, "token_type": "Bearer", "expires_in": claims.exp - claims.iat, "expires": claims.exp * 1_000 }),
    ))
}

/// A token that subscribes to one symbol by itself.
///
/// # Errors
/// As [`issue`].
pub async fn notification(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Json<Value>, Problem> {
    let body = authorised_body(&gateway, request).await?;
    let wish: NotificationWish = read(&body)?;
    let claims = Claims {
        symbols: Some(vec![wish.symbol]),
        streams: Some(vec!["trades".to_owned()]),
        purpose: Some("notification".to_owned()),
        ..Claims::default()
    };
    let (token, _) = gateway.access.issue(in_one_spelling(claims)?, None);
    Ok(Json(json!({ "token": token })))
}

/// The body, once the headers have shown that its sender may have a token.
async fn authorised_body(gateway: &Gateway, request: Request) -> Result<Bytes, Problem> {
    gateway.access.may_issue(credential(request.headers(), None).as_deref())?;
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    match timeout(BODY_MAX, to_bytes(request.into_body(), BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if error.source().is_some_and(|cause| cause.is::<LengthLimitError>()) => Err(too_large()),
        Ok(Err(error)) => Err(bad(format!("the body cannot be read: {error}"))),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not arrive within {} seconds", BODY_MAX.as_secs()),
        )),
    }
}

fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body may have at most {BODY_BYTES_MAX} bytes"))
}

/// The same claims with their symbols as symbols are written.
fn in_one_spelling(claims: Claims) -> Result<Claims, Problem> {
    let scope = claims.scope().map_err(bad)?;
    let symbols = scope.symbols().map(|symbols| symbols.iter().map(ToString::to_string).collect());
    Ok(Claims { symbols, ..claims })
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| bad(format!("the body must be JSON as documented: {error}")))
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}
