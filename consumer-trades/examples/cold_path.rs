//! How fast trades go from Kafka to PostgreSQL, beside raw binary `COPY` of the same rows into the same table in the same run.
//!
//! `cargo run --release -p consumer-trades --example cold_path -- [trades] [symbols] [rounds]`
//!
//! Servers that the environment names are used; others are started. The consumer runs as in production: its own settings from the
//! environment (`BATCH_SIZE`, `SINK_CONNECTIONS`), exactly once, synchronous commits.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use consumer_trades::{TradeRow, config};
use futures_util::SinkExt as _;
use futures_util::future::try_join_all;
use local_stack::testing::{self, Database};
use local_stack::{Kafka, kafka, port};
use market::{Position, Source, Symbol, Trade, wire};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use service::{CancellationToken, Vars};
use sink::batch::{Batch, RawRecord, Tenure};
use sink::encode::{Day, Encoded, Window};
use sink::{Coordinates, Row as _, copy};
use tokio_postgres::Client;

const PARTITIONS: u16 = 6;
const TABLE: &str = TradeRow::TABLE;
/// 2024-06-03 14:00 UTC.
const START_NS: i64 = 1_717_423_200_000_000_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let mut next = |default: u32| numbers.next().unwrap_or(Ok(default)).context("arguments are numbers");
    let (trades, symbols, rounds) = (next(1_000_000)?, next(500)?, next(3)?);

    let own = match std::env::var("KAFKA_BOOTSTRAP_SERVERS") {
        Ok(_) => None,
        Err(_) => Some(Kafka::start(local_stack::Folder::temporary()?, port::free()?, kafka::Jvm::Throughput).await?),
    };
    let bootstrap = match &own {
        Some(kafka) => kafka.bootstrap(),
        None => testing::kafka().await,
    };
    let database = testing::database().await;
    let mut place = Place { bootstrap, database, topic: testing::unique("trades"), runs: 0 };
    local_stack::kafka::create_topic(&place.bootstrap, &place.topic, PARTITIONS).await?;

    let payloads: Vec<(String, Vec<u8>)> = (0..trades).map(|number| payload(number, symbols)).collect();
    let started = Instant::now();
    place.load(&payloads)?;
    println!("{trades} trades of {symbols} symbols in Kafka: {}", rate(trades, started.elapsed()));

    // The first round warms up: it makes the schema and fills the page cache.
    place.drain(trades).await?;
    let (mut raw_one, mut raw_two, mut drained) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        raw_one.push(place.copy(&payloads, 1).await?);
        raw_two.push(place.copy(&payloads, 2).await?);
        drained.push(place.drain(trades).await?);
    }
    let [raw_one, raw_two, drained] = [raw_one, raw_two, drained].map(median);
    println!("raw COPY, 1 connection:  {}", raw_one.show(trades));
    println!("raw COPY, 2 connections: {}", raw_two.show(trades));
    println!("Kafka to PostgreSQL:     {}", drained.show(trades));
    println!("ratio to 1 connection:   {:.2}", raw_one.time.as_secs_f64() / drained.time.as_secs_f64());
    println!("ratio to 2 connections:  {:.2}", raw_two.time.as_secs_f64() / drained.time.as_secs_f64());
    Ok(())
}

/// The n-th of a market of many symbols: their rates differ as those of real ones do.
fn payload(number: u32, symbols: u32) -> (String, Vec<u8>) {
    let spread = f64::from(number.wrapping_mul(2_654_435_761) >> 8) / f64::from(1_u32 << 24);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the number of symbols")]
    let symbol = format!("S{:04}", (spread * spread * f64::from(symbols)) as u32);
    let trade = Trade {
        symbol: Symbol::new(&symbol).expect("printable"),
        price: 100.0 + f64::from(number % 977) / 100.0,
        size: f64::from(1 + number % 500),
        ts_ns: START_NS + i64::from(number) * 1_000,
        trade_id: Some((52_983_525_000_000_u64 + u64::from(number)).to_string().into()),
        exchange: Some(["Q", "P", "D", "N"][number as usize % 4].into()),
        conditions: ["@", "F", "I"].into_iter().take(number as usize % 4).map(Into::into).collect(),
        tape: Some("C".into()),
        source: Source::alpaca(),
    };
    let mut out = Vec::new();
    wire::encode_trade(&trade, Position { epoch: 1_717_400_000_000, seq: u64::from(number) }, &mut out);
    (symbol, out)
}

