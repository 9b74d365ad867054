//! A database with the real schema, a writer that does what the sink does, and the API in this process.

use std::path::Path;
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::{Error, test, web};
use bars_api::app::app;
use bars_api::config::Config;
use bars_api::state::State;
use local_stack::testing::{self, Database};
use serde_json::Value;
use service::web::origin::Origins;
use service::{Health, Vars};
use tokio_postgres::Client;

/// 2024-06-03T13:30:00Z, the opening bell in New York, in Unix milliseconds.
pub(crate) const OPEN_MS: i64 = 1_717_421_400_000;
pub(crate) const MINUTE_MS: i64 = 60_000;

/// A new database with the schema of `sql/`.
pub(crate) async fn database() -> (Database, Client) {
    let database = testing::database().await;
    let client = database.connect().await;
    migrate(&client).await;
    (database, client)
}

/// Runs the migrations as their runner does: in order, with its own history table there before the first.
pub(crate) async fn migrate(client: &Client) {
    let history = "CREATE SCHEMA IF NOT EXISTS market_data_oltp;
        CREATE TABLE market_data_oltp.schema_history (version int, name text, applied_on text, checksum text)";
    client.batch_execute(history).await.unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        name.trim_start_matches('V').split("__").next().unwrap().parse::<u32>().unwrap()
    });
    for file in files {
        let sql = std::fs::read_to_string(&file).unwrap();
        client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{}: {error:?}", file.display()));
    }
}

/// One bar to store.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) symbol: String,
    pub(crate) timeframe: String,
    pub(crate) start_ms: i64,
    pub(crate) price: f64,
    pub(crate) volume: f64,
    pub(crate) revision: i64,
    pub(crate) seq: i64,
    pub(crate) source: String,
}

impl Stored {
    pub(crate) fn minute(symbol: &str, at: i64) -> Self {
        Self {
            symbol: symbol.to_owned(),
            timeframe: "1Min".to_owned(),
            start_ms: OPEN_MS + at * MINUTE_MS,
            price: 100.0 + at as f64,
            volume: 10.0,
            revision: 0,
            seq: at + 1,
            source: "alpaca".to_owned(),
        }
    }
}

/// Stores bars the way the sink does: rows, version and roll-ups in one transaction.
pub(crate) async fn store(client: &mut Client, bars: &[Stored]) {
    let transaction = client.transaction().await.unwrap();
    for bar in bars {
        let upsert = "INSERT INTO market_data_oltp.stock_bars_staging
                (ts, open, high, low, close, volume, vwap, trade_count, ts_ns, revision, epoch, seq, is_final, symbol, timeframe, source)
            VALUES (to_timestamp($1::bigint / 1e9), $2::float8, $2::float8 + 1, $2::float8 - 1, $2::float8 + 0.5, $3, $2::float8, 2, $1, $4, 7, $5, true, $6, $7, $8)
            ON CONFLICT (symbol, timeframe, ts_ns, source) DO UPDATE SET open = EXCLUDED.open, high = EXCLUDED.high, low = EXCLUDED.low,
                close = EXCLUDED.close, volume = EXCLUDED.volume, vwap = EXCLUDED.vwap, revision = EXCLUDED.revision, seq = EXCLUDED.seq";
        let ts_ns = bar.start_ms * 1_000_000;
        transaction
            .execute(
                upsert,
                &[&ts_ns, &bar.price, &bar.volume, &bar.revision, &bar.seq, &bar.symbol, &bar.timeframe, &bar.source],
            )
            .await
            .unwrap();
        let changed = "SELECT market_data_oltp.bars_changed($1, $2, $3)";
        transaction.execute(changed, &[&bar.symbol, &bar.timeframe, &ts_ns]).await.unwrap();
    }
    let minutes = || bars.iter().filter(|bar| bar.timeframe == "1Min");
    let symbols: Vec<&str> = minutes().map(|bar| bar.symbol.as_str()).collect();
    let sources: Vec<&str> = minutes().map(|bar| bar.source.as_str()).collect();
    let starts_ns: Vec<i64> = minutes().map(|bar| bar.start_ms * 1_000_000).collect();
    let roll_up = "SELECT market_data_oltp.roll_up_bars($1, $2, $3)";
    transaction.execute(roll_up, &[&symbols, &sources, &starts_ns]).await.unwrap();
    transaction.commit().await.unwrap();
}

