//! Recorded days through the whole simulator.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::*;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Writes a recorded day of `lines` into `folder/trades`.
fn record(folder: &Path, name: &str, lines: &str) {
    let folder = folder.join("trades");
    std::fs::create_dir_all(&folder).unwrap();
    let mut zip = zip::ZipWriter::new(std::fs::File::create(folder.join(format!("{name}.zip"))).unwrap());
    zip.start_file(format!("{name}.csv"), zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(lines.as_bytes()).unwrap();
    zip.finish().unwrap();
}

/// A day of `count` trades, one every 7 ms from 09:30.
fn day(count: u64, first_price: u64) -> String {
    let line = |at: u64| {
        format!(
            "{},{},{},P,{},0",
            34_200_000 + at * 7,
            first_price + at % 50,
            100 + at % 9,
            if at.is_multiple_of(5) { "20000020" } else { "1" }
        )
    };
    (0..count).map(line).collect::<Vec<_>>().join("\n")
}

fn sizes(trades: &[Value]) -> u64 {
    trades.iter().map(|trade| trade["s"].as_u64().unwrap()).sum()
}

/// Everything that a client gets of a replay of `count` trades.
async fn play(simulator: &feed_simulator::Simulator, count: u64) -> Vec<Value> {
    let mut client = Client::ready(simulator, "sip").await;
    client.subscribe(json!({"trades": ["*"]})).await;
    let count = usize::try_from(count).unwrap();
    client.data_until(|seen| seen.len() >= count).await
}

#[tokio::test]
async fn a_recorded_day_arrives_whole_in_order_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), "aig_20131007", &day(30_000, 491_800));
    record(folder.path(), "bac_20131007", &day(20_000, 140_000));
    let path = folder.path().to_str().unwrap();
    let simulator = simulator(&["--replay", path, "--pace", "max", "--client-buffer", "2000"]).await;
    assert_eq!(stats(&simulator).await["waiting_for_subscriber"], true);
    let seen = play(&simulator, 50_000).await;
    let stats =
        stats_when(&simulator, "the replay is done", |stats| stats["done"] == true && stats["queued"] == 0).await;
    let of = |symbol: &str| seen.iter().filter(|trade| trade["S"] == symbol).cloned().collect::<Vec<Value>>();
    for (symbol, count) in [("AIG", 30_000_u64), ("BAC", 20_000)] {
        let trades = of(symbol);
        let ids: Vec<u64> = trades.iter().map(|trade| trade["i"].as_u64().unwrap()).collect();
        assert_eq!(ids, (1..=count).collect::<Vec<u64>>(), "each line once, in order");
        let counted = &stats["sent"]["by_symbol"][symbol];
        assert_eq!((&counted["by_type"]["t"], &counted["size"]), (&json!(count), &json!(sizes(&trades))));
        assert_eq!(stats["market"]["by_symbol"][symbol]["size"], counted["size"]);
    }
    assert_eq!(seen[0]["t"], "2013-10-07T13:30:00Z");
    assert_eq!((&seen[0]["c"], &seen[0]["z"]), (&json!([" ", "F"]), &json!("A")));

    let path = "/v2/stocks/AIG/trades?start=2013-10-07&end=2013-10-07&limit=10000";
    let found = all_pages(&simulator, path, "trades").await;
    assert_eq!((found.len(), sizes(&found)), (30_000, sizes(&of("AIG"))));
    let (_, bars) = get(&simulator, "/v2/stocks/AIG/bars?timeframe=1Min&start=2013-10-07&end=2013-10-07").await;
    let volume: u64 = bars["bars"].as_array().unwrap().iter().map(|bar| bar["v"].as_u64().unwrap()).sum();
    assert_eq!(volume, sizes(&found), "minute bars hold every share");
    simulator.stop().await;
}

#[tokio::test]
async fn a_fixed_rate_is_kept_and_can_be_raised() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), "spy_20131007", &day(3_000, 1_680_000));
    let path = folder.path().to_str().unwrap();
    let simulator = simulator(&["--replay", path, "--pace", "2000/s", "--wait-for-subscriber"]).await;
    let mut client = Client::ready(&simulator, "sip").await;
    let begin = std::time::Instant::now();
    client.subscribe(json!({"trades": ["SPY"], "bars": ["SPY"]})).await;
    client.data_until(|seen| seen.len() >= 1_000).await;
    let elapsed = begin.elapsed().as_secs_f64();
    assert!(elapsed > 0.45, "1000 messages at 2000/s took {elapsed} s");
    let (status, answer) = post(&simulator, "/control/rate", r#"{"pace":"max"}"#).await;
    assert_eq!(status, 200, "{answer}");
    stats_when(&simulator, "the replay is done", |stats| stats["done"] == true).await;
    simulator.stop().await;
}

