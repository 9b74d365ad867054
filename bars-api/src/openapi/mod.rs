//! The OpenAPI document, from the code.

pub mod answers;
pub mod params;
pub mod refusals;
pub mod schema;

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::routes::alpaca::{market, meta, quotes as alpaca_quotes, series, snapshots};
use crate::routes::{bars, market as quotes, openbb, ops, udf};

/// All routes that people call.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tapeline history API",
        description = "Bars of US stocks from PostgreSQL. Every answer says in `as_of` up to which record of the live stream it is true, \
            and in `X-Complete` whether an outage may have taken something from it.\n\n\
            On every route times are RFC 3339 (UTC without an offset), `YYYY-MM-DD` (midnight in New York), Unix time in seconds or finer, or \
            `now`, `now-15m`, `now-1h`, `now-7d`; bars are `1Min`, `5Min`, `1Hour`, `1Day` …, or short `5m`, `1h`, `1d`. Errors are `application/problem+json`; \
            quote their `request_id` when you ask for help. Bars longer than a minute follow New York's clock and calendar.",
    ),
    paths(
        bars::newest, bars::range, bars::gaps, bars::latest,
        series::bars, series::bars_of_one, series::trades, series::trades_of_one,
        series::latest_bars, series::latest_bar_of_one, series::latest_trades, series::latest_trade_of_one,
        alpaca_quotes::quotes, alpaca_quotes::quotes_of_one, alpaca_quotes::latest, alpaca_quotes::latest_of_one,
        meta::exchanges, meta::conditions,
        snapshots::snapshots, snapshots::snapshot, market::clock, market::calendar,
        quotes::quote, quotes::historical, quotes::search, quotes::status,
        udf::config, udf::time, udf::symbols, udf::search, udf::history, udf::marks, udf::symbol_info, udf::quotes,
        openbb::widgets, openbb::apps,
        ops::about, ops::health, ops::metrics,
    ),
    components(schemas(crate::problem::ProblemBody)),
    modifiers(&Whole),
    servers((url = "./", description = "Wherever this document was read from")),
    tags(
        (name = "bars", description = "Bars of one minute and longer"),
        (name = "alpaca", description = "The same data in the shape of Alpaca's data API v2; its clients work with this address as their base URL"),
        (name = "market", description = "For quote pages"),
        (name = "udf", description = "TradingView's universal data feed"),
        (name = "openbb", description = "OpenBB Workspace's data connector"),
        (name = "service", description = "The service itself"),
    )
)]
pub struct ApiDoc;

/// What is said of all routes alike: how a key is sent, and a name for each operation that no other has.
struct Whole;

impl Modify for Whole {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
        components.add_security_scheme("key", header);
        for (path, item) in &mut document.paths.paths {
            for operation in item.get.iter_mut() {
                operation.operation_id = Some(name(path));
                operation.security = Some(security(operation));
            }
        }
    }
}

/// A key is only asked for where `AUTH_REQUIRED` is on; the service's own routes never ask.
fn security(operation: &Operation) -> Vec<SecurityRequirement> {
    let none = SecurityRequirement::default();
    let open = operation.tags.iter().flatten().any(|tag| tag == "service");
    let no_scopes: [&str; 0] = [];
    let with = ["bearer", "key"].map(|name| SecurityRequirement::new(name, no_scopes));
    if open { vec![none] } else { with.into_iter().chain([none]).collect() }
}

/// `/v2/stocks/{symbol}/bars` → `get_v2_stocks_symbol_bars`.
fn name(path: &str) -> String {
    let words = path.split(|one: char| !one.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once("get").chain(words).collect::<Vec<_>>().join("_")
}