/// Stores one trade a minute from the opening bell, of 100, 101, … dollars.
pub(crate) async fn store_trades(client: &Client, symbol: &str, count: i64) {
    let sql = "SELECT market_data_oltp.ensure_trade_partitions(ARRAY[DATE '2024-06-03', DATE '2024-06-04'])";
    client.query(sql, &[]).await.unwrap();
    let sql = "INSERT INTO market_data_oltp.stock_trades_realtime
            (ts, price, size, ts_ns, epoch, seq, symbol, exchange, trade_id, source, tape, conditions)
        SELECT to_timestamp($2::bigint / 1000 + n * 60), 100 + n, n + 1, ($2::bigint + n * 60000) * 1000000, 7, n + 1, $1,
            CASE n % 2 WHEN 0 THEN 'Q' ELSE '' END, (3447222699101865000 + n)::text, 'alpaca', 'C', '@,I'
        FROM generate_series(0, $3::bigint - 1) AS n";
    client.execute(sql, &[&symbol, &OPEN_MS, &count]).await.unwrap();
}

/// Waits until `/health` says `status` with `part` in its body.
pub(crate) async fn until_healthy(base: &str, status: u16, part: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(reply) = reqwest::get(format!("{base}/health")).await
            && reply.status() == status
            && reply.text().await.unwrap().contains(part)
        {
            return;
        }
        assert!(Instant::now() < until, "/health never said {status} {part}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The config of an API on `database`, and `extra` variables.
pub(crate) fn with(database: &Database, extra: &[(&str, &str)]) -> Config {
    let env = database.env();
    let mut pairs: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    pairs.extend_from_slice(extra); // of two values of one name the last stands
    Vars::from_pairs(&pairs).load(Config::from_vars).unwrap()
}

/// The config of an API on `database`.
pub(crate) fn on(database: &Database) -> Config {
    with(database, &[])
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The starts of all bars, as minutes after the opening bell.
    pub(crate) fn minutes(&self) -> Vec<i64> {
        let json = self.json();
        let bars = json["bars"].as_array().unwrap_or_else(|| panic!("no bars in {json}")).clone();
        bars.iter().map(|bar| (bar["timestamp"].as_i64().unwrap() - OPEN_MS) / MINUTE_MS).collect()
    }
}

/// The API in this process.
pub(crate) async fn api(
    config: Config,
) -> impl Service<actix_http::Request, Response = ServiceResponse<impl MessageBody>, Error = Error> {
    let state = State::new(&config, Health::new("bars-api")).unwrap();
    test::init_service(app(web::Data::new(state), Origins::of(["http://page.test"]).unwrap())).await
}

/// `GET path`.
pub(crate) async fn get<B: MessageBody>(
    api: &impl Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    path: &str,
) -> Reply {
    send(api, test::TestRequest::get().uri(path)).await
}

/// Any request.
pub(crate) async fn send<B: MessageBody>(
    api: &impl Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    request: test::TestRequest,
) -> Reply {
    let response = test::call_service(api, request.to_request()).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = test::read_body(response).await.to_vec();
    Reply { status, headers, body }
}

/// A problem that names `parameter` (empty: none) with `status`.
#[track_caller]
pub(crate) fn assert_problem(reply: &Reply, status: u16, parameter: &str) {
    let json = reply.json();
    assert_eq!(reply.status, status, "{json}");
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(json["status"], status);
    assert_eq!(json["parameter"].as_str().unwrap_or_default(), parameter, "{json}");
    assert_eq!(json["request_id"], reply.header("x-request-id"));
    assert!(!reply.header("x-request-id").is_empty());
    assert!(json["detail"].as_str().unwrap().len() > 10, "{json}");
}
