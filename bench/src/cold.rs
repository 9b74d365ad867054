//! Kafka → PostgreSQL: our consumer, raw binary COPY of the same rows into the same table, and a consumer written the ordinary way.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::SinkExt as _;
use local_stack::kafka::create_topic;
use market::{Symbol, Trade, wire};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sink::copy::{HEADER, RowWriter, TRAILER};
use tokio_postgres::types::ToSql;

use crate::cpu::Cpu;
use crate::fill::Filler;
use crate::report::{Report, median, number};
use crate::stack::{Stack, stored, until};
use crate::tape;

const TOPIC: &str = "bench_trades";
const PARTITIONS: u16 = 6;
/// Rows of one transaction: the consumers' default batch.
const BATCH: usize = 5_000;
const LIMIT: Duration = Duration::from_secs(300);
const TABLE: &str = "market_data_oltp.stock_trades_realtime";
const COLUMNS: &str = "ts,price,size,ts_ns,epoch,seq,symbol,exchange,trade_id,source,tape,conditions";

pub(crate) async fn measure(report: &mut Report, count: usize, runs: usize) -> Result<()> {
    println!("\ncold path: {count} trades, {PARTITIONS} partitions, one PostgreSQL with its defaults (fsync on)");
    let stack = Stack::start().await?;
    let trades = tape::trades(count);
    create_topic(stack.kafka(), TOPIC, PARTITIONS).await?;
    fill(stack.kafka(), &tape::encoded(&trades))?;

    let mut ours = Ours::default();
    let (mut raw_one, mut raw_two, mut raw_read, mut raw_cpu, mut ordinary) = (vec![], vec![], vec![], vec![], vec![]);
    for run in 0..runs {
        // In turn, so that a machine that slows down slows all of them.
        consumer(&stack, &format!("ours_{run}"), count, &mut ours).await?;
        let before = Cpu::now();
        raw_one.push(raw_copy(&stack, &format!("raw_one_{run}"), &trades, 1, false).await?);
        raw_cpu.push(Cpu::now().micros_a_row(&before, "postgres", number(count)));
        raw_two.push(raw_copy(&stack, &format!("raw_two_{run}"), &trades, 2, false).await?);
        raw_read.push(raw_copy(&stack, &format!("raw_read_{run}"), &trades, 2, true).await?);
        let part = count.min(100_000);
        ordinary.push(ordinary_consumer(&stack, &format!("ordinary_{run}"), part).await?);
    }
    let section = "cold";
    let (rate, raw_one, raw_two) = (median(ours.rate), median(raw_one), median(raw_two));
    let (raw_read, ordinary) = (median(raw_read), median(ordinary));
    report.add(section, "consumer-trades, exactly once", rate, "rows/s", ">= 200 k");
    report.add(section, "raw binary COPY, same rows, one connection, alone", raw_one, "rows/s", "");
    report.add(section, "raw binary COPY, same rows, two connections, alone", raw_two, "rows/s", "");
    report.add(section, "the same while a client reads the topic and drops it", raw_read, "rows/s", "");
    report.add(section, "ordinary consumer, 100-row INSERT ON CONFLICT", ordinary, "rows/s", "");
    report.add(section, "consumer-trades / raw COPY, one connection", rate / raw_one, "×", ">= 0.75");
    report.add(section, "consumer-trades / raw COPY, two connections", rate / raw_two, "×", "");
    report.add(section, "consumer-trades / raw COPY while the topic is read", rate / raw_read, "×", "");
    report.add(section, "consumer-trades / ordinary consumer", rate / ordinary, "×", "");
    report.add(section, "processor time a row: consumer-trades", median(ours.consumer_us), "µs", "");
    report.add(section, "processor time a row: PostgreSQL, for consumer-trades", median(ours.postgres_us), "µs", "");
    report.add(section, "processor time a row: Kafka", median(ours.kafka_us), "µs", "");
    report.add(section, "processor time a row: PostgreSQL, for raw COPY", median(raw_cpu), "µs", "");
    report.add(section, "consumer-trades, highest memory", median(ours.mib), "MiB", "");
    stack.infra.stop().await;
    Ok(())
}

