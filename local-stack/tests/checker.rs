//! A client that believes nothing watches the live stream while the gateway, Redis and the producer are killed under it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use local_stack::{Redis, Service, ServiceKind, port, testing};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const SYMBOLS: [&str; 4] = ["AAPL", "MSFT", "GOOGL", "NVDA"];
/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(60);

/// The hot path, on names of its own.
struct HotPath {
    folder: tempfile::TempDir,
    env: Vec<(String, String)>,
}

impl HotPath {
    async fn launch(&self, name: &str, port_variable: &str, port: u16) -> Service {
        let kind = ServiceKind::new(name, self.folder.path().join(format!("{name}.log")))
            .unwrap()
            .envs(self.env.iter().cloned())
            .env(port_variable, port)
            .ready_at(port, "/health");
        Service::launch(kind).await.unwrap()
    }
}

/// The client.
struct Checker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Checker {
    async fn start(gateway_port: u16) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let client = root.join("../dashboard/node_modules/socket.io-client");
        assert!(client.is_dir(), "socket.io-client is missing: run `npm --prefix dashboard ci`");
        let mut child = Command::new("node")
            .arg(root.join("tests/checker/checker.cjs"))
            .arg(format!("http://127.0.0.1:{gateway_port}"))
            .args(SYMBOLS)
            .env("SOCKET_IO_CLIENT", client)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node runs");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut checker = Self { child, lines };
        checker.subscribed().await;
        checker
    }

    /// Waits until the gateway has acknowledged a subscription.
    async fn subscribed(&mut self) {
        let line = tokio::time::timeout(LIMIT, self.lines.next_line()).await.expect("an acknowledgement in time");
        assert_eq!(line.unwrap().as_deref(), Some("subscribed"));
    }

    async fn verdict(mut self) -> Value {
        drop(self.child.stdin.take());
        loop {
            let line = tokio::time::timeout(LIMIT, self.lines.next_line()).await.expect("a verdict in time").unwrap();
            let line = line.expect("a verdict");
            if line != "subscribed" {
                return serde_json::from_str(&line).unwrap();
            }
        }
    }
}

/// Listens on Redis beside the gateway until some trades have passed, so that each blow falls on a stream that flows.
async fn until_trades_flow(redis: &Redis, channel: &str) {
    let client = redis::Client::open(redis.url()).unwrap();
    let deadline = Instant::now() + LIMIT;
    loop {
        assert!(Instant::now() < deadline, "trades flow again");
        let Ok(mut listener) = client.get_async_pubsub().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        listener.subscribe(channel).await.unwrap();
        let mut messages = listener.into_on_message();
        let flowing = async {
            for _ in 0..500 {
                futures_util::StreamExt::next(&mut messages).await?;
            }
            Some(())
        };
        if let Ok(Some(())) = tokio::time::timeout(LIMIT, flowing).await {
            return;
        }
    }
}

/// Waits until the producer has noted that more of the feed is safe than now: what is lost after that is an outage of its own.
async fn until_more_is_safe(spool: &Path) {
    let safe_ns = || {
        let journal: Value = serde_json::from_slice(&std::fs::read(spool.join("journal.json")).ok()?).ok()?;
        journal["feeds"]["alpaca"]["safe_ns"].as_i64()
    };
    let (before, deadline) = (safe_ns(), Instant::now() + LIMIT);
    while safe_ns() <= before {
        assert!(Instant::now() < deadline, "more becomes safe than {before:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_a_client_hears_each_trade_once_or_hears_of_the_hole() {
    let folder = tempfile::tempdir().unwrap();
    let [simulator_port, gateway_port, producer_port] = std::array::from_fn(|_| port::free().unwrap());
    let mut redis = Redis::start_temporary().await.unwrap();
    let address = format!("127.0.0.1:{simulator_port}");
    let spool = folder.path().join("spool");
    let channel = "stock:trades:pubsub";
    let mut env: Vec<(String, String)> = [
        ("ALPACA_API_KEY", "demo".to_owned()),
        ("ALPACA_API_SECRET", "demo".to_owned()),
        ("ALPACA_DATA_WS_URL", format!("ws://{address}/v2/sip")),
        ("ALPACA_DATA_REST_URL", format!("http://{address}")),
        ("SUBSCRIBED_SYMBOLS", SYMBOLS.join(",")),
        ("KAFKA_BOOTSTRAP_SERVERS", testing::kafka().await),
        ("REDIS_HOST", "127.0.0.1".to_owned()),
        ("REDIS_PORT", redis.port().to_string()),
        ("SPOOL_DIR", spool.display().to_string()),
        ("BACKFILL_MARGIN_S", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for name in ["TOPIC_TRADES", "TOPIC_BARS", "TOPIC_GAPS", "TOPIC_CORRECTIONS", "TOPIC_DEAD_LETTERS"] {
        env.push((name.to_owned(), testing::unique("topic")));
    }
    let simulator = ServiceKind::new("feed-simulator", folder.path().join("feed-simulator.log"))
        .unwrap()
        .args(["--listen", &address, "--rate", "2000", "--symbols", &SYMBOLS.join(",")])
        .ready_at(simulator_port, "/control/stats");
    let _simulator = Service::launch(simulator).await.unwrap();
    let path = HotPath { folder, env };
    let mut gateway = path.launch("realtime-gateway", "GATEWAY_PORT", gateway_port).await;
    let mut checker = Checker::start(gateway_port).await;
    let mut producer = path.launch("producer", "PRODUCER_PORT", producer_port).await;
    until_trades_flow(&redis, channel).await;

    const ROUNDS: usize = 5;
    for _ in 0..ROUNDS {
        gateway.kill().await;
        gateway.restart().await.unwrap();
        checker.subscribed().await;
        until_trades_flow(&redis, channel).await;

        redis.kill().await;
        redis.restart().await.unwrap();
        until_trades_flow(&redis, channel).await;

        until_more_is_safe(&spool).await;
        producer.kill().await;
        producer.restart().await.unwrap();
        until_trades_flow(&redis, channel).await;
    }

    let verdict = checker.verdict().await;
    println!("{verdict:#}");
    assert_eq!(verdict["faults"], serde_json::json!([]), "{verdict:#}");
    assert_eq!(verdict["epochs"].as_array().unwrap().len(), 1 + ROUNDS, "one run of the producer more a round");
    assert!(
        verdict["gaps"].as_array().unwrap().len() >= ROUNDS,
        "each of them admitted what it had missed: {verdict:#}"
    );
    assert_eq!(verdict["newest"].as_object().unwrap().len(), SYMBOLS.len());
    assert!(producer.stop().await && gateway.stop().await && redis.stop().await, "all stop by themselves");
}
