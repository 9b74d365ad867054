//! Everything that can be broken, on servers and names of its own.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use market::calendar::{Session, previous_trading_day, trading_date};
use serde_json::Value;

use super::disk::Disk;
use super::plan::{Fault, Options, PARTS, Part};
use crate::infra::DATABASE;
use crate::server::Kind;
use crate::{Folder, Kafka, Postgres, Redis, Server, Service, ServiceKind, http, port, testing};

/// The symbols of the market.
const SYMBOLS: &str = "AAPL,MSFT,GOOGL,AMZN,NVDA,TSLA,META,SPY";

/// One method of whatever server a part is.
macro_rules! on_part {
    ($scene:expr, $part:expr, $($call:tt)+) => {
        match $part {
            Part::Producer => { $scene.producer.$($call)+; }
            Part::Trades => { $scene.trades.$($call)+; }
            Part::Bars => { $scene.bars.$($call)+; }
            Part::Postgres => { $scene.postgres.$($call)+; }
            Part::Kafka => { $scene.kafka.$($call)+; }
        }
    };
}

/// The whole cold path, from the feed to the history API.
pub(super) struct Scene {
    // Fields are dropped in this order: who writes before what is written to.
    simulator: Service,
    simulator_port: u16,
    producer: Service,
    trades: Service,
    bars: Service,
    joined: Vec<Service>,
    kafka: Kafka,
    postgres: Postgres,
    _redis: Redis,
    database: testing::Database,
    env: Vec<(String, String)>,
    store: Disk,
    spool: Disk,
    folder: Folder,
}

