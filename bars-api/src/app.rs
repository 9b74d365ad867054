//! The HTTP application: every route, and what is wrapped around them.

use actix_cors::Cors;
use actix_web::body::MessageBody;
use actix_web::dev::{Handler, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::{Compress, from_fn};
use actix_web::{App, Error, FromRequest, HttpRequest, HttpResponse, Resource, Responder, guard, web};
use service::web::origin::Origins;
use utoipa_swagger_ui::{Config as SwaggerConfig, SwaggerUi};

use crate::format;
use crate::middleware::{RATE_LIMIT, REQUEST_ID, around};
use crate::problem::Problem;
use crate::reply;
use crate::routes::alpaca::{market, meta, quotes as alpaca_quotes, series, snapshots};
use crate::routes::{bars, market as quotes, openbb, ops, udf};
use crate::state::State;

/// Builds the application; each HTTP thread has one.
pub fn app(
    state: web::Data<State>,
    origins: Origins,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(state)
        .app_data(web::PathConfig::default().error_handler(|_, request| Problem::no_route(request.path()).into()))
        .wrap(from_fn(around)) // innermost, so that its errors get CORS headers too
        .wrap(Compress::default())
        .wrap(cors(&origins))
        .configure(routes)
        .default_service(web::to(no_route))
}

fn routes(app: &mut web::ServiceConfig) {
    app.service(json("/", ops::about))
        .service(json("/health", ops::health))
        .service(get("/metrics", ops::metrics))
        .service(get("/docs", ops::docs))
        .service(get("/openapi.json", ops::openapi))
        .service(SwaggerUi::new("/docs/{_:.*}").config(swagger()))
        .service(json("/bars/latest", bars::latest)) // before `{symbol}`: no symbol is called `latest`
        .service(get("/bars/{symbol}", bars::newest))
        .service(get("/bars/{symbol}/range", bars::range))
        .service(json("/bars/{symbol}/gaps", bars::gaps))
        .configure(alpaca)
        .configure(pages);
}

/// Quote pages and charting libraries.
fn pages(app: &mut web::ServiceConfig) {
    app.service(json("/api/market/status", quotes::status))
        .service(json("/api/market/search", quotes::search))
        .service(json("/api/market/quote/{symbol}", quotes::quote))
        .service(json("/api/market/historical/{symbol}", quotes::historical))
        .service(json("/udf/config", udf::config))
        .service(get("/udf/time", udf::time))
        .service(json("/udf/symbols", udf::symbols))
        .service(json("/udf/search", udf::search))
        .service(json("/udf/history", udf::history))
        .service(json("/udf/marks", udf::marks))
        .service(json("/udf/symbol_info", udf::symbol_info))
        .service(json("/udf/quotes", udf::quotes))
        .service(json("/widgets.json", openbb::widgets))
        .service(json("/apps.json", openbb::apps));
}

/// Fixed words come before `{symbol}`, or they would be taken for one.
fn alpaca(app: &mut web::ServiceConfig) {
    app.service(json("/v2/clock", market::clock))
        .service(json("/v2/calendar", market::calendar))
        .service(json("/v2/stocks/meta/exchanges", meta::exchanges))
        .service(json("/v2/stocks/meta/conditions/{ticktype}", meta::conditions))
        .service(json("/v2/stocks/quotes", alpaca_quotes::quotes))
        .service(json("/v2/stocks/quotes/latest", alpaca_quotes::latest))
        .service(json("/v2/stocks/{symbol}/quotes", alpaca_quotes::quotes_of_one))
        .service(json("/v2/stocks/{symbol}/quotes/latest", alpaca_quotes::latest_of_one))
        .service(json("/v2/stocks/bars", series::bars))
        .service(json("/v2/stocks/bars/latest", series::latest_bars))
        .service(json("/v2/stocks/trades", series::trades))
        .service(json("/v2/stocks/trades/latest", series::latest_trades))
        .service(json("/v2/stocks/snapshots", snapshots::snapshots))
        .service(json("/v2/stocks/{symbol}/bars", series::bars_of_one))
        .service(json("/v2/stocks/{symbol}/bars/latest", series::latest_bar_of_one))
        .service(json("/v2/stocks/{symbol}/trades", series::trades_of_one))
        .service(json("/v2/stocks/{symbol}/trades/latest", series::latest_trade_of_one))
        .service(json("/v2/stocks/{symbol}/snapshot", snapshots::snapshot));
}

/// A resource that can be read, as JSON only.
fn json<F, Args>(
    path: &str,
    handler: F,
) -> Resource<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
>
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    get(path, handler).wrap(from_fn(format::only_json))
}

/// A resource that can be read and nothing else.
fn get<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let reads = guard::Any(guard::Get()).or(guard::Head());
    web::resource(path).route(web::route().guard(reads).to(handler)).default_service(web::to(not_a_method))
}

/// No validator badge: it would fetch a picture from a host on the internet. The document is found from the page, so that both work below
/// any prefix of a proxy.
fn swagger() -> SwaggerConfig<'static> {
    SwaggerConfig::from("../openapi.json").validator_url("none").try_it_out_enabled(true)
}

fn cors(origins: &Origins) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET", "HEAD"])
        .allow_any_header()
        .expose_headers([REQUEST_ID, header::ETAG, header::RETRY_AFTER])
        .expose_headers(RATE_LIMIT)
        .expose_headers([format::NEXT_PAGE_TOKEN, format::AS_OF, reply::COMPLETE])
        .max_age(3600);
    if origins.is_any() {
        return cors.allow_any_origin().send_wildcard();
    }
    let origins = origins.clone();
    cors.allowed_origin_fn(move |origin, request| {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        origin.to_str().is_ok_and(|origin| origins.allow(origin, host))
    })
}

async fn no_route(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(Problem::no_route(request.path()))
}

async fn not_a_method(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(Problem::method(request.method().as_str()))
}