#[tokio::test]
async fn shifted_times_look_live() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), "spy_20131007", &day(500, 1_680_000));
    let path = folder.path().to_str().unwrap();
    let simulator = simulator(&["--replay", path, "--shift-to-now", "--wait-for-subscriber"]).await;
    let before = jiff::Timestamp::now().as_second();
    let seen = play(&simulator, 20).await;
    let first: jiff::Timestamp = seen[0]["t"].as_str().unwrap().parse().unwrap();
    assert!((before - 30..=before + 30).contains(&first.as_second()), "{first}");
    simulator.stop().await;
}

/// The folder of real recorded days, where there is one.
fn recorded_days() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/us-equity-ticks-2013-10");
    let named = std::env::var_os("TAPELINE_RECORDED_DAYS").map(PathBuf::from);
    let found = named.or(Some(beside)).filter(|folder| folder.join("trades/aig_20131007.zip").is_file());
    if found.is_none() {
        eprintln!("no recorded days here (TAPELINE_RECORDED_DAYS): the real day is not replayed");
    }
    found
}

#[tokio::test]
async fn a_real_day_arrives_whole() {
    let Some(folder) = recorded_days() else { return };
    let mut archive =
        zip::ZipArchive::new(std::fs::File::open(folder.join("trades/aig_20131007.zip")).unwrap()).unwrap();
    let content = std::io::read_to_string(archive.by_index(0).unwrap()).unwrap();
    let size: u64 = content.lines().map(|line| line.split(',').nth(2).unwrap().parse::<u64>().unwrap()).sum();
    let count = u64::try_from(content.lines().count()).unwrap();
    let path = folder.to_str().unwrap();
    let arguments = ["--replay", path, "--symbols", "AIG", "--days", "20131007", "--pace", "max"];
    let simulator = simulator(&arguments).await;
    let seen = play(&simulator, count).await;
    assert_eq!((u64::try_from(seen.len()).unwrap(), sizes(&seen)), (count, size));
    let stats = stats_when(&simulator, "the replay is done", |stats| stats["done"] == true).await;
    assert_eq!(stats["market"]["by_symbol"]["AIG"]["size"], size);
    simulator.stop().await;
}

fn program() -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_feed-simulator"));
    command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn exit_codes_tell_what_happened() {
    let bad_option = program().args(["--rate", "0", "--late-share", "7"]).output().await.unwrap();
    let text = String::from_utf8_lossy(&bad_option.stderr).into_owned();
    assert_eq!(bad_option.status.code(), Some(64), "{text}");
    assert!(text.contains("--rate") && text.contains("--late-share"));
    assert_eq!(program().arg("--no-such-option").output().await.unwrap().status.code(), Some(64));

    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), "spy_20131007", "1,2,3,P,1,0\n2,2,3,P,1");
    let bad_data = program().arg("--replay").arg(folder.path()).output().await.unwrap();
    let text = String::from_utf8_lossy(&bad_data.stderr).into_owned();
    assert_eq!(bad_data.status.code(), Some(1), "{text}");
    assert!(text.contains("spy_20131007.zip, line 2: has 5 fields"), "{text}");
    assert_eq!(text.lines().count(), 1, "one sentence: {text}");
}

#[tokio::test]
async fn a_signal_ends_it_with_a_summary() {
    let mut child = program().spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    assert!(first.starts_with("feed-simulator listening on http://127.0.0.1:"), "{first}");
    let id = child.id().unwrap().to_string();
    let killed = std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(killed.success());
    let last = lines.next_line().await.unwrap().unwrap();
    assert!(last.contains("sent 0 messages") && last.contains("the market made"), "{last}");
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_file_of_the_producers_recorder_is_played_frame_by_frame() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recorded.txt");
    let trade = |at: u64| {
        format!(
            r#"{{"T":"t","S":"AAPL","i":{at},"x":"K","p":162.5,"s":3,"c":["@"],"z":"C","t":"2023-04-06T14:00:00.{at:03}1Z"}}"#
        )
    };
    let frames = (1..=300).map(|at| format!("[{}]", trade(at))).collect::<Vec<_>>().join("\n");
    std::fs::write(&path, format!("[{{\"T\":\"success\",\"msg\":\"connected\"}}]\n{frames}\n")).unwrap();
    let simulator = simulator(&["--replay", path.to_str().unwrap(), "--pace", "max"]).await;
    let seen = play(&simulator, 300).await;
    let recorded: Vec<Value> = (1..=300).map(|at| serde_json::from_str(&trade(at)).unwrap()).collect();
    assert_eq!(seen, recorded);
}
