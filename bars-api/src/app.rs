//! The HTTP application: every route, and what is wrapped around them.

use actix_cors::Cors;
use actix_web::body::MessageBody;
use actix_web::dev::{Handler, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::{Compress, from_fn};
use actix_web::{App, Error, FromRequest, HttpRequest, HttpResponse, Resource, Responder, guard, web};
use service::web::origin::Origins;
use utoipa::OpenApi as _;
use utoipa_swagger_ui::{Config as SwaggerConfig, SwaggerUi};

use crate::format;
use crate::middleware::{RATE_LIMIT, REQUEST_ID, around};
use crate::openapi::ApiDoc;
use crate::problem::Problem;
use crate::reply;
use crate::routes::alpaca::{market, series, snapshots};
use crate::routes::{bars, market as quotes, ops, udf};
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
    app.service(get("/", ops::about))
        .service(get("/health", ops::health))
        .service(get("/metrics", ops::metrics))
        .service(get("/docs", ops::docs))
        .service(SwaggerUi::new("/docs/{_:.*}").config(swagger()).url("/openapi.json", ApiDoc::openapi()))
        .service(get("/bars/latest", bars::latest)) // before `{symbol}`: no symbol is called `latest`
        .service(get("/bars/{symbol}", bars::newest))
        .service(get("/bars/{symbol}/range", bars::range))
        .service(get("/bars/{symbol}/gaps", bars::gaps))
        .configure(alpaca)
        .configure(pages);
}

/// Quote pages and charting libraries.
fn pages(app: &mut web::ServiceConfig) {
    app.service(get("/api/market/status", quotes::status))
        .service(get("/api/market/search", quotes::search))
        .service(get("/api/market/quote/{symbol}", quotes::quote))
        .service(get("/api/market/historical/{symbol}", quotes::historical))
        .service(get("/udf/config", udf::config))
        .service(get("/udf/time", udf::time))
        .service(get("/udf/symbols", udf::symbols))
        .service(get("/udf/search", udf::search))
        .service(get("/udf/history", udf::history));
}

/// Fixed words come before `{symbol}`, or they would be taken for one.
fn alpaca(app: &mut web::ServiceConfig) {
    app.service(get("/v2/clock", market::clock))
        .service(get("/v2/calendar", market::calendar))
        .service(get("/v2/stocks/bars", series::bars))
        .service(get("/v2/stocks/bars/latest", series::latest_bars))
        .service(get("/v2/stocks/trades", series::trades))
        .service(get("/v2/stocks/trades/latest", series::latest_trades))
        .service(get("/v2/stocks/snapshots", snapshots::snapshots))
        .service(get("/v2/stocks/{symbol}/bars", series::bars_of_one))
        .service(get("/v2/stocks/{symbol}/bars/latest", series::latest_bar_of_one))
        .service(get("/v2/stocks/{symbol}/trades", series::trades_of_one))
        .service(get("/v2/stocks/{symbol}/trades/latest", series::latest_trade_of_one))
        .service(get("/v2/stocks/{symbol}/snapshot", snapshots::snapshot));
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

/// No validator badge: it would fetch a picture from a host on the internet.
fn swagger() -> SwaggerConfig<'static> {
    SwaggerConfig::default().validator_url("none").try_it_out_enabled(true)
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
