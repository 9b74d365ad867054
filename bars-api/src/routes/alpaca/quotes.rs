//! Quotes: they live in the stream only, and these routes say so in Alpaca's words.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::{one, range, read, wanted};
use crate::openapi::answers::{LatestQuote, LatestQuotes};
use crate::openapi::params::{BetweenIncluded, SymbolList, SymbolPath};
use crate::openapi::refusals::{NotStored, Refused};
use crate::problem::Problem;
use crate::reply::COMPLETE;

const WHY: &str =
    "quotes are not stored: they come with the live stream (the gateway's `quote` event) and are not kept";

/// Quotes of a range: not stored.
#[utoipa::path(
    get,
    path = "/v2/stocks/quotes",
    tag = "alpaca",
    params(SymbolList, BetweenIncluded),
    responses(NotStored, Refused)
)]
pub async fn quotes(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let params = read(&request)?;
    wanted(&params)?;
    range(&params)?;
    Err(Problem::not_stored(WHY))
}

/// Quotes of one symbol: not stored.
#[utoipa::path(
    get,
    path = "/v2/stocks/{symbol}/quotes",
    tag = "alpaca",
    params(SymbolPath, BetweenIncluded),
    responses(NotStored, Refused)
)]
pub async fn quotes_of_one(request: HttpRequest, symbol: web::Path<String>) -> Result<HttpResponse, Problem> {
    range(&read(&request)?)?;
    one(&symbol)?;
    Err(Problem::not_stored(WHY))
}

/// The newest quote of each symbol: none is known, so every symbol is absent.
#[utoipa::path(
    get, path = "/v2/stocks/quotes/latest", tag = "alpaca",
    params(SymbolList),
    responses((status = 200, description = "Always without symbols, and `X-Complete: false`: quotes are not stored", body = LatestQuotes), Refused)
)]
pub async fn latest(request: HttpRequest) -> Result<HttpResponse, Problem> {
    wanted(&read(&request)?)?;
    Ok(HttpResponse::Ok().insert_header((COMPLETE, "false")).json(json!({"quotes": {}})))
}

/// The newest quote of one symbol: none is known.
#[utoipa::path(
    get, path = "/v2/stocks/{symbol}/quotes/latest", tag = "alpaca",
    params(SymbolPath),
    responses((status = 200, description = "Always without a quote, and `X-Complete: false`: quotes are not stored", body = LatestQuote), Refused)
)]
pub async fn latest_of_one(request: HttpRequest, symbol: web::Path<String>) -> Result<HttpResponse, Problem> {
    read(&request)?;
    let symbol = one(&symbol)?;
    Ok(HttpResponse::Ok().insert_header((COMPLETE, "false")).json(json!({"symbol": symbol.as_str(), "quote": null})))
}
