//! What the tests of both consumers share: records into a real Kafka, a consumer in this process or as a program of its own, and
//! questions to a real PostgreSQL.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::process::Stdio;
use std::time::Duration;

use local_stack::testing::{self, Database};
use local_stack::{Kafka, Postgres, port};
use market::{Position, Source, Symbol, Trade, wire};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use service::Vars;
use service::telemetry::LogConfig;
use sink::dead_letters::DeadLetter;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Long enough for a loaded machine; a test waits for facts, never for this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Partitions of each topic.
pub(crate) const PARTITIONS: i32 = 6;

struct Topics {
    trades: String,
    bars: String,
    corrections: String,
    gaps: String,
}

/// One pipeline of its own on shared servers.
pub(crate) struct Place {
    pub(crate) kafka: String,
    pub(crate) database: Database,
    /// Where records are sent.
    pub(crate) topic: String,
    topics: Topics,
    pub(crate) dead_letters: String,
    group: String,
    /// Further variables for the consumer.
    pub(crate) extra: Vec<(&'static str, String)>,
}

impl Place {
    /// Fresh topics and a fresh, empty database.
    pub(crate) async fn new() -> Self {
        Self::on(testing::kafka().await, testing::database().await)
    }

    /// The same for bars.
    pub(crate) async fn for_bars() -> Self {
        let place = Self::new().await;
        Self { topic: place.topics.bars.clone(), ..place }
    }

    /// The same on servers that the test started for itself.
    pub(crate) fn on_own(kafka: &Kafka, postgres: &Postgres, database: &str) -> Self {
        Self::on(kafka.bootstrap(), testing::of(postgres, database))
    }

    fn on(kafka: String, database: Database) -> Self {
        if let Ok(filter) = std::env::var("RUST_LOG") {
            // To see what a failing test did.
            service::telemetry::init_tracing(&LogConfig { filter: Some(filter), ..LogConfig::default() });
        }
        let topics = Topics {
            trades: testing::unique("trades"),
            bars: testing::unique("bars"),
            corrections: testing::unique("corrections"),
            gaps: testing::unique("gaps"),
        };
        Self {
            kafka,
            database,
            topic: topics.trades.clone(),
            topics,
            dead_letters: testing::unique("dead"),
            group: testing::unique("group"),
            extra: Vec::new(),
        }
    }

    /// The variables of one consumer; each has its own port.
    pub(crate) fn env(&self) -> Vec<(&'static str, String)> {
        let port = port::free().unwrap().to_string();
        let mut env = vec![
            ("KAFKA_BOOTSTRAP_SERVERS", self.kafka.clone()),
            ("TOPIC_TRADES", self.topics.trades.clone()),
            ("TOPIC_BARS", self.topics.bars.clone()),
            ("TOPIC_CORRECTIONS", self.topics.corrections.clone()),
            ("TOPIC_GAPS", self.topics.gaps.clone()),
            ("TOPIC_SENT", format!("{}-sent", self.topic)),
            ("TOPIC_DEAD_LETTERS", self.dead_letters.clone()),
            ("TOPIC_PARTITIONS", PARTITIONS.to_string()),
            ("KAFKA_SESSION_TIMEOUT_MS", "6000".to_owned()),
            ("CONSUMER_TRADES_GROUP", self.group.clone()),
            ("CONSUMER_BARS_GROUP", self.group.clone()),
            ("CONSUMER_TRADES_PORT", port.clone()),
            ("CONSUMER_BARS_PORT", port),
        ];
        env.extend(self.database.env());
        env.extend(self.extra.iter().cloned());
        env
    }

