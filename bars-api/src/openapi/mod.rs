//! The OpenAPI document, from the code.

pub mod params;
pub mod refusals;
pub mod schema;

use utoipa::OpenApi;

use crate::routes::alpaca::{market, series, snapshots};
use crate::routes::{bars, market as quotes, ops, udf};

/// All routes that people call.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tapeline history API",
        description = "Bars of US stocks from PostgreSQL. Every answer says in `as_of` up to which record of the live stream it is true, \
            and in `X-Complete` whether an outage may have taken something from it.\n\n\
            Times are RFC 3339, `YYYY-MM-DD` (midnight in New York) or Unix milliseconds. Errors are `application/problem+json`; \
            quote their `request_id` when you ask for help. Bars longer than a minute follow New York's clock and calendar.",
    ),
    paths(
        bars::newest, bars::range, bars::gaps, bars::latest,
        series::bars, series::bars_of_one, series::trades, series::trades_of_one,
        series::latest_bars, series::latest_bar_of_one, series::latest_trades, series::latest_trade_of_one,
        snapshots::snapshots, snapshots::snapshot, market::clock, market::calendar,
        quotes::quote, quotes::historical, quotes::search, quotes::status,
        udf::config, udf::time, udf::symbols, udf::search, udf::history,
        ops::about, ops::health, ops::metrics,
    ),
    components(schemas(crate::problem::ProblemBody)),
    tags(
        (name = "bars", description = "Bars of one minute and longer"),
        (name = "alpaca", description = "The same data in the shape of Alpaca's data API v2; its clients work with this address as their base URL"),
        (name = "market", description = "For quote pages"),
        (name = "udf", description = "TradingView's universal data feed"),
        (name = "service", description = "The service itself"),
    )
)]
pub struct ApiDoc;
