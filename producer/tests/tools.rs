//! The subcommands as a person runs them, against the simulator: nothing else has to be there, and no key shows.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use clap::Parser as _;
use feed_simulator::{Options, Simulator};
use serde_json::Value;

const KEY: &str = "demo";
const SYMBOLS: &str = "AAPL,MSFT";

async fn simulator() -> Simulator {
    let options = ["feed-simulator", "--listen", "127.0.0.1:0", "--symbols", SYMBOLS, "--rate", "200", "--seed", "7"];
    feed_simulator::start(Options::parse_from(options).check().unwrap()).await.unwrap()
}

fn producer(stream: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_producer"));
    command
        .args(arguments)
        .env_clear()
        .env("ALPACA_API_KEY", KEY)
        .env("ALPACA_API_SECRET", KEY)
        .env("ALPACA_DATA_WS_URL", stream)
        .env("SUBSCRIBED_SYMBOLS", SYMBOLS)
        .current_dir(std::env::temp_dir()) // no .env of this machine
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Records until the file has `lines` lines, then stops as Ctrl-C does.
async fn record(stream: &str, encoding: &str, file: &Path, lines: usize) {
    let mut command = producer(stream, &["record", file.to_str().unwrap()]);
    let mut child = command.env("ALPACA_ENCODING", encoding).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::read(file).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count()) < lines {
        assert!(Instant::now() < deadline, "the recording does not grow");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert!(ended.success(), "{ended}");
}

async fn decode(file: &Path, encoding: &str) -> Vec<Value> {
    let arguments = ["decode", "--feed", "alpaca", "--encoding", encoding, file.to_str().unwrap()];
    let output = output(producer("ws://nowhere", &arguments)).await;
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_in_either_encoding_decodes_to_records() {
    let simulator = simulator().await;
    let stream = format!("ws://{}/v2/sip", simulator.address());
    let folder = tempfile::tempdir().unwrap();
    for encoding in ["json", "msgpack"] {
        let file = folder.path().join(encoding);
        record(&stream, encoding, &file, 50).await;
        let raw = fs::read_to_string(&file).unwrap();
        assert_eq!(raw.lines().any(|line| line.starts_with('[')), encoding == "json", "msgpack is kept in hex");
        let lines = decode(&file, encoding).await;
        let others: Vec<_> = lines.iter().filter_map(|line| line["other"].as_str()).collect();
        assert_eq!(others[..3], ["success", "success", "subscription"], "the conversation is told apart");
        let trades = lines.iter().filter(|line| line["trade_id"].is_string() && line["price"].is_number()).count();
        assert!(trades > 10, "{encoding}: {trades} trades");
        assert!(lines.iter().all(|line| line.get("skipped").is_none()), "{encoding}: nothing is skipped");
    }
    let taken = folder.path().join("json");
    let refused = output(producer(&stream, &["record", taken.to_str().unwrap()])).await;
    assert_eq!(refused.status.code(), Some(1), "a recording is never overwritten");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_came_and_what_is_wrong() {
    let simulator = simulator().await;
    let address = simulator.address();
    for (name, value) in [("ALPACA_ENCODING", "msgpack"), ("ALPACA_AUTH", "header")] {
        let mut command = producer(&format!("ws://{address}/v2/sip"), &["check", "--seconds", "3"]);
        command.env(name, value);
        let good = output(command).await;
        let said = text(&good.stdout);
        assert!(good.status.success(), "{said}{}", text(&good.stderr));
        assert!(said.contains("connected, authenticated and subscribed") && said.contains(" trades\n"), "{said}");
        assert!(said.contains("by symbol: AAPL "), "{said}");
    }
    let mut command = producer(&format!("ws://{address}/v2/sip"), &["check", "--seconds", "3"]);
    command.env("ALPACA_API_SECRET", "swordfish");
    let wrong = output(command).await;
    let said = text(&wrong.stdout) + &text(&wrong.stderr);
    assert!(!wrong.status.success() && said.contains("check ALPACA_API_KEY"), "{said}");
    assert!(!said.contains("swordfish"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_once_that_the_key_is_in_use_and_which_symbols_have_no_data() {
    let simulator = simulator().await;
    let stream = format!("ws://{}/v2/sip", simulator.address());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("day");
    let mut beside = producer(&stream, &["record", file.to_str().unwrap()]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::metadata(&file).map_or(0, |file| file.len()) == 0 {
        assert!(Instant::now() < deadline, "the other connection does not come up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refused = output(producer(&stream, &["check", "--seconds", "5"])).await;
    beside.kill().unwrap();
    beside.wait().unwrap();
    let said = text(&refused.stdout);
    assert!(!refused.status.success(), "{said}");
    assert_eq!(said.matches("another connection uses this key").count(), 1, "{said}");

    let mut command = producer(&stream, &["check", "--seconds", "3"]);
    command.env("SUBSCRIBED_SYMBOLS", "AAPL,NOBODY");
    let said = text(&output(command).await.stdout);
    assert!(said.contains("no data as yet for: NOBODY"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn decode_reads_standard_input_and_a_wrong_command_line_is_exit_code_64() {
    let mut child = producer("ws://nowhere", &["decode", "--feed", "massive"]).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"[{\"ev\":\"T\"}]\n").unwrap();
    let output_of = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert!(text(&output_of.stdout).contains(r#""skipped":"bad_field""#));
    let wrong = output(producer("ws://nowhere", &["decode", "--feed", "reuters"])).await;
    assert_eq!(wrong.status.code(), Some(64));
    assert!(text(&wrong.stderr).contains("alpaca, finnhub, massive"));
}