    /// Settings for a consumer in this process.
    pub(crate) fn vars(&self) -> Vars {
        let env = self.env();
        Vars::from_pairs(&env.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
    }

    /// Makes the topics, as a producer that starts first would.
    pub(crate) async fn make_topics(&self) {
        let kafka = self.vars().load(service::kafka::KafkaConfig::from_vars).unwrap();
        eventually("topics", async || kafka.ensure_topics().await.ok()).await;
    }

    /// How many consumers the group of the topic has, once Kafka has agreed with them on who reads what.
    pub(crate) async fn members_of_the_group(&self) -> usize {
        let (kafka, group) = (self.kafka.clone(), self.group.clone());
        let ask = move || {
            let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", kafka).create().unwrap();
            let groups = client.fetch_group_list(Some(&group), Duration::from_secs(10)).unwrap();
            let agreed = groups.groups().iter().find(|found| found.name() == group && found.state() == "Stable");
            agreed.map_or(0, |found| found.members().len())
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    /// Starts the program `path` with this place's variables.
    pub(crate) fn start(&self, path: &str) -> Program {
        let env = self.env();
        let port = env.iter().find(|(name, _)| *name == "CONSUMER_TRADES_PORT").unwrap().1.clone();
        let child = Command::new(path)
            .envs(env.iter().map(|(name, value)| (*name, value.as_str())))
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Program { child, port }
    }

    /// Runs a command of the program `path` to its end; returns its exit code and what it wrote.
    pub(crate) async fn command(&self, path: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let output =
            Command::new(path).args(arguments).envs(self.env()).env("RUST_LOG", "error").kill_on_drop(true).output();
        let output = tokio::time::timeout(PATIENCE, output).await.expect("it ends").unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code(), text.concat())
    }

    /// All dead letters so far.
    pub(crate) async fn letters(&self) -> Vec<DeadLetter> {
        let (kafka, topic) = (self.kafka.clone(), self.dead_letters.clone());
        let payloads = tokio::task::spawn_blocking(move || read_all(&kafka, &topic)).await.unwrap();
        payloads.iter().map(|payload| serde_json::from_slice(payload).unwrap()).collect()
    }
}

/// A consumer that runs as a program of its own.
pub(crate) struct Program {
    child: Child,
    pub(crate) port: String,
}

impl Program {
    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().expect("still running")).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// kill -9
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM; returns the exit code.
    pub(crate) async fn stop(mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.exit_code().await
    }

    /// Waits for the end.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap().code()
    }

    /// Stops it in the middle of whatever it does.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// One of its two pages.
    pub(crate) async fn page(&self, path: &str) -> Option<String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(format!("127.0.0.1:{}", self.port)).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    /// One of its numbers; 0 where it is not shown yet.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let page = self.page("/metrics").await.unwrap_or_default();
        let line = page.lines().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }
}

/// Polls until `look` finds something; fails with a sentence.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look).await
}

/// The same with another limit.
pub(crate) async fn within<T>(limit: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Sends records and waits for the broker.
pub(crate) struct Sender {
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
}

impl Sender {
    /// Into the place's main topic.
    pub(crate) fn new(place: &Place) -> Self {
        Self::into(place, &place.topic)
    }

    /// Into the topic of corrections.
    pub(crate) fn of_corrections(place: &Place) -> Self {
        Self::into(place, &place.topics.corrections)
    }

    /// Into the topic of gaps.
    pub(crate) fn of_gaps(place: &Place) -> Self {
        Self::into(place, &place.topics.gaps)
    }

    fn into(place: &Place, topic: &str) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &place.kafka)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .create()
            .unwrap();
        Self { producer, topic: topic.to_owned() }
    }

    pub(crate) fn send(&self, key: &str, payload: &[u8]) {
        self.send_to(None, key, payload);
    }

    pub(crate) fn send_to(&self, partition: Option<i32>, key: &str, payload: &[u8]) {
        let mut record = BaseRecord::to(&self.topic).key(key).payload(payload);
        record.partition = partition;
        while let Err((_, returned)) = self.producer.send(record) {
            record = returned; // the queue is full: wait a moment
            self.producer.flush(Duration::from_millis(100)).ok();
        }
    }

    pub(crate) fn flush(&self) {
        self.producer.flush(PATIENCE).unwrap();
    }
}

/// The payloads of a whole topic.
fn read_all(kafka: &str, topic: &str) -> Vec<Vec<u8>> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", kafka).set("group.id", "tests").create().unwrap();
    let mut left = 0;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let Ok((first, end)) = consumer.fetch_watermarks(topic, partition, PATIENCE) else { return Vec::new() };
        left += end - first;
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut payloads = Vec::new();
    while left > 0 {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            payloads.push(message.payload().unwrap_or_default().to_vec());
            left -= 1;
        }
    }
    payloads
}