struct Place {
    bootstrap: String,
    database: Database,
    topic: String,
    runs: u32,
}

impl Place {
    fn load(&self, payloads: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("compression.type", "lz4")
            .set("linger.ms", "20")
            .set("queue.buffering.max.messages", "1000000")
            .create()?;
        for (symbol, payload) in payloads {
            let mut record = BaseRecord::to(&self.topic).key(symbol).payload(payload);
            while let Err((_, returned)) = producer.send(record) {
                record = returned;
                producer.flush(Duration::from_millis(100)).ok();
            }
        }
        producer.flush(Duration::from_secs(60)).context("the broker did not take all trades")
    }

    /// Empties the table without giving its pages back slowly.
    async fn empty(&self, client: &Client) -> anyhow::Result<()> {
        client.batch_execute(&format!("TRUNCATE {TABLE}; CHECKPOINT")).await?;
        client.execute("SELECT market_data_oltp.ensure_trade_partitions('{2024-06-03}')", &[]).await?;
        Ok(())
    }

    /// Binary COPY of rows that are encoded beforehand, in transactions of 5,000.
    async fn copy(&self, payloads: &[(String, Vec<u8>)], connections: usize) -> anyhow::Result<Cost> {
        let chunks: Vec<Bytes> = payloads.chunks(5_000).map(encoded).collect();
        let client = self.database.connect().await;
        self.empty(&client).await?;
        let sql = format!("COPY {TABLE} ({}) FROM STDIN (FORMAT binary)", TradeRow::COLUMNS.join(", "));
        let (own_before, server_before) = (own_cpu(), server_cpu(&client).await);
        let clients = futures_util::future::join_all((0..connections).map(|_| self.database.connect())).await;
        let started = Instant::now();
        let copies = clients.iter().enumerate().map(|(at, client)| {
            let mine = chunks.iter().skip(at).step_by(connections);
            copy_all(client, &sql, mine)
        });
        let rows: u64 = try_join_all(copies).await?.into_iter().sum();
        let (time, own_cpu) = (started.elapsed(), own_cpu() - own_before);
        drop(clients);
        ensure!(rows == payloads.len() as u64, "{rows} rows were copied");
        Ok(Cost { time, own_cpu, server_cpu: server_cpu(&client).await - server_before })
    }

