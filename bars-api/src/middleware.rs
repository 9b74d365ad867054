//! Around every request: an id, a measure, and errors in one shape.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError as _, web};
use jiff::Timestamp;

use crate::problem::Problem;
use crate::rate::Allowance;
use crate::state::State;

/// Carries the id of a request both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an id (or keeps the caller's), renders its [`Problem`] with that id, and measures it.
///
/// # Errors
/// Only what the router itself cannot turn into a response.
pub async fn around<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let began = Instant::now();
    let id = given_id(&request).unwrap_or_else(next_id);
    let admitted = match request.app_data::<web::Data<State>>() {
        Some(state) => state.door.admit(&request, Timestamp::now().as_second()),
        None => Ok(None),
    };
    let (response, mut problem, allowance) = match admitted {
        Err(problem) => {
            let allowance = problem.allowance();
            (
                request.into_response(HttpResponse::new(problem.status_code())).map_into_right_body(),
                Some(problem),
                allowance,
            )
        }
        Ok(allowance) => (next.call(request).await?.map_into_left_body(), None, allowance),
    };
    if problem.is_none() {
        problem = response.response().error().and_then(|error| error.as_error::<Problem>()).cloned();
    }
    if problem.is_none() && response.status() == StatusCode::NOT_FOUND {
        problem = Some(Problem::no_route(response.request().path())); // the documentation's files say it in their own way
    }
    let mut response = match problem {
        None => response,
        Some(problem) => {
            if problem.is_ours() {
                tracing::warn!(request_id = ?id, path = response.request().path(), "{problem}");
            }
            let rendered = problem.response(response.request().path(), id.to_str().unwrap_or_default());
            response.into_response(rendered).map_into_right_body()
        }
    };
    measure(&response, began);
    response.headers_mut().insert(REQUEST_ID, id);
    if let Some(allowance) = allowance {
        tell(response.headers_mut(), allowance);
    }
    Ok(response)
}

/// As Alpaca's API names them.
fn tell(headers: &mut HeaderMap, allowance: Allowance) {
    headers.insert(HeaderName::from_static("x-ratelimit-limit"), HeaderValue::from(allowance.limit));
    headers.insert(HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from(allowance.remaining));
    headers.insert(HeaderName::from_static("x-ratelimit-reset"), HeaderValue::from(allowance.reset_s));
}

fn measure<B>(response: &ServiceResponse<B>, began: Instant) {
    let route = response.request().match_pattern().unwrap_or_else(|| "none".to_owned());
    let status = status_class(response.status().as_u16());
    metrics::histogram!("bars_api_request_seconds", "route" => route, "status" => status)
        .record(began.elapsed().as_secs_f64());
}

fn status_class(status: u16) -> &'static str {
    match status {
        ..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

/// The caller's id, where it is short and harmless enough to be repeated.
fn given_id(request: &ServiceRequest) -> Option<HeaderValue> {
    let id = request.headers().get(&REQUEST_ID)?;
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = (1..=64).contains(&id.len()) && id.as_bytes().iter().all(harmless);
    fits.then(|| id.clone())
}

/// Unique among all instances: a random start, then counted.
fn next_id() -> HeaderValue {
    static RUN: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let run = RUN.get_or_init(rand::random);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    HeaderValue::from_str(&format!("{run:016x}-{count:x}")).unwrap_or(HeaderValue::from_static("unknown"))
}
