//! The dashboard's files at `/`.

use std::path::Path;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _};
use tower::Layer as _;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

const ABSENT: &str = include_str!("absent.html");

/// Serves the folder as the fallback of `router`; a page that says what to do where the dashboard is not built.
pub fn serve<S: Clone + Send + Sync + 'static>(router: Router<S>, folder: &Path) -> Router<S> {
    if !folder.join("index.html").is_file() {
        tracing::warn!(folder = %folder.display(), "the dashboard is not built; `/` says how");
        return router.fallback(|| async { (StatusCode::NOT_FOUND, Html(ABSENT)).into_response() });
    }
    // Built files carry a hash in their names; everything else must be asked for anew.
    let hashed = SetResponseHeaderLayer::if_not_present(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    let fresh =
        SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    router
        .nest_service("/assets", hashed.layer(ServeDir::new(folder.join("assets"))))
        .fallback_service(fresh.layer(ServeDir::new(folder)))
}
