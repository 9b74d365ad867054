//! The dashboard's files at `/`.

use std::path::Path;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _};
use tower::Layer as _;
use tower_http::services::ServeDir;
use tower_http::set_header::{SetResponseHeader, SetResponseHeaderLayer};

const ABSENT: &str = include_str!("absent.html");

/// Serves the folder as the fallback of `router`; a page that says what to do where the dashboard is not built.
pub fn serve<S: Clone + Send + Sync + 'static>(router: Router<S>, folder: &Path) -> Router<S> {
    if !folder.join("index.html").is_file() {
        tracing::warn!(folder = %folder.display(), "the dashboard is not built; `/` says how");
        return router.fallback(|| async { (StatusCode::NOT_FOUND, Html(ABSENT)).into_response() });
    }
    let files = |folder: &Path| ServeDir::new(folder).precompressed_br().precompressed_gzip();
    router
        .nest_service("/assets", headers(HASHED).layer(files(&folder.join("assets"))))
        .fallback_service(headers(FRESH).layer(files(folder)))
}

/// Built files carry a hash in their names; everything else must be asked for anew.
const HASHED: &str = "public, max-age=31536000, immutable";
const FRESH: &str = "no-cache";

/// How long a file may be kept, and that it comes in several encodings: the build leaves compressed copies beside each file.
fn headers(cache: &'static str) -> impl tower::Layer<ServeDir, Service = Headed> {
    let header = |name, value| SetResponseHeaderLayer::if_not_present(name, header::HeaderValue::from_static(value));
    (header(header::CACHE_CONTROL, cache), header(header::VARY, "accept-encoding"))
}

type Headed = SetResponseHeader<SetResponseHeader<ServeDir, header::HeaderValue>, header::HeaderValue>;

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    async fn get(folder: &Path, path: &str, encodings: &str) -> (StatusCode, header::HeaderMap, Vec<u8>) {
        let request = Request::get(path).header(header::ACCEPT_ENCODING, encodings).body(Body::empty()).unwrap();
        let response = serve(Router::new(), folder).oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        (status, headers, axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec())
    }

    #[tokio::test]
    async fn files_are_sent_in_the_best_encoding_that_the_browser_takes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("assets")).unwrap();
        for (name, text) in [
            ("index.html", "plain"),
            ("assets/a-1.js", "plain"),
            ("assets/a-1.js.gz", "gz"),
            ("assets/a-1.js.br", "br"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        for (encodings, sent, encoding) in
            [("gzip, deflate, br", "br", Some("br")), ("gzip", "gz", Some("gzip")), ("identity", "plain", None)]
        {
            let (status, headers, body) = get(folder.path(), "/assets/a-1.js", encodings).await;
            assert_eq!((status, body.as_slice()), (StatusCode::OK, sent.as_bytes()), "{encodings}");
            assert_eq!(headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap()), encoding);
            assert_eq!(headers[header::CACHE_CONTROL], HASHED);
            assert_eq!(headers[header::VARY], "accept-encoding");
            assert!(headers[header::CONTENT_TYPE].to_str().unwrap().contains("javascript"));
        }
        // Without a compressed copy the file goes out as it is.
        let (_, headers, body) = get(folder.path(), "/", "br").await;
        assert_eq!((body.as_slice(), &headers[header::CACHE_CONTROL]), (b"plain".as_slice(), &FRESH.parse().unwrap()));
    }
}