    /// The consumer, from its first commit to its last.
    async fn drain(&mut self, trades: u32) -> anyhow::Result<Cost> {
        let client = self.database.connect().await;
        if self.runs > 0 {
            self.empty(&client).await?;
            client.batch_execute("DELETE FROM market_data_oltp.kafka_offsets").await?;
        }
        self.runs += 1;
        let (own_before, server_before) = (own_cpu(), server_cpu(&client).await);
        let stop = CancellationToken::new();
        let consumer = tokio::spawn(consumer_trades::run(self.vars()?.load(config::from_vars)?, stop.clone()));
        let position = async || -> i64 {
            let sql = "SELECT coalesce(sum(next_offset), 0)::bigint FROM market_data_oltp.kafka_offsets";
            client.query_one(sql, &[]).await.map_or(0, |row| row.get(0))
        };
        let mut started = None;
        let time = loop {
            let stored = position().await;
            let (at, before) = *started.get_or_insert((Instant::now(), stored));
            if stored == 0 {
                started = None;
            }
            if stored >= i64::from(trades) {
                let share = (stored - before) as f64 / f64::from(trades);
                break at.elapsed().div_f64(share.max(f64::EPSILON));
            }
            ensure!(!consumer.is_finished(), "the consumer ended early");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        stop.cancel();
        consumer.await??;
        let rows: i64 = client.query_one(&format!("SELECT count(*) FROM {TABLE}"), &[]).await?.get(0);
        ensure!(rows == i64::from(trades), "{rows} rows are stored");
        let own_cpu = own_cpu() - own_before;
        Ok(Cost { time, own_cpu, server_cpu: server_cpu(&client).await - server_before })
    }

    fn vars(&self) -> anyhow::Result<Vars> {
        let own =
            |name: &'static str, default: &str| (name, std::env::var(name).unwrap_or_else(|_| default.to_owned()));
        let mut env = vec![
            ("KAFKA_BOOTSTRAP_SERVERS", self.bootstrap.clone()),
            ("TOPIC_TRADES", self.topic.clone()),
            ("CONSUMER_TRADES_GROUP", format!("{}-{}", self.topic, self.runs)),
            ("CONSUMER_TRADES_PORT", port::free()?.to_string()),
            own("BATCH_SIZE", "5000"),
            own("SINK_CONNECTIONS", "2"),
        ];
        env.extend(self.database.env());
        Ok(Vars::from_pairs(&env.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>()))
    }
}

/// The bytes of one COPY.
fn encoded(payloads: &[(String, Vec<u8>)]) -> Bytes {
    let mut batch = Batch::with_room_for(payloads.len());
    for (offset, (symbol, payload)) in (0_i64..).zip(payloads) {
        let at = Coordinates { partition: 0, offset };
        let record = RawRecord { at, sent_ms: None, key: Some(symbol.as_bytes()), payload: Some(payload) };
        batch.push(record, Tenure { partition: 0, number: 0 }, offset);
    }
    let encoded = Encoded::new::<TradeRow>(batch, Window { first: Day(0), last: Day(1 << 20) });
    [copy::HEADER, &encoded.bytes_of(0..encoded.len()), copy::TRAILER].concat().into()
}

async fn copy_all(client: &Client, sql: &str, chunks: impl Iterator<Item = &Bytes>) -> anyhow::Result<u64> {
    let statement = client.prepare(sql).await?;
    let mut rows = 0;
    for chunk in chunks {
        let mut sink = std::pin::pin!(client.copy_in::<_, Bytes>(&statement).await?);
        sink.send(chunk.clone()).await?;
        rows += sink.finish().await?;
    }
    Ok(rows)
}

/// What one run took. On a machine with other work, CPU time says more than the clock.
#[derive(Clone, Copy)]
struct Cost {
    time: Duration,
    own_cpu: Duration,
    server_cpu: Duration,
}

impl Cost {
    fn show(self, rows: u32) -> String {
        let per_row = |cpu: Duration| cpu.as_secs_f64() * 1e6 / f64::from(rows);
        let (own, server) = (per_row(self.own_cpu), per_row(self.server_cpu));
        format!("{}, CPU a row: {own:.2} µs here, {server:.2} µs in PostgreSQL", rate(rows, self.time))
    }
}

fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_unstable_by_key(|cost| cost.time);
    costs[costs.len() / 2]
}

/// CPU time in `/proc/…/stat`, user and system, from the `first` field on.
fn cpu(stat: &str, first: usize) -> Duration {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(first).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn own_cpu() -> Duration {
    cpu(&std::fs::read_to_string("/proc/self/stat").unwrap_or_default(), 11)
}

/// Of all sessions that have ended; zero where this user may not look.
async fn server_cpu(client: &Client) -> Duration {
    tokio::time::sleep(Duration::from_millis(300)).await; // the server notices closed connections
    let sql =
        "SELECT pg_read_file('/proc/' || split_part(pg_read_file('postmaster.pid'), E'\\n', 1) || '/stat', 0, 1000)";
    client.query_one(sql, &[]).await.map_or(Duration::ZERO, |row| cpu(row.get(0), 13))
}

fn rate(rows: u32, time: Duration) -> String {
    format!("{:>9.0} rows/s", f64::from(rows) / time.as_secs_f64())
}
