//! What a request of this server brings, for [`service::web::access`] to judge.

use axum::http::HeaderMap;

pub use service::web::access::{Access, Caller, Claims, Denied, Grant, unix_ms};
pub use service::web::query_value;
pub use service::web::scope::{Scope, Stream, Streams};

/// The token or key that a request brings.
#[must_use]
pub fn credential(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    service::web::access::credential(|name| headers.get(name)?.to_str().ok(), query)
}