fn fill(bootstrap: &str, records: &[(Symbol, Vec<u8>)]) -> Result<()> {
    let filler = Filler::new(bootstrap, TOPIC)?;
    // Four symbols would leave partitions empty; the number of the record spreads them as thousands of symbols would.
    for (at, (_, json)) in records.iter().enumerate() {
        filler.send(&at.to_string(), json);
    }
    filler.finish()
}

/// What was measured of consumer-trades, run by run.
#[derive(Default)]
struct Ours {
    /// Rows a second from the first stored row to the last.
    rate: Vec<f64>,
    /// Processor time in microseconds a row, from the start to the last row.
    consumer_us: Vec<f64>,
    postgres_us: Vec<f64>,
    kafka_us: Vec<f64>,
    /// Highest memory.
    mib: Vec<f64>,
}

async fn consumer(stack: &Stack, database: &str, count: usize, ours: &mut Ours) -> Result<()> {
    stack.database(database).await?;
    let env = [
        ("POSTGRES_DB", database.to_owned()),
        ("TOPIC_TRADES", TOPIC.to_owned()),
        ("CONSUMER_TRADES_GROUP", database.to_owned()),
    ];
    let (begin, before) = (Instant::now(), Cpu::now());
    let running = stack.service("consumer-trades", "CONSUMER_TRADES_PORT", &env).await?;
    let client = stack.connect(database).await?;
    let stored = async || stored(&client).await;
    let first = until("the first rows", 1.0, LIMIT, stored).await.unwrap_or(begin);
    let already = stored().await?;
    let last = until("all rows", number(count), LIMIT, stored).await?;
    let cpu = Cpu::now();
    let us = |name| cpu.micros_a_row(&before, name, number(count));
    ours.rate.push((number(count) - already) / (last - first).as_secs_f64());
    ours.consumer_us.push(us("consumer-trades"));
    ours.postgres_us.push(us("postgres"));
    ours.kafka_us.push(us("java"));
    ours.mib.push(running.memory_mib()?);
    running.service.stop().await;
    Ok(())
}

/// The schema without rows, as the consumer's own migrations make it.
async fn empty_tables(stack: &Stack, database: &str, trades: &[Trade]) -> Result<tokio_postgres::Client> {
    stack.database(database).await?;
    let env = [
        ("POSTGRES_DB", database.to_owned()),
        ("TOPIC_TRADES", format!("{TOPIC}_empty")),
        ("CONSUMER_TRADES_GROUP", database.to_owned()),
    ];
    stack.service("consumer-trades", "CONSUMER_TRADES_PORT", &env).await?.service.stop().await;
    let client = stack.connect(database).await?;
    let mut days: Vec<String> = trades.iter().map(|trade| (trade.ts_ns / 86_400_000_000_000).to_string()).collect();
    days.dedup();
    let dates = days.iter().map(|day| format!("DATE '1970-01-01' + {day}")).collect::<Vec<_>>().join(",");
    client.batch_execute(&format!("SELECT market_data_oltp.ensure_trade_partitions(ARRAY[{dates}])")).await?;
    Ok(client)
}