/// Symbols of the made-up market.
pub(crate) const SYMBOLS: [&str; 8] = ["AAPL", "MSFT", "GOOGL", "SPY", "IBM", "BAC", "AIG", "TSLA"];

/// 2024-06-03 14:00 UTC, a Monday.
pub(crate) const DAY_NS: i64 = 1_717_423_200_000_000_000;

/// The n-th trade of a made-up market: all different, spread over the symbols, 1 ms apart.
pub(crate) fn trade(number: u32) -> Trade {
    let symbol = SYMBOLS[number as usize % SYMBOLS.len()];
    Trade {
        symbol: Symbol::new(symbol).unwrap(),
        price: 100.0 + f64::from(number % 977) / 100.0,
        size: f64::from(1 + number % 500),
        ts_ns: DAY_NS + i64::from(number) * 1_000_000,
        trade_id: Some(number.to_string().into()),
        exchange: Some(if number.is_multiple_of(3) { "Q" } else { "P" }.into()),
        conditions: ["@", "I"].into_iter().take(number as usize % 3).map(Into::into).collect(),
        tape: Some("C".into()),
        source: Source::alpaca(),
    }
}

/// A trade as the producer would send it.
pub(crate) fn encoded(trade: &Trade, seq: u64) -> Vec<u8> {
    let mut out = Vec::new();
    wire::encode_trade(trade, Position { epoch: 1_717_400_000_000, seq }, &mut out);
    out
}

/// Sends the trades `numbers` and waits until the broker has them.
pub(crate) async fn send_trades(place: &Place, numbers: std::ops::Range<u32>) {
    let sender = Sender::new(place);
    tokio::task::spawn_blocking(move || {
        for number in numbers {
            let trade = trade(number);
            sender.send(trade.symbol.as_str(), &encoded(&trade, u64::from(number) + 1));
        }
        sender.flush();
    })
    .await
    .unwrap();
}

/// Rows, shares and dollars: equal for a table and for the trades it was made from, if nothing is lost or doubled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sums {
    pub(crate) rows: i64,
    pub(crate) shares: f64,
    pub(crate) dollars: f64,
}

impl Sums {
    /// Of the trades `numbers`. Prices have two places and sizes none, so that sums in cents are exact.
    pub(crate) fn of_trades(numbers: std::ops::Range<u32>) -> Self {
        let trades = || numbers.clone().map(trade);
        let cents: f64 = trades().map(|trade| (trade.price * 100.0).round() * trade.size).sum();
        Self {
            rows: i64::from(numbers.end - numbers.start),
            shares: trades().map(|t| t.size).sum(),
            dollars: cents / 100.0,
        }
    }

    /// Of what is stored; nothing yet where there is no table.
    pub(crate) async fn stored(database: &Database) -> Self {
        let sql = "SELECT count(*), coalesce(sum(size), 0), coalesce(sum(round((price * 100)::numeric)::float8 * size), 0) / 100
                   FROM market_data_oltp.stock_trades_realtime";
        match database.connect().await.query_one(sql, &[]).await {
            Ok(row) => Self { rows: row.get(0), shares: row.get(1), dollars: row.get(2) },
            Err(_) => Self { rows: 0, shares: 0.0, dollars: 0.0 },
        }
    }
}

/// Waits until at least so many rows are stored.
pub(crate) async fn rows_stored(database: &Database, rows: i64) {
    eventually(&format!("{rows} rows"), async || (Sums::stored(database).await.rows >= rows).then_some(())).await;
}

/// A hash of a whole table, whatever the order of its rows.
pub(crate) async fn table_hash(database: &Database, table: &str) -> String {
    let sql = format!(
        "SELECT coalesce(md5(string_agg(line, '' ORDER BY line)), '') FROM (SELECT t::text AS line FROM {table} t) lines"
    );
    database.connect().await.query_one(&sql, &[]).await.unwrap().get(0)
}
