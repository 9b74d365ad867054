//! The body of a request: small, in time, or an answer that says which of the two it was not.

use std::error::Error;
use std::io;

use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use http_body_util::LengthLimitError;

use super::problem::Problem;

/// Reads a body of at most `bytes_max` bytes. How long it may take is the server's to decide, for every body.
///
/// # Errors
/// 413 for a body that is too large (before any of it is read, where its length is announced), 408 for one that does not arrive in time,
/// 400 for one that breaks off.
pub async fn read(request: Request, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large =
        || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body may have at most {bytes_max} bytes"));
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > bytes_max) {
        return Err(too_large());
    }
    to_bytes(request.into_body(), bytes_max).await.map_err(|error| {
        if causes(&error).any(|cause| cause.is::<LengthLimitError>()) {
            return too_large();
        }
        let is_late = |cause: &(dyn Error + 'static)| {
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        };
        if causes(&error).any(is_late) {
            return Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time");
        }
        Problem::new(StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}"))
    })
}

/// An error and what is behind it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}
