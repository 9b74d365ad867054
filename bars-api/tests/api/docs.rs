//! What the API says about itself.

use crate::common::{api, database, get, on};

#[actix_web::test]
async fn the_front_door_says_what_this_is() {
    let (database, _client) = database().await;
    let api = api(on(&database)).await;
    let json = get(&api, "/").await.json();
    assert_eq!(json["service"], "bars-api");
    assert_eq!(json["links"]["docs"], "/docs/");
}

#[actix_web::test]
async fn the_docs_page_needs_no_other_host() {
    let (database, _client) = database().await;
    let api = api(on(&database)).await;
    assert_eq!(get(&api, "/docs").await.header("location"), "docs/");
    let page = get(&api, "/docs/").await;
    assert_eq!(page.status, 200);
    let html = String::from_utf8(page.body).unwrap();
    let files: Vec<&str> = html
        .split(['"', '\''])
        .filter(|text| text.ends_with(".js") || text.ends_with(".css") || text.ends_with(".png"))
        .collect();
    assert!(files.len() >= 4, "{html}");
    for file in files {
        assert!(!file.contains("//"), "{file} is on another host");
        let path = format!("/docs/{}", file.trim_start_matches("./"));
        assert_eq!(get(&api, &path).await.status, 200, "{path}");
    }
    let settings = String::from_utf8(get(&api, "/docs/swagger-initializer.js").await.body).unwrap();
    // Found from the page itself, so that it works below any prefix.
    assert!(settings.contains("\"../openapi.json\"") && !settings.contains("http"), "{settings}");
}

#[actix_web::test]
async fn the_document_names_every_route_and_every_error() {
    let (database, _client) = database().await;
    let api = api(on(&database)).await;
    let json = get(&api, "/openapi.json").await.json();
    assert!(json["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in ["/bars/{symbol}", "/bars/{symbol}/range", "/bars/latest"] {
        let responses = &json["paths"][path]["get"]["responses"];
        for status in ["200", "400", "503"] {
            assert!(responses[status].is_object(), "{path} does not say {status}");
        }
    }
    assert!(json["paths"]["/health"].is_object() && json["paths"]["/metrics"].is_object());
    assert_eq!(json["servers"][0]["url"], "./");
    for scheme in ["bearer", "key"] {
        assert!(json["components"]["securitySchemes"][scheme].is_object(), "{scheme}");
    }
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in json["paths"].as_object().unwrap() {
        let operation = &item["get"];
        assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path} shares its operationId");
        assert!(operation["security"].is_array(), "{path}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            for (media, content) in response["content"].as_object().into_iter().flatten() {
                assert!(content["schema"].is_object(), "{path} {status} {media} has no schema");
            }
            let described = response["content"].is_object() || status == "304";
            assert!(described, "{path} {status} says nothing of its body");
        }
    }
}

#[actix_web::test]
async fn metrics_count_requests_by_route() {
    let (database, _client) = database().await;
    let api = api(on(&database)).await;
    get(&api, "/bars/NOPE").await;
    let text = String::from_utf8(get(&api, "/metrics").await.body).unwrap();
    assert!(text.contains("bars_api_request_seconds_count{route=\"/bars/{symbol}\",status=\"4xx\"}"), "{text}");
}
