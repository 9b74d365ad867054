//! The gateway's section is a program of its own (`bench/gateway.mjs`), because its peer is a Node program too; this runs it and takes its rows.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::report::Report;

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    println!("\ngateway: beside socketioxide as it comes and Express + socket.io, same Redis, same load");
    let installed = Command::new("npm")
        .args(["ci", "--silent", "--no-audit", "--no-fund"])
        .current_dir("bench/peers/node-gateway")
        .status()
        .await;
    ensure!(installed.context("npm does not run")?.success(), "npm ci failed in bench/peers/node-gateway");
    let mut child = Command::new("node")
        .arg("bench/gateway.mjs")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("node does not run")?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let mut rows: Vec<Value> = Vec::new();
    while let Some(line) = lines.next_line().await? {
        if let Ok(row) = serde_json::from_str::<Value>(&line) {
            add(report, &row, rows.iter().find(|other| other["row"] == row["row"]));
            rows.push(row);
        }
    }
    ensure!(child.wait().await?.success(), "bench/gateway.mjs failed");
    Ok(())
}

/// Adds the figures of a row, and the ratio where ours ran the same one before.
fn add(report: &mut Report, row: &Value, ours: Option<&Value>) {
    let name = format!("{}, {}", row["row"].as_str().unwrap_or_default(), row["gateway"].as_str().unwrap_or_default());
    if let Some(failed) = row["failed"].as_str() {
        println!("  {name}: failed: {failed}");
        return;
    }
    for (field, unit) in [
        ("p50_us", "µs"),
        ("p99_us", "µs"),
        ("deliveries_per_second", "deliveries/s"),
        ("kib_per_client", "KiB/client"),
    ] {
        let Some(value) = row[field].as_f64() else { continue };
        report.add("gateway", &format!("{name}: {field}"), value, unit, "");
        if let Some(ours) = ours.and_then(|ours| ours[field].as_f64()) {
            report.add(
                "gateway",
                &format!(
                    "{}: ours / {}, {field}",
                    row["row"].as_str().unwrap_or_default(),
                    row["gateway"].as_str().unwrap_or_default()
                ),
                ours / value,
                "×",
                "",
            );
        }
    }
}
