//! The service itself: what it is, how it is, and where its documentation is.

use std::collections::BTreeMap;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use utoipa::OpenApi as _;

use crate::dto::About;
use crate::openapi::{ApiDoc, answers};
use crate::state::State;

/// What this is and where to go from here.
#[utoipa::path(get, path = "/", tag = "service", responses((status = 200, description = "What this is", body = About)))]
pub async fn about() -> HttpResponse {
    let links = [
        ("docs", "/docs/"),
        ("openapi", "/openapi.json"),
        ("health", "/health"),
        ("metrics", "/metrics"),
        ("newest bars", "/bars/{symbol}"),
        ("bars of a range", "/bars/{symbol}/range?start=&end="),
        ("outages of a range", "/bars/{symbol}/gaps?start=&end="),
        ("newest bar of every symbol", "/bars/latest"),
        ("bars in Alpaca's shape", "/v2/stocks/bars?symbols=&timeframe="),
        ("trades in Alpaca's shape", "/v2/stocks/trades?symbols="),
        ("quote", "/api/market/quote/{symbol}"),
        ("market status", "/api/market/status"),
        ("chart feed (UDF)", "/udf/config"),
    ];
    HttpResponse::Ok().json(About {
        service: "bars-api".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        description: "Tapeline's history over HTTP: bars of US stocks as they are in PostgreSQL.".to_owned(),
        links: links.map(|(name, path)| (name.to_owned(), path.to_owned())).into_iter().collect::<BTreeMap<_, _>>(),
    })
}

/// Whether the API can answer, part by part.
#[utoipa::path(
    get, path = "/health", tag = "service",
    responses(
        (status = 200, description = "Ready", body = answers::HealthReport),
        (status = 503, description = "Not ready: the database is away, or has no tables yet", body = answers::HealthReport),
    )
)]
pub async fn health(state: web::Data<State>) -> HttpResponse {
    let report = state.health.report();
    let status = StatusCode::from_u16(report.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status).insert_header((header::CACHE_CONTROL, "no-store")).json(report)
}

/// Numbers for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "service",
    responses((status = 200, description = "Prometheus' text format", body = String, content_type = "text/plain", example = "bars_api_answers_total{from=\"memory\"} 7"))
)]
pub async fn metrics(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(state.metrics.render())
}

/// `/docs` → `/docs/`, where the page and its files are; relative, so that a proxy may put the API below a prefix.
pub async fn docs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "docs/")).finish()
}

/// The document behind the page.
pub async fn openapi() -> HttpResponse {
    HttpResponse::Ok().json(ApiDoc::openapi())
}
