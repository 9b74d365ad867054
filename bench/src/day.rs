//! A whole day of the market: 71 million trades of 8,000 symbols wait in Kafka, and are drained, archived, and followed by a month of daily bars
//! that is read back. What counts is whether the last million costs more than the first.
//!
//! The full form takes some 25 GB of disk: about a quarter of that in Kafka, the rest in PostgreSQL.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use local_stack::kafka::create_topic;
use local_stack::{http, service};
use market::{Conditions, Position, Source, Symbol, Trade, wire};
use tokio_postgres::Client;

use crate::cpu::Cpu;
use crate::fill::Filler;
use crate::report::{Report, median, number, percentile};
use crate::stack::{Running, Stack, stored};

const SECTION: &str = "day";
const TOPIC: &str = "bench_day";
const DATABASE: &str = "bench_day";
const PARTITIONS: u16 = 6;
const SYMBOLS: usize = 8_000;
/// Rows of one figure of the speed.
const STEP: f64 = 1e6;
/// The day and its first trade, 9:30 in New York.
const DAY: &str = "2025-11-24";
const OPEN_NS: i64 = 1_763_994_600_000_000_000;
const OPEN_FOR_NS: i64 = 23_400_000_000_000;
/// Trading days of the month of daily bars.
const BARS: usize = 21;

/// How many trades the day has.
pub(crate) fn trades(fast: bool) -> usize {
    if fast { 5_000_000 } else { 71_000_000 }
}

pub(crate) async fn measure(report: &mut Report, count: usize) -> Result<()> {
    println!(
        "\nday: {count} trades of {SYMBOLS} symbols wait in Kafka ({PARTITIONS} partitions), then one consumer drains them"
    );
    let stack = Stack::start().await?;
    create_topic(stack.kafka(), TOPIC, PARTITIONS).await?;
    let kafka = stack.kafka().to_owned();
    let begin = Instant::now();
    tokio::task::spawn_blocking(move || fill(&kafka, count)).await??;
    report.add(
        SECTION,
        "trades encoded and taken by Kafka",
        number(count) / begin.elapsed().as_secs_f64(),
        "a second",
        "",
    );

    stack.database(DATABASE).await?;
    let client = drain(report, &stack, count).await?;
    sizes(report, &client, count).await?;
    archive(report, &stack, &client, count).await?;
    daily_bars(report, &stack, &client).await?;
    stack.infra.stop().await;
    Ok(())
}

/// Sends the day to Kafka in the order in which a feed would: by time, but for two in a thousand that are reported up to ten seconds late.
fn fill(bootstrap: &str, count: usize) -> Result<()> {
    let filler = Filler::new(bootstrap, TOPIC)?;
    let mut tape = Tape::new(count);
    let mut json = Vec::with_capacity(256);
    for _ in 0..count {
        let (trade, seq) = tape.next();
        json.clear();
        wire::encode_trade(&trade, Position { epoch: OPEN_NS / 1_000_000, seq }, &mut json);
        filler.send(trade.symbol.as_str(), &json);
    }
    filler.finish()
}

/// A made-up day, the same each time.
struct Tape {
    random: u64,
    symbols: Vec<Listed>,
    /// Next trade id of each exchange.
    ids: [u64; EXCHANGES.len()],
    at: i64,
    step_ns: i64,
}

/// A symbol with its last price and number.
struct Listed {
    symbol: Symbol,
    cents: u64,
    seq: u64,
}

const EXCHANGES: [&str; 8] = ["D", "Q", "P", "N", "Z", "K", "V", "J"];
/// Sale conditions, as often as a tape has them.
const CONDITIONS: [&[&str]; 8] =
    [&["@"], &["@"], &["@", "I"], &["@", "I"], &["@", "F", "I"], &["@", "F"], &["@", "T", "I"], &["@"]];