impl Scene {
    pub(super) async fn start(options: &Options, seed: u64) -> Result<Self> {
        let folder = Folder::temporary()?;
        let store = Disk::mount(folder.path().join("store"))?;
        let spool = Disk::mount(folder.path().join("spool"))?;
        let (kafka, redis, postgres) = tokio::try_join!(
            Kafka::start_temporary(),
            Redis::start_temporary(),
            Postgres::start(Folder::lasting(store.path())?, port::free()?)
        )?;
        postgres.create_database(DATABASE).await?;
        let database = testing::of(&postgres, DATABASE);

        let simulator_port = port::free()?;
        let address = format!("127.0.0.1:{simulator_port}");
        let mut env: Vec<(String, String)> = [
            ("ALPACA_API_KEY", "demo".to_owned()),
            ("ALPACA_API_SECRET", "demo".to_owned()),
            ("ALPACA_DATA_WS_URL", format!("ws://{address}/v2/sip")),
            ("ALPACA_DATA_REST_URL", format!("http://{address}")),
            ("SUBSCRIBED_SYMBOLS", SYMBOLS.to_owned()),
            ("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap()),
            ("KAFKA_SESSION_TIMEOUT_MS", "6000".to_owned()),
            ("REDIS_HOST", "127.0.0.1".to_owned()),
            ("REDIS_PORT", redis.port().to_string()),
            ("SPOOL_DIR", spool.path().join("spool").display().to_string()),
            // The simulator's history is two seconds behind: the first attempt may be too early and must be seen to be.
            ("BACKFILL_HOLD_BACK_S", "1".to_owned()),
            ("PAST_BARS_DAYS", "0".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        env.extend(database.env().map(|(name, value)| (name.to_owned(), value)));

        let market = ServiceKind::new("feed-simulator", folder.path().join("feed-simulator.log"))?
            .args(["--listen", &address, "--symbols", SYMBOLS])
            .args(["--rate", &options.rate.to_string(), "--seed", &seed.to_string(), "--start", &open_market()?])
            .args(["--quote-share", "0", "--correction-share", "0", "--history-days", "0"])
            // As real feeds do: late and early reports in every outage, and a history that is a little behind.
            .args(["--late-share", "0.05", "--late-max-seconds", &options.late_max.to_string()])
            .args(["--early-share", "0.0005", "--early-max-seconds", &options.early_max.to_string()])
            .args(["--history-behind-seconds", "2"])
            .ready_at(simulator_port, "/health");
        let simulator = Service::launch(market).await?;
        let trades = launch(&folder, &env, "consumer-trades", "CONSUMER_TRADES_PORT").await?;
        let bars = launch(&folder, &env, "consumer-bars", "CONSUMER_BARS_PORT").await?;
        let producer = launch(&folder, &env, "producer", "PRODUCER_PORT").await?;
        Ok(Self {
            simulator,
            simulator_port,
            producer,
            trades,
            bars,
            joined: Vec::new(),
            kafka,
            postgres,
            _redis: redis,
            database,
            env,
            store,
            spool,
            folder,
        })
    }

    /// Whether disks can be full here.
    pub(super) fn has_disks(&self) -> bool {
        self.store.is_real() && self.spool.is_real()
    }

    pub(super) async fn begin(&mut self, fault: Fault, lasts: Duration) -> Result<()> {
        match fault {
            Fault::Kill(part) => {
                self.alive(part)?;
                on_part!(self, part, kill().await);
            }
            Fault::Freeze(part) => on_part!(self, part, pause()),
            Fault::Join => {
                let joined = launch(&self.folder, &self.env, "consumer-trades", "CONSUMER_TRADES_PORT").await?;
                self.joined.push(joined);
            }
            Fault::Outage => self.market(&format!(r#"{{"fault":"outage","seconds":{}}}"#, lasts.as_secs_f64())).await?,
            Fault::Mute => self.market(&format!(r#"{{"fault":"mute","seconds":{}}}"#, lasts.as_secs_f64())).await?,
            Fault::OtherHistory => {
                self.market(&format!(r#"{{"fault":"history_other","seconds":{}}}"#, lasts.as_secs_f64())).await?;
            }
            Fault::DroppedHistory => self.market(r#"{"fault":"history_drop","count":1}"#).await?,
            Fault::Full(part) if self.has_disks() => self.disk(part).fill()?,
            Fault::Full(_) => {}
        }
        Ok(())
    }

    /// From now on each answer of the feed's history lacks a record.
    pub(super) async fn sabotage(&self) -> Result<()> {
        self.market(&format!(r#"{{"fault":"history_drop","count":{}}}"#, u32::MAX)).await
    }

    /// Breaks something about the feed.
    async fn market(&self, fault: &str) -> Result<()> {
        let answer = http::post(self.simulator_port, "/control/faults", fault).await?;
        ensure!(answer.status == 200, "the simulator refuses {fault}: {}", answer.body);
        Ok(())
    }

    pub(super) async fn end(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::Kill(part) => on_part!(self, part, restart().await?),
            Fault::Freeze(part) => on_part!(self, part, resume()),
            Fault::Join => {
                let leaving = self.joined.remove(0);
                ensure!(
                    leaving.stop().await,
                    "a consumer that was asked to leave did not; its log ends with:\n{}",
                    leaving.log_tail()
                );
            }
            Fault::Full(part) if self.has_disks() => {
                self.disk(part).free()?;
                // PostgreSQL gives up where it cannot write its log, and needs somebody to start it again.
                if part == Part::Postgres && self.postgres.process().ended().is_some() {
                    self.postgres.restart().await?;
                }
            }
            Fault::Full(_) | Fault::Outage | Fault::Mute | Fault::OtherHistory | Fault::DroppedHistory => {}
        }
        Ok(())
    }

    fn disk(&self, part: Part) -> &Disk {
        if part == Part::Postgres { &self.store } else { &self.spool }
    }

    /// Nobody ends but by our hand.
    pub(super) fn all_alive(&self) -> Result<()> {
        PARTS.iter().try_for_each(|part| self.alive(*part))
    }

    fn alive(&self, part: Part) -> Result<()> {
        match part {
            Part::Producer => alive(&self.producer),
            Part::Trades => alive(&self.trades),
            Part::Bars => alive(&self.bars),
            Part::Postgres => alive(&self.postgres),
            Part::Kafka => alive(&self.kafka),
        }
    }

    /// Waits until every service says that all its parts work.
    pub(super) async fn healthy(&self, limit: Duration) -> Result<()> {
        for service in [&self.producer, &self.trades, &self.bars] {
            let port = service.kind().port().context("every service has a port")?;
            until(limit, &format!("{} is healthy", service.kind().label()), async || {
                let answer = http::get(port, "/health").await?;
                ensure!(answer.status == 200 && answer.body.contains("\"status\":\"ok\""), "{}", answer.body);
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// From now on the market makes no trades.
    pub(super) async fn pause_market(&self) -> Result<()> {
        let answer = http::post(self.simulator_port, "/control/pause", "{}").await?;
        ensure!(answer.status == 200, "the simulator refuses to pause: {}", answer.body);
        Ok(())
    }

    /// Trades that the market has made, whoever heard of them.
    pub(super) async fn made(&self) -> Result<i64> {
        self.trades_of("market").await
    }

    /// Trades that the feed has sent to its clients.
    pub(super) async fn sent(&self) -> Result<i64> {
        self.trades_of("sent").await
    }

    async fn trades_of(&self, counts: &str) -> Result<i64> {
        let stats: Value = serde_json::from_str(&http::get(self.simulator_port, "/control/stats").await?.body)?;
        stats[counts]["by_type"]["t"].as_i64().context("the simulator does not say how many trades there are")
    }

    /// A page of the simulator's history, which has every trade of the market.
    pub(super) async fn history(&self, path: &str) -> Result<Value> {
        let key = [("APCA-API-KEY-ID", "demo"), ("APCA-API-SECRET-KEY", "demo")];
        let answer = http::get_with(self.simulator_port, path, &key).await?;
        ensure!(answer.status == 200, "{path} answers {}: {}", answer.status, answer.body);
        Ok(serde_json::from_str(&answer.body)?)
    }

    pub(super) fn symbols() -> impl Iterator<Item = &'static str> {
        SYMBOLS.split(',')
    }

    pub(super) async fn database(&self) -> tokio_postgres::Client {
        self.database.connect().await
    }

    /// The history API, for as long as the returned value lives.
    pub(super) async fn api(&self) -> Result<(Service, u16)> {
        let api = launch(&self.folder, &self.env, "bars-api", "API_PORT").await?;
        let port = api.kind().port().context("the API has a port")?;
        Ok((api, port))
    }

    /// Runs a command of one of the programs to its end and returns what it wrote.
    pub(super) async fn command(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = std::process::Command::new(crate::service::binary(program)?);
        command.args(arguments).env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        command.env("RUST_LOG", "error").current_dir(self.folder.path());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "`{program} {}` ends with {}:\n{text}", arguments.join(" "), output.status);
        Ok(text)
    }

    pub(super) async fn stop(self) {
        self.simulator.stop().await;
        self.producer.stop().await;
        tokio::join!(self.trades.stop(), self.bars.stop());
        tokio::join!(self.kafka.stop(), self.postgres.stop());
    }
}

/// Half an hour after the last opening bell before today: a silent feed is only a fault while the market is open.
fn open_market() -> Result<String> {
    let today = trading_date(jiff::Timestamp::now().as_millisecond());
    let session = Session::of(previous_trading_day(today)).context("a trading day has a session")?;
    Ok(jiff::Timestamp::from_millisecond(session.open_ms + 30 * market::MS_PER_MINUTE)?.to_string())
}

async fn launch(folder: &Folder, env: &[(String, String)], name: &str, port_variable: &str) -> Result<Service> {
    let port = port::free()?;
    let log = log_of(folder.path(), name, port);
    // Ready when it runs: its servers may be away just then, and /health would say so.
    let kind = ServiceKind::new(name, log)?.envs(env.to_vec()).env(port_variable, port).ready_at(port, "/metrics");
    Service::launch(kind).await
}

fn log_of(folder: &Path, name: &str, port: u16) -> std::path::PathBuf {
    folder.join(format!("{name}-{port}.log"))
}

fn alive<K: Kind>(server: &Server<K>) -> Result<()> {
    match server.process().ended() {
        None => Ok(()),
        Some(status) => {
            bail!("{} ended by itself ({status}); its log ends with:\n{}", server.kind().name(), server.log_tail())
        }
    }
}

/// Asks again and again until it holds.
pub(super) async fn until(limit: Duration, what: &str, mut holds: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        let Err(error) = holds().await else { return Ok(()) };
        if tokio::time::Instant::now() > deadline {
            return Err(error.context(format!("waited {limit:?} in vain until {what}")));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
