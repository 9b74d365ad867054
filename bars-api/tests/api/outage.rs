//! The database is away, slow, empty or full: 503 with Retry-After, never a hang, never a 500.

use std::time::{Duration, Instant};

use local_stack::{port, testing};
use service::CancellationToken;

use crate::common::{Stored, api, assert_problem, database, get, migrate, on, store, until_healthy, with};

#[actix_web::test]
async fn without_a_schema_routes_say_so_and_come_alive_with_it() {
    let database = testing::database().await;
    let mut client = database.connect().await;
    let api = api(on(&database)).await;
    for path in ["/bars/AAPL", "/bars/AAPL/range", "/bars/latest"] {
        let reply = get(&api, path).await;
        assert_problem(&reply, 503, "");
        assert_eq!(reply.header("retry-after"), "1");
    }
    migrate(&client).await;
    store(&mut client, &[Stored::minute("AAPL", 0)]).await;
    assert_eq!(get(&api, "/bars/AAPL").await.minutes(), [0]);
}

#[actix_web::test]
async fn without_a_server_routes_answer_at_once() {
    let (database, _client) = database().await;
    let port = port::free().unwrap().to_string();
    let api = api(with(&database, &[("POSTGRES_PORT", &port)])).await;
    let asked = Instant::now();
    assert_problem(&get(&api, "/bars/AAPL").await, 503, "");
    assert!(asked.elapsed() < Duration::from_secs(5));
}

#[actix_web::test]
async fn a_full_pool_sends_requests_away_and_recovers() {
    let (database, mut client) = database().await;
    store(&mut client, &[Stored::minute("AAPL", 0)]).await;
    let limits = [("API_CONNECTIONS_MAX", "1"), ("API_POOL_WAIT_MAX_MS", "100"), ("API_STATEMENT_TIME_MAX_MS", "1000")];
    let api = api(with(&database, &limits)).await;
    client
        .batch_execute("BEGIN; LOCK TABLE market_data_oltp.stock_bar_versions IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let (first, second) = tokio::join!(get(&api, "/bars/AAPL"), get(&api, "/bars/AAPL"));
    for reply in [&first, &second] {
        assert_problem(reply, 503, "");
        assert_eq!(reply.header("retry-after"), "1");
    }
    let details = [first.json()["detail"].to_string(), second.json()["detail"].to_string()].join(" ");
    assert!(details.contains("too many requests") && details.contains("too long"), "{details}");
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(get(&api, "/bars/AAPL").await.minutes(), [0]);
}

#[actix_web::test]
async fn connections_that_the_server_cut_are_replaced() {
    let (database, mut client) = database().await;
    store(&mut client, &[Stored::minute("AAPL", 0)]).await;
    let api = api(on(&database)).await;
    for _ in 0..3 {
        assert_eq!(get(&api, "/bars/AAPL").await.minutes(), [0]);
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE application_name = 'bars-api' AND datname = current_database()";
        client.query(cut, &[]).await.unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let reply = get(&api, "/bars/AAPL").await;
            if reply.status == 200 {
                break;
            }
            assert_problem(&reply, 503, "");
            assert!(Instant::now() < until, "still away: {}", reply.json());
        }
    }
}

#[actix_web::test]
async fn the_api_cannot_write() {
    let (database, _client) = database().await;
    let pool = bars_api::db::Database::new(&on(&database), "bars-api", 1, std::sync::Arc::default(), None).unwrap();
    let connection = pool.connect().await.unwrap();
    let error = connection.batch_execute("DELETE FROM market_data_oltp.stock_bars_staging").await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "25006");
}

/// The whole service: it is not ready without tables, becomes ready with them, answers, and stops when it is told to.
#[tokio::test]
async fn the_service_waits_for_its_tables_serves_and_stops() {
    let database = testing::database().await;
    let mut client = database.connect().await;
    let port = port::free().unwrap();
    let config = with(&database, &[("API_PORT", &port.to_string()), ("API_HOST", "127.0.0.1")]);
    let stop = CancellationToken::new();
    let running = tokio::spawn(bars_api::run(config, stop.clone()));
    let base = format!("http://127.0.0.1:{port}");

    until_healthy(&base, 503, "stock_bars_staging").await;
    migrate(&client).await;
    store(&mut client, &[Stored::minute("AAPL", 0)]).await;
    until_healthy(&base, 200, "\"status\":\"ok\"").await;
    let bars = reqwest::get(format!("{base}/bars/AAPL")).await.unwrap();
    assert_eq!(bars.status(), 200);
    assert!(bars.text().await.unwrap().contains("\"bars\":[{\"timestamp\":1717421400000"));

    stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), running).await.expect("it stops in time").unwrap().unwrap();
    assert!(reqwest::get(format!("{base}/health")).await.is_err(), "the port is closed");
}