impl Tape {
    fn new(count: usize) -> Self {
        let listed = |at: usize| Listed {
            symbol: Symbol::new(&name(at)).expect("letters are a symbol"),
            cents: 500 + at as u64 * 37 % 40_000,
            seq: 0,
        };
        let step_ns = OPEN_FOR_NS / i64::try_from(count).unwrap_or(i64::MAX).max(1);
        Self {
            random: 42,
            symbols: (0..SYMBOLS).map(listed).collect(),
            ids: [52_983_525_000_000; EXCHANGES.len()],
            at: 0,
            step_ns,
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.random >> 33).unwrap_or(0) % limit
    }

    /// A trade and its number among those of its symbol.
    fn next(&mut self) -> (Trade, u64) {
        // The fourth power of an even distribution: a tenth of the symbols has more than half of the trades.
        let share = number(self.below(1 << 20)) / number(1 << 20);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of symbols")]
        let which = (share.powi(4) * number(SYMBOLS)) as usize;
        let (move_of, size, exchange, conditions) =
            (self.below(3), self.below(500), self.below(EXCHANGES.len()), self.below(CONDITIONS.len()));
        let late = if self.below(500) == 0 { self.below(10_000_000_000) } else { 0 };
        self.at += 1;
        self.ids[exchange] += 1;
        let ts_ns = OPEN_NS + self.at * self.step_ns - i64::try_from(late).unwrap_or(0);
        let listed = &mut self.symbols[which];
        listed.cents = (listed.cents + move_of as u64).saturating_sub(1).max(100);
        listed.seq += 1;
        let trade = Trade {
            symbol: listed.symbol,
            price: number(usize::try_from(listed.cents).unwrap_or(1)) / 100.0,
            size: number(1 + size),
            ts_ns,
            trade_id: Some(self.ids[exchange].to_string().into()),
            exchange: Some(EXCHANGES[exchange].into()),
            conditions: CONDITIONS[conditions].iter().map(|code| (*code).into()).collect::<Conditions>(),
            tape: Some(["A", "B", "C"][which % 3].into()),
            source: Source::alpaca(),
        };
        (trade, listed.seq)
    }
}

/// Three letters, and a fourth for every second symbol.
fn name(at: usize) -> String {
    let digits = [at / 676 % 26, at / 26 % 26, at % 26, at % 7];
    let letters = if at.is_multiple_of(2) { 3 } else { 4 };
    digits[..letters].iter().map(|digit| char::from(b'A' + u8::try_from(*digit).unwrap_or(0))).collect()
}

