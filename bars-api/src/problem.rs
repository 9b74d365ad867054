//! Everything that can go wrong, as the one shape that clients see: `application/problem+json` (RFC 9457).

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::Serialize;
use service::web::access::Denied;
use service::web::problem::{self, echo};
use tokio_postgres::error::SqlState;
use utoipa::ToSchema;

use crate::rate::Allowance;

/// What a client that met a busy or absent database should wait, in seconds.
const RETRY_AFTER_S: u32 = 1;

/// Why a request was not answered, in the shape that both front doors share.
#[derive(Clone, Debug)]
pub struct Problem {
    shared: problem::Problem,
    allowance: Option<Allowance>,
}

/// What three dialects expect beside the members that all errors have.
#[derive(Default, Serialize)]
struct More<'a> {
    /// `/v2`: Alpaca's number of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u32>,
    /// `/api/market`: how quote pages tell an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    /// `/api/market`: where quote pages look.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// `/v2`: where Alpaca's clients look.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    /// `/udf`: how UDF says that an answer is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    /// `/udf`: where charts look.
    #[serde(skip_serializing_if = "Option::is_none")]
    errmsg: Option<&'a str>,
}

/// The body of an error, for the documentation; `service::web::problem` writes it.
#[derive(ToSchema)]
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
    #[schema(example = "limit")]
    pub parameter: Option<String>,
    /// Alpaca's number of the error, on `/v2` only: its clients insist on one.
    #[schema(example = 40_010_001, nullable = false)]
    pub code: Option<u32>,
    /// `false` on `/api/market` only, where pages look for it.
    #[schema(nullable = false)]
    pub success: Option<bool>,
    /// The same as `detail`, on `/api/market` only, where pages look for it.
    #[schema(nullable = false)]
    pub error: Option<String>,
    /// The same as `detail`, on `/v2` only, where clients look for it.
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// `error`, on `/udf` only: how UDF says that an answer is none.
    #[schema(nullable = false)]
    pub s: Option<&'static str>,
    /// The same as `detail`, on `/udf` only, where charts look for it.
    #[schema(nullable = false)]
    pub errmsg: Option<String>,
    /// Names this request in the server's log; also in the header `X-Request-Id`.
    pub request_id: String,
}

impl Problem {
    fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        problem::Problem::new(status.as_u16(), title, detail).into()
    }

    /// 400: a parameter is wrong. `got` is what the caller sent, `expected` what would do.
    #[must_use]
    pub fn parameter(name: &str, got: &str, expected: impl fmt::Display) -> Self {
        Self::bad(name, format!("`{}` is not {expected}", echo(got)))
    }

    /// 400: a parameter is wrong in a way of its own.
    #[must_use]
    pub fn bad(name: &str, what: impl fmt::Display) -> Self {
        problem::Problem::bad(name, what).into()
    }

    /// 404: no bar, or no trade, of this symbol has ever been stored.
    #[must_use]
    pub fn unknown_symbol(symbol: &str, what: &str) -> Self {
        let detail = format!("no {what} of `{}` are stored; symbols are case-sensitive", echo(symbol));
        let mut problem = Self::new(StatusCode::NOT_FOUND, "Unknown symbol", detail);
        problem.shared.parameter = Some("symbol".to_owned());
        problem
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

    /// 406: nothing of what is offered here is in the request's `Accept`.
    #[must_use]
    pub fn not_acceptable(offered: &str, hint: &str) -> Self {
        let detail = format!("`Accept` takes nothing that this route offers: {offered}{hint}");
        Self::new(StatusCode::NOT_ACCEPTABLE, "Not acceptable", detail)
    }

    /// 403: a route of the API whose shape we borrow, for something that is not stored here; there too it is how a client learns that it cannot
    /// have a kind of data.
    #[must_use]
    pub fn not_stored(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Not stored", detail)
    }

    /// 429: more than a caller may ask in a minute.
    #[must_use]
    pub fn too_many(allowance: Allowance, now_s: i64) -> Self {
        let wait_s = u32::try_from(allowance.reset_s - now_s).unwrap_or(RETRY_AFTER_S).max(1);
        let detail = format!("more than {} requests a minute; come back in {wait_s} s", allowance.limit);
        let problem = problem::Problem::new(429, "Too many requests", detail).retry_after(wait_s);
        Self { shared: problem, allowance: Some(allowance) }
    }

    /// What the caller may still ask, where that is why it was refused.
    #[must_use]
    pub fn allowance(&self) -> Option<Allowance> {
        self.allowance
    }

    /// 503: come back in a moment.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        problem::Problem::new(503, "Not available right now", detail).retry_after(RETRY_AFTER_S).into()
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
        &self.shared.detail
    }

    /// Whether the fault is on this side, so that the log should know.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.shared.status >= 500
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.shared.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The response to the request for `path`, with the request's id in its body.
    #[must_use]
    pub fn response(&self, path: &str, request_id: &str) -> HttpResponse {
        let detail = self.shared.detail.as_str();
        let more = match path {
            path if path.starts_with("/v2/") => {
                More { code: Some(alpaca_code(self.status())), message: Some(detail), ..More::default() }
            }
            path if path.starts_with("/udf/") => More { s: Some("error"), errmsg: Some(detail), ..More::default() },
            path if path.starts_with("/api/market/") => {
                More { success: Some(false), error: Some(detail), ..More::default() }
            }
            _ => More::default(),
        };
        let mut response = HttpResponseBuilder::new(self.status());
        response.insert_header((header::CONTENT_TYPE, problem::CONTENT_TYPE));
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        for named in self.shared.headers() {
            response.insert_header(named);
        }
        if self.status() == StatusCode::METHOD_NOT_ALLOWED {
            response.insert_header((header::ALLOW, "GET, HEAD"));
        }
        response.body(self.shared.body(request_id, more))
    }
}

/// Alpaca's numbers begin with the status; the rest says what it was about, and its clients only compare the whole.
fn alpaca_code(status: StatusCode) -> u32 {
    u32::from(status.as_u16()) * 100_000 + if status == StatusCode::BAD_REQUEST { 10_001 } else { 10_000 }
}

impl From<problem::Problem> for Problem {
    fn from(shared: problem::Problem) -> Self {
        Self { shared, allowance: None }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        problem::Problem::denied(denied).into()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status()
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
        assert!(problem.detail().chars().count() < 100, "{}", problem.detail());
        assert_eq!(problem.shared.parameter.as_deref(), Some("limit"));
    }

    #[test]
    fn a_busy_server_says_when_to_come_back() {
        let response = Problem::unavailable("busy").response("/", "abc");
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers().get("retry-after").unwrap(), "1");
        assert_eq!(response.headers().get("content-type").unwrap(), "application/problem+json");
    }
}
