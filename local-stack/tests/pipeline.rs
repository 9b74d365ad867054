//! The whole pipeline on real parts: a recorded day goes in at the feed, and comes out of PostgreSQL and of a stock Socket.IO client,
//! each trade once.
//!
//! The day is one of `TAPELINE_RECORDED_DAYS` (or of `../shared/data/us-equity-ticks-2013-10`), `TAPELINE_PIPELINE_DAY` (default
//! `AIG_20131007`); where there is none, the test makes a day up.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use local_stack::{Service, ServiceKind, http, port, testing};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// One trade of a recorded day.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tick {
    /// Milliseconds since midnight in New York.
    ms: i64,
    /// Dollars × 10,000.
    price: i64,
    /// Shares.
    size: i64,
}

/// A recorded day and what must come out of it.
struct Day {
    folder: PathBuf,
    symbol: String,
    date: String,
    ticks: Vec<Tick>,
    _made_up: Option<tempfile::TempDir>,
}

/// Per minute of the New York day: trades, sum of size, sum of price × size in dollars × 10,000.
type Minutes = BTreeMap<i64, (i64, i64, i64)>;

impl Day {
    fn load() -> Self {
        let name = std::env::var("TAPELINE_PIPELINE_DAY").unwrap_or_else(|_| "AIG_20131007".to_owned());
        let (symbol, date) = name.split_once('_').expect("TAPELINE_PIPELINE_DAY is SYMBOL_YYYYMMDD");
        let (symbol, date) = (symbol.to_uppercase(), date.to_owned());
        let recorded = std::env::var_os("TAPELINE_RECORDED_DAYS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/us-equity-ticks-2013-10"),
            PathBuf::from,
        );
        let file = recorded.join(format!("trades/{}_{date}.zip", symbol.to_lowercase()));
        if file.is_file() {
            let folder = tempfile::tempdir().unwrap();
            std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
            let ticks = read_ticks(&file);
            return Self { folder: folder.path().to_owned(), symbol, date, ticks, _made_up: Some(folder) };
        }
        println!("no recorded day at {}: a made-up one is used", file.display());
        let folder = tempfile::tempdir().unwrap();
        let ticks = make_up(30_000);
        write_ticks(&folder.path().join(format!("{}_{date}.zip", symbol.to_lowercase())), &ticks);
        Self { folder: folder.path().to_owned(), symbol, date, ticks, _made_up: Some(folder) }
    }

    fn minutes(&self) -> Minutes {
        let mut minutes = Minutes::new();
        for tick in &self.ticks {
            let minute = minutes.entry(tick.ms / 60_000).or_default();
            *minute = (minute.0 + 1, minute.1 + tick.size, minute.2 + tick.price * tick.size);
        }
        minutes
    }
}

/// Compares two days and, where they differ, shows the first minute that does.
fn assert_same_minutes(stored: &Minutes, recorded: &Minutes) {
    assert!(!recorded.is_empty());
    for minute in stored.keys().chain(recorded.keys()) {
        assert_eq!(stored.get(minute), recorded.get(minute), "minute {minute} of the day: stored, recorded");
    }
}

fn read_ticks(file: &Path) -> Vec<Tick> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(file).unwrap()).unwrap();
    let mut text = String::new();
    archive.by_index(0).unwrap().read_to_string(&mut text).unwrap();
    let tick = |line: &str| {
        let mut fields = line.split(',').map(|field| field.parse::<f64>().unwrap_or(0.0));
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers far below 2^53")]
        let mut next = || fields.next().unwrap() as i64;
        Tick { ms: next(), price: next(), size: next() }
    };
    text.lines().map(tick).collect()
}

/// A day of a random walk: no market, but every trade different enough to be missed.
fn make_up(count: i64) -> Vec<Tick> {
    let mut state = 42_u64;
    let mut random = |below: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(state >> 33).unwrap() % below
    };
    let mut price = 500_000;
    let open_ms = 34_200_000;
    (0..count)
        .map(|at| {
            price += random(201) - 100;
            Tick { ms: open_ms + at * 23_400_000 / count, price, size: 1 + random(500) }
        })
        .collect()
}

