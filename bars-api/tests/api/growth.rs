//! What an answer costs does not grow with the table: PostgreSQL reads as many pages for the newest thousand of a large table as of a
//! small one, but for a level of the index now and then.
//!
//! `GROWTH_ROWS` says how many rows the large one has; a million by default, fifty million for a night.

use std::time::Instant;

use serde_json::Value;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::common::{api, database, get, on};

const ROWS_DEFAULT: i64 = 1_000_000;
/// A B-tree of rows like these gets a level more with every hundredfold.
const MORE_PAGES_MAX: u64 = 6;
const SYMBOLS: i64 = 50;

/// Fills the table up to `rows` minutes, spread over all symbols, oldest first.
async fn fill(client: &Client, from: i64, to: i64) {
    let sql = "INSERT INTO market_data_oltp.stock_bars_staging
            (ts, open, high, low, close, volume, ts_ns, symbol, timeframe, source)
        SELECT to_timestamp(n / $3::bigint * 60), 1, 2, 1, 2, 100, n / $3 * 60000000000, 'S' || lpad((n % $3)::text, 2, '0'), '1Min', 'alpaca'
        FROM generate_series($1::bigint, $2::bigint - 1) AS n";
    client.execute(sql, &[&from, &to, &SYMBOLS]).await.unwrap();
    client.batch_execute("VACUUM ANALYZE market_data_oltp.stock_bars_staging").await.unwrap();
    let bump = "INSERT INTO market_data_oltp.stock_bar_versions AS known (symbol, timeframe)
        SELECT 'S' || lpad(n::text, 2, '0'), '1Min' FROM generate_series(0, $1::bigint - 1) AS n
        ON CONFLICT (symbol, timeframe) DO UPDATE SET version = known.version + 1";
    client.execute(bump, &[&SYMBOLS]).await.unwrap();
}

/// Pages that the query behind `/bars/{symbol}` reads.
async fn pages(client: &Client) -> u64 {
    // Planned as the API's own connections plan it.
    let sql = "SET plan_cache_mode = force_generic_plan; DEALLOCATE ALL;
        PREPARE newest (text, text, text, bigint, bigint, bigint) AS
        SELECT ts_ns, open, high, low, close, volume, trade_count, vwap, is_final, revision FROM market_data_oltp.stock_bars_staging
        WHERE symbol = $1 AND timeframe = $2 AND source = $3 AND ts_ns >= $4 AND ts_ns < $5
        ORDER BY ts_ns DESC LIMIT $6;
        EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
        EXECUTE newest ('S07', '1Min', 'alpaca', -9223372036854775808, 9223372036854775807, 1000)";
    let messages = client.simple_query(sql).await.unwrap();
    let text = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let plan: Value = serde_json::from_str(text.unwrap()).unwrap();
    let node = &plan[0]["Plan"];
    let text = plan.to_string();
    assert!(text.contains("Index Scan") && !text.contains("Seq Scan") && !text.contains("\"Sort\""), "{text}");
    node["Shared Hit Blocks"].as_u64().unwrap() + node["Shared Read Blocks"].as_u64().unwrap()
}

#[actix_web::test]
async fn an_answer_costs_as_much_of_a_large_table_as_of_a_small_one() {
    let rows = std::env::var("GROWTH_ROWS").map_or(ROWS_DEFAULT, |text| text.parse().unwrap());
    let (database, client) = database().await;
    let api = api(on(&database)).await;
    let small = rows / 10;
    fill(&client, 0, small).await;
    let few = measured(&client, &api, small).await;
    fill(&client, small, rows).await;
    let many = measured(&client, &api, rows).await;
    assert!(many <= few + MORE_PAGES_MAX, "{many} pages of {rows} rows, {few} of {small}");
}

/// Pages of the query; what an answer took is printed, for people who ask for it with `--nocapture`.
async fn measured<B: actix_web::body::MessageBody>(
    client: &Client,
    api: &impl actix_web::dev::Service<
        actix_http::Request,
        Response = actix_web::dev::ServiceResponse<B>,
        Error = actix_web::Error,
    >,
    rows: i64,
) -> u64 {
    let pages = pages(client).await;
    let mut times = Vec::new();
    for round in 0..4 {
        for symbol in 0..SYMBOLS {
            let began = Instant::now();
            // Another limit each time, so that nothing is answered from memory.
            let reply = get(api, &format!("/bars/S{symbol:02}?limit={}", 1000 - round)).await;
            times.push(began.elapsed());
            assert_eq!(reply.json()["bars"].as_array().unwrap().len(), 1000 - round);
        }
    }
    times.sort();
    println!("{rows} rows: {pages} pages, p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);
    pages
}