/// Drains the topic, and makes sure that each trade is stored once.
async fn drain(report: &mut Report, stack: &Stack, count: usize) -> Result<Client> {
    let limit = Duration::from_secs(60) + Duration::from_micros(100) * u32::try_from(count)?;
    let env = [
        ("POSTGRES_DB", DATABASE.to_owned()),
        ("TOPIC_TRADES", TOPIC.to_owned()),
        ("CONSUMER_TRADES_GROUP", DATABASE.to_owned()),
    ];
    let (begin, before) = (Instant::now(), Cpu::now());
    let running: Running = stack.service("consumer-trades", "CONSUMER_TRADES_PORT", &env).await?;
    let client = stack.connect(DATABASE).await?;
    let mut samples = Vec::new();
    loop {
        let rows = stored(&client).await?;
        if rows > 0.0 {
            samples.push((begin.elapsed().as_secs_f64(), rows));
        }
        if rows >= number(count) {
            break;
        }
        ensure!(begin.elapsed() < limit, "{rows} of {count} rows within {limit:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let cpu = Cpu::now();
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let step = STEP.min(number(count) / 4.0);
    let rates = rates(&samples, step);
    let (first_step, last_step) =
        (rates.first().copied().unwrap_or(f64::NAN), rates.last().copied().unwrap_or(f64::NAN));
    report.add(SECTION, "drained, exactly once", (last.1 - first.1) / (last.0 - first.0), "rows/s", ">= 200 k");
    for (at, rate) in rates.iter().enumerate() {
        report.add(
            SECTION,
            &format!("rows {:.2} to {:.2} million", number(at) * step / 1e6, number(at + 1) * step / 1e6),
            *rate,
            "rows/s",
            "",
        );
    }
    report.add(SECTION, "median of these", median(rates), "rows/s", "");
    report.add(SECTION, "the last of these / the first", last_step / first_step, "", ">= 0.85");
    for (name, program) in [("consumer-trades", "consumer-trades"), ("PostgreSQL", "postgres"), ("Kafka", "java")] {
        report.add(
            SECTION,
            &format!("processor time a row: {name}"),
            cpu.micros_a_row(&before, program, number(count)),
            "µs",
            "",
        );
    }
    report.add(SECTION, "consumer-trades, highest memory", running.memory_mib()?, "MiB", "");
    running.service.stop().await;

    let rows: i64 = client.query_one("SELECT count(*) FROM market_data_oltp.stock_trades_realtime", &[]).await?.get(0);
    ensure!(usize::try_from(rows)? == count, "{rows} rows are stored of {count} trades");
    Ok(client)
}

/// Rows a second of each full `step` of rows, from samples of (seconds, rows stored) in ascending order. When a step was reached is
/// interpolated between two samples; the first step begins at the first sample.
fn rates(samples: &[(f64, f64)], step: f64) -> Vec<f64> {
    let Some(&(mut since, mut rows)) = samples.first() else { return Vec::new() };
    let (mut next, mut rates) = (step, Vec::new());
    for pair in samples.windows(2) {
        let ((from, less), (to, more)) = (pair[0], pair[1]);
        while more >= next {
            if next > less {
                let at = from + (to - from) * (next - less) / (more - less);
                rates.push((next - rows) / (at - since));
                (since, rows) = (at, next);
            }
            next += step;
        }
    }
    rates
}

async fn sizes(report: &mut Report, client: &Client, count: usize) -> Result<()> {
    let sql = "SELECT sum(pg_table_size(inhrelid))::float8, sum(pg_indexes_size(inhrelid))::float8
               FROM pg_inherits WHERE inhparent = 'market_data_oltp.stock_trades_realtime'::regclass";
    let row = client.query_one(sql, &[]).await?;
    let (table, indexes): (f64, f64) = (row.get(0), row.get(1));
    report.add(SECTION, "a trade in the table", table / number(count), "bytes", "");
    report.add(SECTION, "a trade in the indexes", indexes / number(count), "bytes", "");
    report.add(SECTION, "a trade in PostgreSQL", (table + indexes) / number(count), "bytes", "<= 120");
    Ok(())
}

/// Archives the day with the command that people use, which reads the file back before it drops the partition.
async fn archive(report: &mut Report, stack: &Stack, client: &Client, count: usize) -> Result<()> {
    let begin = Instant::now();
    let status = tokio::process::Command::new(service::binary("consumer-trades")?)
        .args(["archive", "run", "--day", DAY])
        .envs(stack.infra.env().iter().cloned())
        .env("POSTGRES_DB", DATABASE)
        .env("ARCHIVE_DIR", stack.folder.path().join("archive"))
        .current_dir(stack.folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .await
        .context("cannot run consumer-trades archive")?;
    ensure!(status.success(), "consumer-trades archive run --day {DAY} ended with {status}");
    let seconds = begin.elapsed().as_secs_f64();
    let row = client.query_one("SELECT rows, bytes::float8 FROM market_data_oltp.archived_days", &[]).await?;
    let (rows, bytes): (i64, f64) = (row.get(0), row.get(1));
    ensure!(usize::try_from(rows)? == count, "{rows} trades are archived of {count}");
    report.add(SECTION, "archived, read back, compared and dropped", number(count) / seconds, "rows/s", "");
    report.add(SECTION, "a trade in the archive", bytes / number(count), "bytes", "<= 14");
    Ok(())
}

/// A month of daily bars of each symbol, read symbol by symbol through one connection at a time.
async fn daily_bars(report: &mut Report, stack: &Stack, client: &Client) -> Result<()> {
    let names: Vec<String> = (0..SYMBOLS).map(name).collect();
    client
        .execute(
            "INSERT INTO market_data_oltp.stock_bars_staging
                 (ts, ts_ns, open, high, low, close, volume, vwap, trade_count, symbol, timeframe, source)
             SELECT at, market_data_oltp.ns(at), 100, 101, 99, 100.5, 12345, 100.2, 87, symbol, '1Day', 'alpaca'
             FROM unnest($1::text[]) symbol,
                  (SELECT at FROM generate_series(TIMESTAMPTZ '2025-10-01 04:00Z', '2025-12-01', '1 day') at
                   WHERE extract(isodow FROM at) < 6 ORDER BY at LIMIT 21) day",
            &[&names],
        )
        .await?;
    let versions =
        "INSERT INTO market_data_oltp.stock_bar_versions (symbol, timeframe) SELECT unnest($1::text[]), '1Day'";
    client.execute(versions, &[&names]).await?;
    client.batch_execute("ANALYZE market_data_oltp.stock_bars_staging").await?;

    let api = stack.service("bars-api", "API_PORT", &[("POSTGRES_DB", DATABASE.to_owned())]).await?;
    let (begin, mut millis) = (Instant::now(), Vec::with_capacity(SYMBOLS));
    for name in &names {
        let asked = Instant::now();
        let answer = http::get(api.port, &format!("/bars/{name}?timeframe=1Day&limit={BARS}")).await?;
        millis.push(asked.elapsed().as_secs_f64() * 1e3);
        let bars = serde_json::from_str::<serde_json::Value>(&answer.body).ok();
        let bars = bars.as_ref().and_then(|body| body["bars"].as_array()).map_or(0, Vec::len);
        ensure!(bars == BARS, "{name}: {bars} of {BARS} daily bars, status {}", answer.status);
    }
    report.add(SECTION, "a month of daily bars of every symbol, read back", begin.elapsed().as_secs_f64(), "s", "");
    for (what, percent) in [("p50", 50.0), ("p99", 99.0)] {
        report.add(
            SECTION,
            &format!("one symbol of it, not remembered, {what}"),
            percentile(&mut millis, percent),
            "ms",
            "",
        );
    }
    api.service.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn rates_are_those_of_full_steps_whatever_the_samples_are() {
        // 100 rows/s for two seconds, then 50 rows/s, looked at now and then.
        let samples = [(1.0, 10.0), (1.5, 60.0), (2.9, 200.0), (5.9, 350.0), (6.9, 400.0)];
        let shown: Vec<String> = rates(&samples, 100.0).iter().map(|rate| format!("{rate:.1}")).collect();
        assert_eq!(shown, ["100.0", "100.0", "50.0", "50.0"]);
        assert_eq!(rates(&samples[..2], 100.0), [0.0; 0]);
        assert_eq!(rates(&[], 100.0), [0.0; 0]);
    }

    #[test]
    fn the_tape_has_each_trade_once_and_counts_by_symbol() {
        let mut tape = Tape::new(20_000);
        let (mut keys, mut seqs) = (HashSet::new(), std::collections::HashMap::new());
        for _ in 0..20_000 {
            let (trade, seq) = tape.next();
            assert!((OPEN_NS - 10_000_000_000..=OPEN_NS + OPEN_FOR_NS).contains(&trade.ts_ns));
            assert!(keys.insert((trade.symbol, trade.exchange.clone(), trade.trade_id.clone(), trade.ts_ns)));
            let before = seqs.insert(trade.symbol, seq).unwrap_or(0);
            assert_eq!(seq, before + 1);
        }
        assert_eq!((0..SYMBOLS).map(name).collect::<HashSet<_>>().len(), SYMBOLS);
    }
}
