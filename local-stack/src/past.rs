//! The demo's past: two years of made-up bars before those that the producer fetches, so that every horizon of a chart shows what it says.
//!
//! A walk back in time from the oldest stored day. Only what a chart of that age asks for is stored: days for two years, hours for half a
//! year, quarters of an hour for the last month; longer bars consist of the shorter ones.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use market::Timeframe;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::process::{Group, Process};
use crate::service::binary;
use crate::{http, path};

const QUARTER_MS: i64 = 15 * 60_000;
const DAY_MS: i64 = 96 * QUARTER_MS;
const DAYS: i64 = 730;
/// Timeframes that are stored, and for how many days back.
const STORED: [(&str, i64); 3] = [("15Min", 35), ("1Hour", 190), ("1Day", DAYS)];
/// A market of thousands has a past long enough to look at without this.
const SYMBOLS_MAX: usize = 12;
/// The producer's own past reaches this far back; until it is there the seam is not known.
const FETCHED_MS: i64 = 4 * DAY_MS;
const FETCH_MAX: Duration = Duration::from_secs(45);
/// How long the list of symbols has to stay the same: the past that the producer fetches comes symbol by symbol.
const SETTLED: Duration = Duration::from_secs(12);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Makes up the past of the symbols that `api` (a port of this machine) has bars of, and stores it by `consumer-bars backfill`, whose
/// environment is `env` and whose files go to `folder`. Reports what came of it; a demo without a past is a demo all the same.
pub async fn fill(api: u16, folder: PathBuf, env: Vec<(String, String)>, say: fn(&str)) {
    let begin = Instant::now();
    match try_fill(api, &folder, env).await {
        Ok(count) => {
            say(&format!("two years of made-up history: {count} bars in {:.1} s", begin.elapsed().as_secs_f64()))
        }
        Err(error) => say(&format!("no made-up history: {error:#}")),
    }
}

async fn try_fill(api: u16, folder: &Path, env: Vec<(String, String)>) -> Result<usize> {
    let symbols = symbols(api).await?;
    let (mut lines, mut count) = (String::new(), 0);
    for symbol in symbols {
        let (start_ms, open) = oldest(api, &symbol).await?;
        if start_ms < now_ms() - DAYS / 2 * DAY_MS {
            continue; // an earlier start of the demo made it up
        }
        let hour = get(api, &format!("/bars/{symbol}?timeframe=1Hour&limit=2")).await?["bars"][0]["volume"].as_f64();
        count += write_past(&mut lines, &symbol, start_ms, open, hour.unwrap_or(200_000.0) / 4.0);
    }
    if count == 0 {
        return Ok(0);
    }
    let file = folder.join("past.ndjson");
    std::fs::write(&file, lines)?;
    let mut command = std::process::Command::new(binary("consumer-bars")?);
    let journal = folder.join("past.journal");
    command.current_dir(path::project()).envs(env).args(["backfill", "files"]);
    command.arg(&file).arg("--journal").arg(&journal);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let status = Process::spawn(command, Signal::SIGTERM, Group::Ours)?.wait().await;
    ensure!(status.success(), "consumer-bars backfill failed");
    Ok(count)
}

