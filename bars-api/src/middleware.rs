//! Around every request: an id, a measure, and errors in one shape.

use std::time::Instant;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError as _, web};
use jiff::Timestamp;
use service::web::request_id;

use crate::problem::Problem;
use crate::rate::Allowance;
use crate::state::State;

/// Carries the id of a request both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static(request_id::HEADER);
/// What a caller may still ask, as Alpaca's API names it.
pub const RATE_LIMIT: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// Gives the request an id (or keeps the caller's), renders its [`Problem`] with that id, and measures it.
///
/// # Errors
/// Only what the router itself cannot turn into a response.
pub async fn around<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let began = Instant::now();
    let id = request_id::given_or_new(request.headers().get(&REQUEST_ID).map(HeaderValue::as_bytes));
    let state = request.app_data::<web::Data<State>>().cloned();
    let admitted = match &state {
        Some(state) => state.admission.admit(&mut request, Timestamp::now().as_second()),
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
            if let Some(left_out) = state.and_then(|state| state.failures.next()) {
                let path = response.request().path();
                if problem.is_ours() {
                    tracing::warn!(request_id = id, path, left_out, "request failed: {problem}");
                } else {
                    tracing::info!(request_id = id, path, left_out, "request rejected: {problem}");
                }
            }
            let rendered = problem.response(response.request().path(), &id);
            response.into_response(rendered).map_into_right_body()
        }
    };
    measure(&response, began);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if let Some(allowance) = allowance {
        tell(response.headers_mut(), allowance);
    }
    Ok(response)
}

fn tell(headers: &mut HeaderMap, allowance: Allowance) {
    let values = [allowance.limit.into(), allowance.remaining.into(), allowance.reset_s.into()];
    for (name, value) in RATE_LIMIT.into_iter().zip(values) {
        headers.insert(name, value);
    }
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
