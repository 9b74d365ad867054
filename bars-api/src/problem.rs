//! Everything that can go wrong, as the one shape that clients see: `application/problem+json` (RFC 9457).

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::Serialize;
use tokio_postgres::error::SqlState;
use utoipa::ToSchema;

use crate::rate::Allowance;

/// How much of a caller's own text an error repeats.
const ECHO_CHARS_MAX: usize = 64;
/// What a client that met a busy or absent database should wait, in seconds.
const RETRY_AFTER_S: u32 = 1;

/// Why a request was not answered. Inner details go to the log; a client only ever sees its own words again.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
    parameter: Option<String>,
    retry_after_s: Option<u32>,
    allowance: Option<Allowance>,
}

/// The body of an error.
#[derive(Serialize, ToSchema)]
pub struct ProblemBody {
    /// Always `about:blank`: `status` and `parameter` say what kind it is.
    #[schema(example = "about:blank")]
    pub r#type: &'static str,
    /// What happened, in a few words.
    #[schema(example = "Bad request")]
    pub title: &'static str,
    /// The HTTP status.
    #[schema(example = 400)]
    pub status: u16,
    /// What happened and what to do about it.
    #[schema(example = "limit: `0` is not a whole number from 1 to 10000")]
    pub detail: String,
    /// The parameter that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "limit")]
    pub parameter: Option<String>,
    /// The same as `detail`, on `/v2` only, where clients look for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// `error`, on `/udf` only: how UDF says that an answer is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub s: Option<&'static str>,
    /// The same as `detail`, on `/udf` only, where charts look for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub errmsg: Option<String>,
    /// Names this request in the server's log; also in the header `X-Request-Id`.
    pub request_id: String,
}

