//! What the codes in trades mean, as Alpaca's meta routes answer it.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};

use crate::openapi::params::{Tape, TickType};
use crate::openapi::refusals::Refused;
use crate::params::Params;
use crate::problem::Problem;

const EXCHANGES: [(&str, &str); 22] = [
    ("A", "NYSE American"),
    ("B", "Nasdaq OMX BX"),
    ("C", "National Stock Exchange"),
    ("D", "FINRA ADF"),
    ("E", "Market Independent"),
    ("H", "MIAX"),
    ("I", "International Securities Exchange"),
    ("J", "Cboe EDGA"),
    ("K", "Cboe EDGX"),
    ("L", "Long-Term Stock Exchange"),
    ("M", "Chicago Stock Exchange"),
    ("N", "New York Stock Exchange"),
    ("P", "NYSE Arca"),
    ("Q", "Nasdaq"),
    ("S", "Nasdaq Small Cap"),
    ("T", "Nasdaq Int"),
    ("U", "Members Exchange"),
    ("V", "IEX"),
    ("W", "CBOE"),
    ("X", "Nasdaq PSX"),
    ("Y", "Cboe BYX"),
    ("Z", "Cboe BZX"),
];

/// Sale conditions that mean the same on all tapes.
const TRADES: [(&str, &str); 20] = [
    ("C", "Cash Sale"),
    ("F", "Intermarket Sweep"),
    ("H", "Price Variation Trade"),
    ("I", "Odd Lot Trade"),
    ("K", "Rule 127 or Rule 155 Trade"),
    ("L", "Sold Last"),
    ("M", "Market Center Official Close"),
    ("N", "Next Day"),
    ("O", "Opening Prints"),
    ("P", "Prior Reference Price"),
    ("Q", "Market Center Official Open"),
    ("R", "Seller"),
    ("T", "Form T"),
    ("U", "Extended Trading Hours (Sold Out of Sequence)"),
    ("V", "Contingent Trade"),
    ("X", "Cross Trade"),
    ("Z", "Sold (Out of Sequence)"),
    ("4", "Derivatively Priced"),
    ("6", "Closing Prints"),
    ("7", "Qualified Contingent Trade"),
];
/// Tapes A and B.
const TRADES_CTS: [(&str, &str); 5] = [
    (" ", "Regular Sale"),
    ("B", "Average Price Trade"),
    ("E", "Automatic Execution"),
    ("5", "Re-Opening Prints"),
    ("9", "Corrected Consolidated Close Price"),
];
/// Tape C.
const TRADES_UTP: [(&str, &str); 9] = [
    ("@", "Regular Sale"),
    ("A", "Acquisition"),
    ("B", "Bunched Trade"),
    ("D", "Distribution"),
    ("G", "Bunched Sold Trade"),
    ("S", "Split Trade"),
    ("W", "Average Price Trade"),
    ("Y", "Yellow Flag Regular Trade"),
    ("1", "Stopped Stock (Regular Trade)"),
];
const QUOTES: [(&str, &str); 6] = [
    ("A", "Slow Quote Offer Side"),
    ("B", "Slow Quote Bid Side"),
    ("H", "Slow Quote Bid And Offer Side"),
    ("N", "Non Firm Quote"),
    ("O", "Opening Quote"),
    ("R", "Regular, Two-Sided Open Quote"),
];

/// Names of exchanges by their code in trades.
#[utoipa::path(
    get, path = "/v2/stocks/meta/exchanges", tag = "alpaca",
    responses((status = 200, description = "By code", body = BTreeMap<String, String>, example = json!({"V": "IEX", "Q": "Nasdaq"})))
)]
pub async fn exchanges() -> HttpResponse {
    HttpResponse::Ok().json(BTreeMap::from(EXCHANGES))
}

/// What the conditions of trades or quotes mean.
#[utoipa::path(
    get, path = "/v2/stocks/meta/conditions/{ticktype}", tag = "alpaca",
    params(TickType, Tape),
    responses((status = 200, description = "By code", body = BTreeMap<String, String>, example = json!({"@": "Regular Sale"})), Refused)
)]
pub async fn conditions(request: HttpRequest, kind: web::Path<String>) -> Result<HttpResponse, Problem> {
    let params = Params::lenient(request.query_string())?;
    let trades = match kind.as_str() {
        "trade" => true,
        "quote" => false,
        other => return Err(Problem::parameter("ticktype", other, "trade or quote")),
    };
    let tape: &[(&str, &str)] = match params.text("tape") {
        Some("A" | "B") => &TRADES_CTS,
        Some("C") => &TRADES_UTP,
        Some(other) => return Err(Problem::parameter("tape", other, "A, B or C")),
        None => return Err(Problem::bad("tape", "required: A, B or C")),
    };
    let listed: BTreeMap<&str, &str> =
        if trades { TRADES.iter().chain(tape).copied().collect() } else { QUOTES.into_iter().collect() };
    Ok(HttpResponse::Ok().json(listed))
}
