//! Stock Socket.IO clients in Node.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Starts one of the scripts beside this file.
fn node(script: &str, arguments: &[String]) -> Child {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let client = root.join("../dashboard/node_modules/socket.io-client");
    assert!(client.is_dir(), "socket.io-client is missing: run `npm --prefix dashboard ci`");
    Command::new("node")
        .arg(root.join("tests/pipeline").join(script))
        .args(arguments)
        .env("SOCKET_IO_CLIENT", client)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node runs")
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>, limit: Duration) -> String {
    let line = tokio::time::timeout(limit, lines.next_line()).await.expect("a line in time");
    line.unwrap().expect("the client still runs")
}

fn url(gateway_port: u16) -> String {
    format!("http://127.0.0.1:{gateway_port}")
}

/// Counts the trades of one symbol.
pub(crate) struct Subscriber {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Subscriber {
    /// Connects and subscribes; returns when the gateway has acknowledged.
    pub(crate) async fn start(gateway_port: u16, symbol: &str, wanted: usize) -> Self {
        let mut child = node("subscriber.cjs", &[url(gateway_port), symbol.to_owned(), wanted.to_string()]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(line(&mut lines, Duration::from_secs(20)).await, "subscribed");
        Self { _child: child, lines }
    }

    /// What it has seen once the wanted number of trades has come.
    pub(crate) async fn report(mut self, limit: Duration) -> String {
        let mut report = String::new();
        let read = self.lines.get_mut().read_to_string(&mut report);
        tokio::time::timeout(limit, read).await.expect("every trade in time").unwrap();
        report.trim().to_owned()
    }
}

/// Hears what is told of the feed: `gap`, `healed` and `status` events.
pub(crate) struct Listener {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listener {
    /// Connects and subscribes; returns when the gateway has acknowledged.
    pub(crate) async fn start(gateway_port: u16, symbol: &str) -> Self {
        let mut child = node("listener.cjs", &[url(gateway_port), symbol.to_owned()]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(line(&mut lines, Duration::from_secs(20)).await, "subscribed");
        Self { _child: child, lines }
    }

    /// The next event and what it says.
    pub(crate) async fn next(&mut self, limit: Duration) -> (String, Value) {
        let event: Value = serde_json::from_str(&line(&mut self.lines, limit).await).unwrap();
        (event["event"].as_str().unwrap().to_owned(), event["payload"].clone())
    }
}

/// Many clients in one process, spread over several gateways.
pub(crate) struct Crowd {
    _child: Child,
    leave: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Crowd {
    /// Connects `clients`, each to one gateway by turns; client number n subscribes to three of `symbols`, the first of them number 7 n.
    pub(crate) async fn start(gateway_ports: &[u16], clients: usize, symbols: &[String]) -> Self {
        let urls: Vec<String> = gateway_ports.iter().copied().map(url).collect();
        let mut child = node("crowd.cjs", &[urls.join(","), clients.to_string(), symbols.join(",")]);
        let leave = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(line(&mut lines, Duration::from_secs(60)).await, format!("{clients} subscribed"));
        Self { _child: child, leave, lines }
    }

    /// All of them disconnect.
    pub(crate) async fn leave(mut self) {
        self.leave = None;
        assert_eq!(line(&mut self.lines, Duration::from_secs(20)).await, "left");
    }
}
