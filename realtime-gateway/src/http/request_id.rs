//! Around every request: an id that goes along to the history API and into the logs, and errors in one shape.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use service::web::request_id::{HEADER, Lines, given_or_new};

use super::problem::Problem;

/// Longest text of another layer that becomes the detail of a problem, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// Gives the request an id (or keeps the client's), and every failure the shape of a [`Problem`] with that id.
pub async fn around(State(lines): State<Arc<Lines>>, mut request: Request, next: Next) -> Response {
    let id = given_or_new(request.headers().get(HEADER).map(HeaderValue::as_bytes));
    let Ok(value) = HeaderValue::from_str(&id) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    request.headers_mut().insert(HEADER, value.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        response = shaped(response, &method, &id).await;
        write(&lines, &response, &id, &method, &path);
    }
    response.headers_mut().insert(HEADER, value);
    response
}

/// A [`Problem`], or a text of some other layer, as a problem with the id. Answers in a protocol's own shape stay as they are.
async fn shaped(response: Response, method: &Method, id: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let problem = match parts.extensions.get::<Problem>() {
        Some(problem) => problem.clone(),
        None if kind.is_none_or(|kind| kind.starts_with(b"text/plain")) => {
            let text = to_bytes(body, TEXT_BYTES_MAX).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            let detail = if text.is_empty() { sentence(parts.status).to_owned() } else { text };
            let problem = Problem::new(parts.status, detail);
            parts.extensions.insert(problem.clone());
            problem
        }
        None => return Response::from_parts(parts, body),
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(service::web::problem::CONTENT_TYPE));
    let body = if *method == Method::HEAD { Body::empty() } else { Body::from(problem.body(id)) };
    Response::from_parts(parts, body)
}

fn sentence(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "there is nothing at this address",
        StatusCode::METHOD_NOT_ALLOWED => "this address does not answer this method; see the header Allow",
        StatusCode::PAYLOAD_TOO_LARGE => "the body of the request is too large",
        StatusCode::REQUEST_TIMEOUT => "the request did not arrive in time",
        StatusCode::BAD_REQUEST => "the request cannot be understood",
        _ => "the request failed",
    }
}

fn write(lines: &Lines, response: &Response, request_id: &str, method: &Method, path: &str) {
    let Some(left_out) = lines.next() else { return };
    let status = response.status().as_u16();
    let detail = response.extensions().get::<Problem>().map(Problem::detail).unwrap_or_default();
    if response.status().is_server_error() {
        tracing::warn!(request_id, status, %method, path, left_out, "request failed: {detail}");
    } else {
        tracing::info!(request_id, status, %method, path, left_out, "request rejected: {detail}");
    }
}
