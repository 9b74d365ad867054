//! Errors as responses of this server.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use service::web::admission::Refused;
use service::web::problem::{self, CONTENT_TYPE};

use crate::access::Denied;

/// An error for the client. [`super::request_id`] renders it again with the id of the request.
#[derive(Clone, Debug)]
pub struct Problem(problem::Problem);

impl Problem {
    /// An error with a sentence that says what to do.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self(problem::Problem::new(status.as_u16(), status.canonical_reason().unwrap_or("Error"), detail))
    }

    /// What happened.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The body with the id of the request.
    #[must_use]
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        self.0.body(request_id, ())
    }
}

impl From<problem::Problem> for Problem {
    fn from(problem: problem::Problem) -> Self {
        Self(problem)
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Self(problem::Problem::denied(denied))
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        metrics::counter!("gateway_connects_refused_total", "reason" => refused.label()).increment(1);
        Self(refused.into())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = [(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")];
        let mut response = (status, headers, self.body("")).into_response();
        for (name, value) in self.0.headers() {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response.extensions_mut().insert(self);
        response
    }
}
