//! `GET /stream?symbols=AAPL,MSFT&streams=trades,bars`: Server-Sent Events, for clients that have nothing but HTTP. An event's id is its
//! offset in this gateway's run; a browser that comes back with the last one gets what it missed.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};

use super::problem::Problem;
use crate::access::{credential, query_value};
use crate::delivery::client::{Client, Cut};
use crate::door::Place;
use crate::gateway::Gateway;
use crate::records::encoding::Encoding;
use crate::subscriptions::contract::read_request;

/// Most bytes handed to the connection at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Opens a stream. The first event, `subscribed`, says what was taken and what not.
pub async fn open(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let query = request.uri().query();
    let grant = match gateway.access.admit(credential(request.headers(), query).as_deref()) {
        Ok(grant) => grant,
        Err(denied) => return Problem::from(denied).into_response(),
    };
    let mut subscription = match wish(query).and_then(|wish| read_request(&wish)) {
        Ok(subscription) => subscription,
        Err(error) => return Problem::new(StatusCode::BAD_REQUEST, error).into_response(),
    };
    // What a browser sends by itself when it comes back.
    let last_id = request.headers().get("last-event-id").and_then(|id| id.to_str().ok());
    subscription.since_offset = last_id.and_then(|id| id.parse().ok());
    let client = Client::on_task(gateway.hub.next_id(), Encoding::Sse, gateway.config.outbox);
    client.set_expiry(grant.expires_ms.unwrap_or(u64::MAX));
    gateway.hub.join(&client, grant.scope);
    gateway.hub.subscribe(client.id(), &subscription, |answer| {
        Encoding::Sse.notice("subscribed", &serde_json::to_string(answer).ok()?)
    });
    let place = request.extensions().get::<Arc<Place>>().cloned();
    let guest = Guest { gateway, client, _place: place };
    let body = Body::from_stream(stream::unfold(guest, |guest| async move {
        let chunk = guest.next().await?;
        Some((Ok::<_, Infallible>(chunk), guest))
    }));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, [("x-accel-buffering", "no")], body).into_response()
}

fn wish(query: Option<&str>) -> Result<Value, String> {
    let list =
        |name: &str| query_value(query, name).map(|text| text.split(',').map(|item| item.trim().to_owned()).collect());
    let symbols: Vec<String> = list("symbols").ok_or("`symbols` is missing: /stream?symbols=AAPL,MSFT")?;
    let streams: Option<Vec<String>> = list("streams");
    let rate = query_value(query, "maxRate").map(|text| text.parse::<f64>().map_err(|_| "`maxRate` must be a number"));
    Ok(json!({ "symbols": symbols, "streams": streams, "maxRate": rate.transpose()? }))
}

/// Leaves the hub when the response is dropped.
struct Guest {
    gateway: Arc<Gateway>,
    client: Arc<Client>,
    _place: Option<Arc<Place>>,
}

impl Guest {
    async fn next(&self) -> Option<Bytes> {
        loop {
            if self.client.cut_reason().is_some() {
                return None;
            }
            let mut chunk = Vec::new();
            while chunk.len() < CHUNK_BYTES {
                let Some(message) = self.client.pop() else { break };
                chunk.extend_from_slice(&message);
            }
            if !chunk.is_empty() {
                return Some(chunk.into());
            }
            self.client.woken().await;
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.client.cut(Cut::Gone);
        self.gateway.hub.leave(self.client.id(), false);
    }
}
