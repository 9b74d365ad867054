//! `POST /api/token` and `POST /api/websocket-token`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use market::Symbol;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use crate::access::{Claims, credential};
use crate::gateway::Gateway;
use crate::records::channel::Channel;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    symbols: Option<Vec<String>>,
    streams: Option<Vec<String>>,
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
/// 401 without a key, 400 for a wish that makes no sense.
pub async fn issue(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    gateway.access.may_issue(credential(&headers, None).as_deref())?;
    let wish: Wish = if body.is_empty() { Wish::default() } else { read(&body)? };
    for symbol in wish.symbols.iter().flatten() {
        Symbol::new(symbol).map_err(|reject| bad(format!("symbols: {reject}")))?;
    }
    for stream in wish.streams.iter().flatten() {
        stream.parse::<Channel>().map_err(bad)?;
    }
    let life = wish.expires_in.map(Duration::from_secs);
    let claims = Claims { symbols: wish.symbols, streams: wish.streams, ..Claims::default() };
    let (token, claims) = gateway.access.issue(claims, life);
    Ok(Json(
        json!({ "token": token, "token_type": "Bearer", "expires_in": claims.exp - claims.iat, "expires": claims.exp * 1_000 }),
    ))
}

/// A token that subscribes to one symbol by itself.
///
/// # Errors
/// 401 without a key where one is needed, 400 for a symbol that is none.
pub async fn notification(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    gateway.access.may_issue(credential(&headers, None).as_deref())?;
    let wish: NotificationWish = read(&body)?;
    Symbol::new(&wish.symbol).map_err(|reject| bad(format!("symbol: {reject}")))?;
    let claims = Claims {
        symbols: Some(vec![wish.symbol]),
        streams: Some(vec!["trades".to_owned()]),
        purpose: Some("notification".to_owned()),
        ..Claims::default()
    };
    let (token, _) = gateway.access.issue(claims, None);
    Ok(Json(json!({ "token": token })))
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| bad(format!("the body must be JSON as documented: {error}")))
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}