/// Rows a second with everything encoded beforehand: nothing but COPY and COMMIT is left. `beside_a_reader` until the last row is stored
/// and the whole topic was read, which is what any program would have to do, whatever it does with the records.
async fn raw_copy(
    stack: &Stack,
    database: &str,
    trades: &[Trade],
    connections: usize,
    beside_a_reader: bool,
) -> Result<f64> {
    drop(empty_tables(stack, database, trades).await?);
    let mut lanes: Vec<Vec<Bytes>> = vec![Vec::new(); connections];
    for (at, batch) in trades.chunks(BATCH).enumerate() {
        lanes[at % connections].push(copy_bytes(batch));
    }
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(stack.connect(database).await?);
    }
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    if beside_a_reader {
        let (kafka, count) = (stack.kafka().to_owned(), trades.len());
        tasks.spawn_blocking(move || read_and_drop(&kafka, count));
    }
    for (client, batches) in clients.into_iter().zip(lanes) {
        tasks.spawn(async move {
            for batch in batches {
                let copy = format!("COPY {TABLE} ({COLUMNS}) FROM STDIN (FORMAT binary)");
                let mut sink = std::pin::pin!(client.copy_in(&copy).await?);
                sink.send(batch).await?;
                sink.finish().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(number(trades.len()) / begin.elapsed().as_secs_f64())
}

fn read_and_drop(bootstrap: &str, count: usize) -> Result<()> {
    let reader: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", "bench_reader").create()?;
    let mut topic = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        topic.add_partition_offset(TOPIC, partition.into(), Offset::Beginning)?;
    }
    reader.assign(&topic)?;
    for _ in 0..count {
        reader.poll(LIMIT).context("the topic ends early")??;
    }
    Ok(())
}

fn copy_bytes(trades: &[Trade]) -> Bytes {
    let mut out = HEADER.to_vec();
    for (at, trade) in trades.iter().enumerate() {
        let mut row = RowWriter::start(&mut out, 12);
        row.timestamptz(trade.ts_ns);
        row.float8(trade.price);
        row.float8(trade.size);
        row.int8(trade.ts_ns);
        row.int8_or_null(Some(1_763_700_000_000));
        row.int8_or_null(i64::try_from(at).ok());
        row.text(trade.symbol.as_str());
        row.text(trade.exchange.as_deref().unwrap_or_default());
        row.text(trade.trade_id.as_deref().unwrap_or_default());
        row.text(trade.source.as_str());
        row.text_or_null(trade.tape.as_deref());
        row.list_or_null(trade.conditions.iter().map(|code| code.as_str()));
    }
    out.extend_from_slice(TRAILER);
    out.into()
}

/// What most people would write: poll, parse, collect 100 rows, one prepared INSERT, commit the offset. At least once.
async fn ordinary_consumer(stack: &Stack, database: &str, count: usize) -> Result<f64> {
    let client = empty_tables(stack, database, &tape::trades(1)).await?;
    let values: Vec<String> = (0..100)
        .map(|row| {
            format!("({})", (1..=12).map(|field| format!("${}", row * 12 + field)).collect::<Vec<_>>().join(","))
        })
        .collect();
    // The whole tape's days, because this consumer makes no partitions.
    client
        .batch_execute("SELECT market_data_oltp.ensure_trade_partitions(ARRAY(SELECT DATE '2013-10-07' + day FROM generate_series(0, 30) day))")
        .await?;
    let insert = client
        .prepare(&format!("INSERT INTO {TABLE} ({COLUMNS}) VALUES {} ON CONFLICT DO NOTHING", values.join(",")))
        .await?;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", stack.kafka())
        .set("group.id", database)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()?;
    consumer.subscribe(&[TOPIC])?;
    let (mut stored, mut batch, mut begin) = (0, Vec::new(), None);
    while stored < count {
        let Some(message) = consumer.poll(Duration::from_secs(10)) else { continue };
        let message = message?;
        begin.get_or_insert_with(Instant::now);
        batch.push(wire::decode_trade(message.payload().unwrap_or_default()).context("not a trade")?);
        if batch.len() < 100 {
            continue;
        }
        let columns: Vec<_> = batch.iter().map(|(trade, position)| columns_of(trade, *position)).collect();
        let parameters: Vec<&(dyn ToSql + Sync)> =
            columns.iter().flat_map(|row| row.iter().map(|value| &**value as &(dyn ToSql + Sync))).collect();
        client.execute(&insert, &parameters).await?;
        consumer.commit_message(&message, CommitMode::Async)?;
        stored += batch.len();
        batch.clear();
    }
    let begin = begin.context("nothing was read")?;
    Ok(number(stored) / begin.elapsed().as_secs_f64())
}

fn columns_of(trade: &Trade, position: Option<market::Position>) -> Vec<Box<dyn ToSql + Sync>> {
    let text = |text: Option<&str>| -> Box<dyn ToSql + Sync> { Box::new(text.map(str::to_owned)) };
    vec![
        Box::new(jiff::Timestamp::from_nanosecond(i128::from(trade.ts_ns)).unwrap_or_default()),
        Box::new(trade.price),
        Box::new(trade.size),
        Box::new(trade.ts_ns),
        Box::new(position.map(|position| position.epoch)),
        Box::new(position.and_then(|position| i64::try_from(position.seq).ok())),
        text(Some(trade.symbol.as_str())),
        text(Some(trade.exchange.as_deref().unwrap_or_default())),
        text(Some(trade.trade_id.as_deref().unwrap_or_default())),
        text(Some(trade.source.as_str())),
        text(trade.tape.as_deref()),
        Box::new(trade.conditions.join(",")),
    ]
}
