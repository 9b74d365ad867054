//! The parts of the pipeline, as processes of their own on names of their own.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use local_stack::{Service, ServiceKind, http, port, testing};
use serde_json::Value;

use crate::day::{Day, Minutes};

/// Every part of the pipeline that a test started, on names of its own.
pub(crate) struct Pipeline {
    pub(crate) env: Vec<(String, String)>,
    folder: tempfile::TempDir,
    pub(crate) database: testing::Database,
    pub(crate) simulator_port: u16,
    _simulator: Service,
}

impl Pipeline {
    /// Fresh names on real servers, and the simulator ready to replay `day` once somebody subscribes.
    pub(crate) async fn prepare(day: &Day, pace: &str) -> Self {
        let folder = day.folder.display().to_string();
        let replay = ["--replay", &folder, "--days", &day.date, "--pace", pace, "--wait-for-subscriber", "true"];
        Self::with_market(&replay, &day.symbol).await
    }

    /// Fresh names on real servers, and a simulator with these options. `symbols` are always subscribed.
    pub(crate) async fn with_market(options: &[&str], symbols: &str) -> Self {
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
            ("SUBSCRIBED_SYMBOLS", symbols.to_owned()),
            ("KAFKA_BOOTSTRAP_SERVERS", testing::kafka().await),
            ("REDIS_HOST", redis.host),
            ("REDIS_PORT", redis.port.to_string()),
            ("SPOOL_DIR", folder.path().join("spool").display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        for name in
            ["TOPIC_TRADES", "TOPIC_BARS", "TOPIC_CORRECTIONS", "TOPIC_GAPS", "TOPIC_SENT", "TOPIC_DEAD_LETTERS"]
        {
            env.push((name.to_owned(), testing::unique("topic")));
        }
        for name in ["TRADES", "BARS", "QUOTES", "STATUS", "DEMAND"].map(|name| format!("REDIS_CHANNEL_{name}")) {
            env.push((name, testing::unique("channel")));
        }
        for name in ["CONSUMER_TRADES_GROUP", "CONSUMER_BARS_GROUP"] {
            env.push((name.to_owned(), testing::unique("group")));
        }
        env.extend(database.env().map(|(name, value)| (name.to_owned(), value)));
        let kind = ServiceKind::new("feed-simulator", folder.path().join("feed-simulator.log"))
            .unwrap()
            .args(["--listen", &address])
            .args(options.iter().copied())
            .ready_at(simulator_port, "/control/stats");
        let simulator = Service::launch(kind).await.unwrap();
        Self { env, folder, database, simulator_port, _simulator: simulator }
    }

    /// One more variable for the services that are started from now on; it wins over an earlier one of that name.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Starts a service, which listens at the port in `port_variable`.
    pub(crate) async fn start(&self, name: &str, port_variable: &str) -> (Service, u16) {
        let port = port::free().unwrap();
        let kind = ServiceKind::new(name, self.folder.path().join(format!("{name}.log")))
            .unwrap()
            .envs(self.env.iter().cloned())
            .env(port_variable, port)
            .ready_at(port, "/health");
        (Service::launch(kind).await.unwrap(), port)
    }

    /// What the simulator says about itself.
    pub(crate) async fn stats(&self) -> Value {
        serde_json::from_str(&http::get(self.simulator_port, "/control/stats").await.unwrap().body).unwrap()
    }

    /// Something breaks at the feed.
    pub(crate) async fn fault(&self, fault: &Value) {
        let answer = http::post(self.simulator_port, "/control/faults", &fault.to_string()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// Trades that left the simulator.
    pub(crate) async fn sent(&self) -> i64 {
        self.stats().await["sent"]["by_type"]["t"].as_i64().unwrap()
    }

    /// Trades that the market made, whether anybody heard of them or not.
    pub(crate) async fn made(&self) -> i64 {
        self.stats().await["market"]["by_type"]["t"].as_i64().unwrap_or(0)
    }

    /// Trades in PostgreSQL; none while there is no table.
    pub(crate) async fn stored(&self) -> i64 {
        let client = self.database.connect().await;
        let row = client.query_one("SELECT count(*) FROM market_data_oltp.stock_trades_realtime", &[]).await;
        row.map_or(0, |row| row.get(0))
    }

    /// Waits until so many trades are in PostgreSQL.
    pub(crate) async fn until_stored(&self, wanted: i64, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut stored = self.stored().await;
        while stored < wanted {
            assert!(Instant::now() < deadline, "{stored} of {wanted} trades stored within {limit:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
            stored = self.stored().await;
        }
    }

    /// Waits until the producer knows that everything up to `ms`, feed time in Unix milliseconds, is safe.
    pub(crate) async fn until_safe(&self, ms: i64, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let text = std::fs::read(self.folder.path().join("spool/journal.json")).unwrap_or_default();
            let journal: Value = serde_json::from_slice(&text).unwrap_or_default();
            let safe_ns = journal["feeds"]["alpaca"]["safe_ns"].as_i64();
            // A gap stays in the journal until its last word is safe; killed before, the next run says it again.
            let concluded = journal["gaps"].as_object().is_none_or(serde_json::Map::is_empty);
            if safe_ns > Some(ms * 1_000_000) && concluded {
                return;
            }
            assert!(Instant::now() < deadline, "{safe_ns:?} is not past {ms} ms within {limit:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What PostgreSQL holds, by minute of the New York day.
    pub(crate) async fn minutes(&self) -> Minutes {
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

    /// Prometheus' own checker finds nothing to say of a service's metrics.
    pub(crate) async fn metrics_are_clean(port: u16) {
        let page = http::get(port, "/metrics").await.unwrap().body;
        assert!(page.lines().filter(|line| line.starts_with("# HELP")).count() > 5, "{page}");
        let mut promtool = match Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        {
            Ok(promtool) => promtool,
            Err(error) => {
                assert!(
                    std::env::var_os("CI").is_none(),
                    "promtool is missing ({error}): run local-stack/scripts/deps.sh --test"
                );
                return;
            }
        };
        promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// One of a service's numbers; 0 where it is not shown yet.
    pub(crate) async fn metric(&self, port: u16, name: &str) -> f64 {
        let page = http::get(port, "/metrics").await.unwrap().body;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or(0.0)
    }

    /// Records that a consumer could not store.
    pub(crate) async fn dead_letters(&self, consumer_port: u16) -> f64 {
        let metrics = http::get(consumer_port, "/metrics").await.unwrap().body;
        metrics
            .lines()
            .filter(|line| line.contains("dead_letters") && !line.starts_with('#'))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}