impl Problem {
    fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into(), parameter: None, retry_after_s: None, allowance: None }
    }

    /// 400: a parameter is wrong. `got` is what the caller sent, `expected` what would do.
    #[must_use]
    pub fn parameter(name: &str, got: &str, expected: impl fmt::Display) -> Self {
        Self::bad(name, format!("`{}` is not {expected}", echo(got)))
    }

    /// 400: a parameter is wrong in a way of its own.
    #[must_use]
    pub fn bad(name: &str, what: impl fmt::Display) -> Self {
        let detail = format!("{}: {what}", echo(name));
        let parameter = Some(echo(name));
        Self { parameter, ..Self::new(StatusCode::BAD_REQUEST, "Bad request", detail) }
    }

    /// 404: no bar, or no trade, of this symbol has ever been stored.
    #[must_use]
    pub fn unknown_symbol(symbol: &str, what: &str) -> Self {
        let detail = format!("no {what} of `{}` are stored; symbols are case-sensitive", echo(symbol));
        let parameter = Some("symbol".to_owned());
        Self { parameter, ..Self::new(StatusCode::NOT_FOUND, "Unknown symbol", detail) }
    }

    /// 404: no such route.
    #[must_use]
    pub fn no_route(path: &str) -> Self {
        let detail = format!("`{}` is not a route of this API; /docs lists all of them", echo(path));
        Self::new(StatusCode::NOT_FOUND, "Not found", detail)
    }

    /// 405: the route is there, but it only reads.
    #[must_use]
    pub fn method(method: &str) -> Self {
        let detail = format!("`{}` is not possible here: this API answers GET and HEAD only", echo(method));
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", detail)
    }

    /// 401: a key is needed.
    #[must_use]
    pub fn unauthorized() -> Self {
        let detail = "a key is needed: send it as `Authorization: Bearer …` or `X-API-Key: …`";
        Self::new(StatusCode::UNAUTHORIZED, "Key needed", detail)
    }

    /// 429: more than a caller may ask in a minute.
    #[must_use]
    pub fn too_many(allowance: Allowance, now_s: i64) -> Self {
        let wait_s = u32::try_from(allowance.reset_s - now_s).unwrap_or(RETRY_AFTER_S).max(1);
        let detail = format!("more than {} requests a minute; come back in {wait_s} s", allowance.limit);
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests", detail);
        Self { retry_after_s: Some(wait_s), allowance: Some(allowance), ..problem }
    }

    /// What the caller may still ask, where that is why it was refused.
    #[must_use]
    pub fn allowance(&self) -> Option<Allowance> {
        self.allowance
    }

    /// 503: come back in a moment.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let retry_after_s = Some(RETRY_AFTER_S);
        Self { retry_after_s, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "Not available right now", detail) }
    }

    /// 503: the answer would have taken too long.
    #[must_use]
    pub fn too_slow() -> Self {
        Self::unavailable("the answer took too long to find; ask for a shorter range or a smaller limit, or try again")
    }

    /// 500: a mistake of ours.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error", "the server's log has the details")
    }

    /// What happened and what to do about it.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether the fault is on this side, so that the log should know.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.status.is_server_error()
    }

    /// The response to the request for `path`, with the request's id in its body.
    #[must_use]
    pub fn response(&self, path: &str, request_id: &str) -> HttpResponse {
        let body = ProblemBody {
            r#type: "about:blank",
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            parameter: self.parameter.clone(),
            message: path.starts_with("/v2/").then(|| self.detail.clone()),
            s: path.starts_with("/udf/").then_some("error"),
            errmsg: path.starts_with("/udf/").then(|| self.detail.clone()),
            request_id: request_id.to_owned(),
        };
        let mut response = HttpResponseBuilder::new(self.status);
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(seconds) = self.retry_after_s {
            response.insert_header((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.insert_header((header::ALLOW, "GET, HEAD"));
        }
        response.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

/// A caller's text, cut so that an error stays short.
fn echo(text: &str) -> String {
    match text.char_indices().nth(ECHO_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.title, self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    /// Without an id; [`crate::middleware`] renders it again with the id of the request.
    fn error_response(&self) -> HttpResponse {
        self.response("", "")
    }
}

impl From<tokio_postgres::Error> for Problem {
    fn from(error: tokio_postgres::Error) -> Self {
        let missing = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::INVALID_SCHEMA_NAME];
        match error.code() {
            Some(state) if missing.contains(state) => {
                tracing::warn!("the schema is not there yet: {}", chain(&error));
                Self::unavailable("the database has no tables yet; they appear when a consumer has started")
            }
            Some(&SqlState::QUERY_CANCELED) => Self::too_slow(),
            Some(state) if matches!(state.code().get(..2), Some("08" | "53" | "57" | "0A")) => {
                tracing::warn!("the database is busy: {}", chain(&error));
                Self::unavailable("the database is busy or restarting")
            }
            None => {
                tracing::warn!("no connection to the database: {}", chain(&error));
                Self::unavailable("the database cannot be reached")
            }
            Some(_) => {
                tracing::error!("a query failed: {}", chain(&error));
                Self::internal()
            }
        }
    }
}

impl From<deadpool_postgres::PoolError> for Problem {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => {
                tracing::warn!("no connection to the database: {}", chain(&error));
                Self::unavailable("the database cannot be reached")
            }
            deadpool_postgres::PoolError::Timeout(_) => Self::unavailable("too many requests at once"),
            other => {
                tracing::warn!("no connection to the database: {other}");
                Self::unavailable("the database cannot be reached")
            }
        }
    }
}

/// An error with all its causes: the driver's own text is only "db error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_where_it_is_repeated() {
        let problem = Problem::parameter("limit", &"ä".repeat(1000), "a number");
        assert!(problem.detail.chars().count() < 100, "{}", problem.detail);
        assert_eq!(problem.parameter.as_deref(), Some("limit"));
    }

    #[test]
    fn a_busy_server_says_when_to_come_back() {
        let response = Problem::unavailable("busy").response("/", "abc");
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers().get("retry-after").unwrap(), "1");
        assert_eq!(response.headers().get("content-type").unwrap(), "application/problem+json");
    }
}
