//! Random requests of every route: never a 500, and nothing in an answer that the caller did not send. The long form is
//! `cargo run --release -p bars-api --example api_fuzz`.
//!
//! `FUZZ_REQUESTS` says how many, `FUZZ_SEED` repeats a run.

use actix_web::test::TestRequest;

use crate::common::{Stored, api, database, get, send, store, store_trades, with};
use requests::Fuzz;

#[path = "../../examples/api_fuzz/requests.rs"]
mod requests;

const REQUESTS_DEFAULT: usize = 2_000;

#[actix_web::test]
async fn no_request_ends_in_a_500() {
    let requests = std::env::var("FUZZ_REQUESTS").map_or(REQUESTS_DEFAULT, |text| text.parse().unwrap());
    let seed = std::env::var("FUZZ_SEED").map_or_else(|_| rand::random(), |text| text.parse().unwrap());
    let (database, mut client) = database().await;
    let symbols = ["AAPL", "MSFT", "BRK.B", "BTC/USD"];
    let bars: Vec<_> = symbols.iter().flat_map(|name| (0..40).map(|at| Stored::minute(name, at * 13))).collect();
    store(&mut client, &bars).await;
    store_trades(&client, "AAPL", 50).await;
    let api = api(with(&database, &[("API_STATEMENT_TIME_MAX_MS", "20000")])).await;

    let (mut fuzz, mut answered) = (Fuzz::new(seed), 0);
    for path in [
        "/bars/AAPL/range?limit=2",
        "/v2/stocks/bars?symbols=AAPL,MSFT&timeframe=1Min&limit=2&start=2024-06-03",
        "/v2/stocks/AAPL/trades?limit=2&start=2024-06-03",
    ] {
        let reply = get(&api, path).await;
        assert!(reply.json()["next_page_token"].is_string(), "{path}");
        fuzz.look(path, reply.status.as_u16(), reply.header("content-type"), &reply.body).unwrap();
    }
    for _ in 0..requests {
        let request = fuzz.request();
        let path = &request.path;
        let Ok(uri) = path.parse::<actix_web::http::Uri>() else { continue };
        let asked = TestRequest::get().uri(&uri.to_string()).insert_header(("accept", request.accept));
        let reply = send(&api, asked).await;
        let status = reply.status.as_u16();
        let content_type = reply.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if let Err(wrong) = fuzz.look(path, status, content_type, &reply.body) {
            panic!("FUZZ_SEED={seed}: {wrong} for {path} ({})", request.accept);
        }
        answered += usize::from(status == 200);
    }
    assert!(answered > requests / 10, "only {answered} of {requests} were answered: nothing was tried");
    assert_eq!(get(&api, "/bars/AAPL?limit=1").await.status, 200);
}