/// The symbols that have bars, once no more of them come.
async fn symbols(api: u16) -> Result<Vec<String>> {
    let begin = Instant::now();
    let mut known = (0, begin);
    loop {
        let latest = get(api, "/bars/latest").await?;
        let bars = latest["bars"].as_object().context("the history API gave no list of bars")?;
        if bars.len() != known.0 {
            known = (bars.len(), Instant::now());
        }
        if (known.0 > 0 && known.1.elapsed() > SETTLED) || begin.elapsed() > FETCH_MAX {
            return Ok(bars.keys().take(SYMBOLS_MAX).cloned().collect());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Start and opening price of the oldest stored day, once the producer's own past is there.
async fn oldest(api: u16, symbol: &str) -> Result<(i64, f64)> {
    let begin = Instant::now();
    loop {
        let now = now_ms();
        let question = format!("/bars/{symbol}/range?timeframe=1Day&start=0&end={now}&limit=1");
        let day = &get(api, &question).await?["bars"][0];
        let (start_ms, open) = (day["timestamp"].as_i64(), day["open"].as_f64());
        if let (Some(start_ms), Some(open)) = (start_ms, open)
            && (start_ms < now - FETCHED_MS || begin.elapsed() > FETCH_MAX)
        {
            return Ok((start_ms, open));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn get(api: u16, question: &str) -> Result<Value> {
    let answer = http::get(api, question).await?;
    ensure!(answer.status == 200, "the history API answered {} to {question}", answer.status);
    Ok(serde_json::from_str(&answer.body)?)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A bar that takes in shorter ones, the newest first.
#[derive(Clone, Copy)]
struct Bar {
    start_ms: i64,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
}

/// Appends a line for each stored bar that ends at or before `end_ms`, where the price was `price` and about `shares` were traded in a
/// quarter of an hour; returns how many.
fn write_past(lines: &mut String, symbol: &str, end_ms: i64, price: f64, shares: f64) -> usize {
    let mut random = Random(symbol.bytes().fold(7, |seed, byte| seed * 31 + u64::from(byte)));
    let mut open = STORED.map(|_| None::<Bar>);
    let (mut price, mut count) = (price, 0);
    for step in 1..=DAYS * 96 {
        let start_ms = end_ms - step * QUARTER_MS;
        // About 30 % a year, with a drift that makes two years worth looking at.
        let before = (price * (1.0 - 0.0016 * random.normal() - 0.000_004)).max(1.0);
        let reach = price * 0.0008;
        let quarter = Bar {
            start_ms,
            open: before,
            high: before.max(price) + reach * random.unit(),
            low: before.min(price) - reach * random.unit(),
            close: price,
            volume: (shares * (0.5 + random.unit())).round().max(1.0),
        };
        price = before;
        for ((name, days), open) in STORED.iter().zip(&mut open) {
            if step > days * 96 {
                continue;
            }
            let Ok(frame) = name.parse::<Timeframe>() else { continue };
            let start_ms = frame.start_of(start_ms);
            *open = Some(match open.take() {
                Some(bar) if bar.start_ms == start_ms => Bar {
                    open: quarter.open,
                    high: bar.high.max(quarter.high),
                    low: bar.low.min(quarter.low),
                    volume: bar.volume + quarter.volume,
                    ..bar
                },
                done => {
                    count += done.map_or(0, |bar| write_bar(lines, symbol, name, bar));
                    Bar { start_ms, ..quarter }
                }
            });
        }
    }
    // The oldest bars may lack their beginning: they are left out.
    count
}

fn write_bar(lines: &mut String, symbol: &str, timeframe: &str, bar: Bar) -> usize {
    let Bar { start_ms, open, high, low, close, volume } = bar;
    let vwap = (open + high + low + close) / 4.0;
    let trades = (volume / 330.0).ceil();
    let written = writeln!(
        lines,
        r#"{{"symbol":"{symbol}","timeframe":"{timeframe}","open":{open:.2},"high":{high:.2},"low":{low:.2},"close":{close:.2},"volume":{volume},"trade_count":{trades},"vwap":{vwap:.4},"timestamp":{start_ms},"final":true,"revision":0,"source":"alpaca"}}"#
    );
    usize::from(written.is_ok())
}

/// Numbers that look like chance and are none (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// In `[0, 1)`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Mean 0, standard deviation 1, near enough: the sum of twelve.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_meets_the_stored_days_and_every_bar_is_valid() {
        let end_ms = 1_795_410_000_000; // midnight in New York
        let mut lines = String::new();
        let count = write_past(&mut lines, "AAPL", end_ms, 230.0, 50_000.0);
        let bars: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(bars.len(), count);
        let of = |timeframe: &str| bars.iter().filter(|bar| bar["timeframe"] == timeframe).collect::<Vec<_>>();
        for (timeframe, days) in STORED {
            let found = of(timeframe);
            let newest = found[0];
            assert_eq!(newest["close"], 230.0, "{timeframe}");
            let frame: Timeframe = timeframe.parse().unwrap();
            assert_eq!(frame.next_start(newest["timestamp"].as_i64().unwrap()), end_ms, "{timeframe}");
            let oldest = found[found.len() - 1]["timestamp"].as_i64().unwrap();
            assert!((end_ms - oldest) / DAY_MS >= days - 2, "{timeframe}");
        }
        for bar in &bars {
            let value = |name: &str| bar[name].as_f64().unwrap();
            assert!(value("low") <= value("open").min(value("close")) && value("low") > 0.0, "{bar}");
            assert!(value("high") >= value("open").max(value("close")), "{bar}");
        }
        let mut again = String::new();
        write_past(&mut again, "AAPL", end_ms, 230.0, 50_000.0);
        assert_eq!(lines, again);
    }
}