fn write_ticks(file: &Path, ticks: &[Tick]) {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(file).unwrap());
    archive.start_file("day.csv", zip::write::SimpleFileOptions::default()).unwrap();
    for tick in ticks {
        writeln!(archive, "{},{},{},Q,1,0", tick.ms, tick.price, tick.size).unwrap();
    }
    archive.finish().unwrap();
}

/// Every part of the pipeline that a test started, on names of its own.
struct Pipeline {
    env: Vec<(String, String)>,
    folder: tempfile::TempDir,
    database: testing::Database,
    simulator_port: u16,
    _simulator: Service,
}

impl Pipeline {
    /// Fresh names on real servers, and the simulator ready to replay `day` once somebody subscribes.
    async fn prepare(day: &Day, pace: &str) -> Self {
        let database = testing::database().await;
        let redis = testing::redis().await;
        let simulator_port = port::free().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{simulator_port}");
        let mut env: Vec<(String, String)> = [
            ("ALPACA_API_KEY", "demo".to_owned()),
            ("ALPACA_API_SECRET", "demo".to_owned()),
            ("ALPACA_DATA_WS_URL", format!("ws://{address}/v2/sip")),
            ("ALPACA_DATA_REST_URL", format!("http://{address}")),
            ("SUBSCRIBED_SYMBOLS", day.symbol.clone()),
            ("KAFKA_BOOTSTRAP_SERVERS", testing::kafka().await),
            ("REDIS_HOST", redis.host),
            ("REDIS_PORT", redis.port.to_string()),
            ("SPOOL_DIR", folder.path().join("spool").display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        for name in ["TOPIC_TRADES", "TOPIC_BARS", "TOPIC_GAPS", "TOPIC_DEAD_LETTERS"] {
            env.push((name.to_owned(), testing::unique("topic")));
        }
        for name in ["REDIS_CHANNEL_TRADES", "REDIS_CHANNEL_BARS", "REDIS_CHANNEL_QUOTES", "REDIS_CHANNEL_STATUS"] {
            env.push((name.to_owned(), testing::unique("channel")));
        }
        for name in ["CONSUMER_TRADES_GROUP", "CONSUMER_BARS_GROUP"] {
            env.push((name.to_owned(), testing::unique("group")));
        }
        env.extend(database.env().map(|(name, value)| (name.to_owned(), value)));
        let kind = ServiceKind::new("feed-simulator", folder.path().join("feed-simulator.log"))
            .unwrap()
            .args(["--listen", &address, "--pace", pace, "--days", &day.date, "--wait-for-subscriber", "true"])
            .args(["--replay", &day.folder.display().to_string()])
            .ready_at(simulator_port, "/control/stats");
        let simulator = Service::launch(kind).await.unwrap();
        Self { env, folder, database, simulator_port, _simulator: simulator }
    }

    async fn start(&self, name: &str, port_variable: &str) -> (Service, u16) {
        let port = port::free().unwrap();
        let kind = ServiceKind::new(name, self.folder.path().join(format!("{name}.log")))
            .unwrap()
            .envs(self.env.iter().cloned())
            .env(port_variable, port)
            .ready_at(port, "/health");
        (Service::launch(kind).await.unwrap(), port)
    }

    /// Trades that left the simulator.
    async fn sent(&self) -> i64 {
        let stats: serde_json::Value =
            serde_json::from_str(&http::get(self.simulator_port, "/control/stats").await.unwrap().body).unwrap();
        stats["sent"]["by_type"]["t"].as_i64().unwrap()
    }

    async fn stored(&self) -> i64 {
        let client = self.database.connect().await;
        let row = client.query_one("SELECT count(*) FROM market_data_oltp.stock_trades_realtime", &[]).await;
        row.map_or(0, |row| row.get(0))
    }

    async fn until_stored(&self, wanted: i64, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut stored = self.stored().await;
        while stored < wanted {
            assert!(Instant::now() < deadline, "{stored} of {wanted} trades stored within {limit:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
            stored = self.stored().await;
        }
    }

    /// What PostgreSQL holds, by minute of the New York day.
    async fn minutes(&self) -> Minutes {
        let client = self.database.connect().await;
        let rows = client
            .query(
                "SELECT (extract(hour FROM ts AT TIME ZONE 'America/New_York') * 60
                         + extract(minute FROM ts AT TIME ZONE 'America/New_York'))::bigint,
                        count(*), sum(size)::bigint, sum(round(price::numeric * 10000) * size::numeric)::bigint
                 FROM market_data_oltp.stock_trades_realtime GROUP BY 1",
                &[],
            )
            .await
            .unwrap();
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3)))).collect()
    }

    async fn dead_letters(&self, consumer_port: u16) -> f64 {
        let metrics = http::get(consumer_port, "/metrics").await.unwrap().body;
        metrics
            .lines()
            .filter(|line| line.contains("dead_letters") && !line.starts_with('#'))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_as_fast_as_possible_is_stored_exactly_also_when_a_consumer_is_killed() {
    let day = Day::load();
    let pipeline = Pipeline::prepare(&day, "max").await;
    let (mut trades, _) = pipeline.start("consumer-trades", "CONSUMER_TRADES_PORT").await;
    let (mut bars, _) = pipeline.start("consumer-bars", "CONSUMER_BARS_PORT").await;
    let (producer, _) = pipeline.start("producer", "PRODUCER_PORT").await;

    let total = i64::try_from(day.ticks.len()).unwrap();
    pipeline.until_stored(total / 10, Duration::from_secs(60)).await;
    trades.kill().await;
    bars.kill().await;
    trades.restart().await.unwrap();
    bars.restart().await.unwrap();
    pipeline.until_stored(total, Duration::from_secs(180)).await;

    assert!(producer.stop().await && trades.stop().await && bars.stop().await, "all stop by themselves");
    assert_eq!(pipeline.stored().await, total);
    assert_same_minutes(&pipeline.minutes().await, &day.minutes());
    assert_eq!(pipeline.sent().await, total, "the simulator agrees");
}

/// A stock Socket.IO client in Node.
struct Subscriber {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Subscriber {
    /// Connects and subscribes; returns when the gateway has acknowledged.
    async fn start(gateway_port: u16, symbol: &str, wanted: usize) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let client = root.join("../dashboard/node_modules/socket.io-client");
        assert!(client.is_dir(), "socket.io-client is missing: run `npm --prefix dashboard ci`");
        let mut child = Command::new("node")
            .arg(root.join("tests/pipeline/subscriber.cjs"))
            .args([&format!("http://127.0.0.1:{gateway_port}"), symbol, &wanted.to_string()])
            .env("SOCKET_IO_CLIENT", client)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node runs");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await;
        assert_eq!(first.expect("an acknowledgement in time").unwrap().as_deref(), Some("subscribed"));
        Self { _child: child, lines }
    }

    /// What it has seen once the wanted number of trades has come.
    async fn report(mut self, limit: Duration) -> String {
        let mut report = String::new();
        let read = self.lines.get_mut().read_to_string(&mut report);
        tokio::time::timeout(limit, read).await.expect("every trade in time").unwrap();
        report.trim().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_ten_thousand_a_second_a_stock_client_gets_each_trade_once_in_order() {
    let day = Day::load();
    let pipeline = Pipeline::prepare(&day, "10000/s").await;
    let (gateway, gateway_port) = pipeline.start("realtime-gateway", "GATEWAY_PORT").await;
    let subscriber = Subscriber::start(gateway_port, &day.symbol, day.ticks.len()).await;
    let (trades, trades_port) = pipeline.start("consumer-trades", "CONSUMER_TRADES_PORT").await;
    let (producer, _) = pipeline.start("producer", "PRODUCER_PORT").await;

    let seconds = u64::try_from(day.ticks.len() / 10_000).unwrap();
    let report = subscriber.report(Duration::from_secs(60 + 2 * seconds)).await;
    let (size, money) =
        day.ticks.iter().fold((0, 0), |(size, money), tick| (size + tick.size, money + tick.price * tick.size));
    assert_eq!(report, format!("{} trades in order, size {size}, money {money}", day.ticks.len()));

    pipeline.until_stored(i64::try_from(day.ticks.len()).unwrap(), Duration::from_secs(60)).await;
    assert_same_minutes(&pipeline.minutes().await, &day.minutes());
    assert_eq!(pipeline.dead_letters(trades_port).await, 0.0);
    assert!(producer.stop().await && trades.stop().await && gateway.stop().await, "all stop by themselves");
}
