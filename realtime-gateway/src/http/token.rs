//! `POST /api/token` and `POST /api/websocket-token`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body;
use super::problem::Problem;
use crate::access::{Claims, credential};
use crate::gateway::Gateway;

/// Largest body: a token may name some hundred symbols.
const BODY_BYTES_MAX: usize = 8 << 10;

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
/// 401 without a key, 400 for an invalid request, 413 and 408 for a body that is too large or too slow.
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
    body::read(request, BODY_BYTES_MAX).await
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
