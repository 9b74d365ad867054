//! The OpenAPI document, from the code.

use utoipa::OpenApi;

use crate::routes::{bars, ops};

/// All routes that people call.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tapeline history API",
        description = "Bars of US stocks from PostgreSQL. Every answer says in `as_of` up to which record of the live stream it is true.\n\n\
            Times are RFC 3339, `YYYY-MM-DD` (midnight in New York) or Unix milliseconds. Errors are `application/problem+json`; \
            quote their `request_id` when you ask for help. Bars longer than a minute follow New York's clock and calendar.",
    ),
    paths(ops::about, ops::health, ops::metrics, bars::latest, bars::newest, bars::range),
    tags(
        (name = "bars", description = "Bars of one minute and longer"),
        (name = "service", description = "The service itself"),
    )
)]
pub struct ApiDoc;
