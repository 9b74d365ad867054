//! One consumer from start to end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use service::telemetry::Metrics;
use service::{Health, Part, Tasks, ops};
use tokio::sync::watch::channel;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::batcher::Batcher;
use crate::config::SinkConfig;
use crate::dead_letters::DeadLetters;
use crate::lane::{self, Finished};
use crate::membership::{Membership, client_config};
use crate::metrics::SinkMetrics;
use crate::positions::Log;
use crate::reader::{LaneEnd, Reader};
use crate::row::Row;
use crate::session::Pooler;
use crate::store::Shared;
use crate::{lag, retry, revisit, schema, upkeep, watch};

/// How long the reader and the lanes may take to stop; the reader drains for a part of it.
const PIPELINE_STOP_MAX: Duration = Duration::from_secs(15);
/// How long the whole stop may take.
const STOP_MAX: Duration = Duration::from_secs(18);
/// Reports of the lanes that the reader has not heard yet; it listens many times a second.
const REPORTS_MAX: usize = 1024;

/// Drains a topic and its side topic into their tables until `stop`: waits for PostgreSQL and Kafka, migrates, reads, stores.
///
/// # Errors
/// A sentence that says what went wrong and what to do.
pub async fn run<R: Row, S: Row>(config: SinkConfig, stop: CancellationToken) -> anyhow::Result<()> {
    let metrics = Metrics::install(&[]); // before the first handle is made
    let health = Health::new(config.service);
    let parts =
        Parts { postgres: health.part("postgres"), kafka: health.part("kafka"), letters: health.part("dead-letters") };
    parts.letters.ok(); // until one cannot be delivered
    let mut tasks = Tasks::new(&stop);
    tasks.spawn("ops", ops::serve(config.ops_address, health.clone(), metrics, tasks.stop_token()));
    tasks.spawn("side", one_topic::<S>(config.of_side(), parts.clone(), tasks.stop_token()));
    tasks.spawn("pipeline", one_topic::<R>(config, parts, tasks.stop_token()));
    tasks.run(STOP_MAX).await
}

/// What `/health` shows. Both topics depend on the same servers and share them.
#[derive(Clone)]
struct Parts {
    postgres: Part,
    kafka: Part,
    letters: Part,
}

async fn one_topic<R: Row>(config: SinkConfig, parts: Parts, stop: CancellationToken) -> anyhow::Result<()> {
    let Parts { postgres, kafka, letters } = parts;
    schema::migrate(&config.postgres, config.service, &postgres, &stop).await?;
    let Some((consumer, log)) = connect(&config, &kafka, &stop).await? else { return Ok(()) };
    let shared = Arc::new(Shared {
        log,
        metrics: SinkMetrics::new(&config.name),
        postgres,
        pooler: Pooler::default(),
        dead_letters: DeadLetters::new(&config.kafka, config.service, &config.topic),
        dead_letters_part: letters,
        abandon: CancellationToken::new(),
        config,
    });
    pipeline::<R>(shared, consumer, kafka, &stop).await
}

/// Waits for a broker, makes the topics, and finds out which cluster this is; `None` when asked to stop meanwhile.
async fn connect(
    config: &SinkConfig,
    part: &Part,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(BaseConsumer<Membership>, Log)>> {
    let mut backoff = retry::backoff();
    loop {
        let Some(made) = stop.run_until_cancelled(config.kafka.ensure_topics()).await else { return Ok(None) };
        let error = match made {
            Ok(()) => break,
            Err(error) => error,
        };
        part.down(format!("{error:#}"));
        if !retry::wait(&mut backoff, stop).await {
            return Ok(None);
        }
    }
    let membership = Membership::new(part.clone(), &config.topic);
    let consumer: BaseConsumer<Membership> =
        client_config(config).create_with_context(membership).context("cannot make a Kafka consumer")?;
    loop {
        // Blocking, but only for a moment, and nothing else runs yet.
        if let Some(cluster_id) = consumer.client().fetch_cluster_id(Duration::from_secs(2)) {
            let log = Log { cluster_id, topic: config.topic.clone() };
            return Ok(Some((consumer, log)));
        }
        part.down("the broker does not say which cluster it belongs to");
        if !retry::wait(&mut backoff, stop).await {
            return Ok(None);
        }
    }
}

async fn pipeline<R: Row>(
    shared: Arc<Shared>,
    consumer: BaseConsumer<Membership>,
    kafka: Part,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut tasks = Tasks::new(stop);
    let (finished, reports) = mpsc::channel::<Finished>(REPORTS_MAX);
    let mut lanes = Vec::new();
    for number in 0..shared.config.connections {
        let (batches, to_encode) = mpsc::channel(1);
        let (encoded, to_write) = mpsc::channel(1);
        tasks.spawn("encoder", lane::encode::<R>(Arc::clone(&shared), to_encode, encoded));
        tasks.spawn("writer", lane::write::<R>(Arc::clone(&shared), number, to_write, finished.clone()));
        lanes.push(LaneEnd { batches, batcher: Batcher::new(shared.config.limits), sent: 0, finished: 0 });
    }
    tasks.spawn("upkeep", upkeep::run::<R>(Arc::clone(&shared), tasks.stop_token()));

    if let Some(sql) = R::REVISIT {
        tasks.spawn("revisit", revisit::run(Arc::clone(&shared), sql, tasks.stop_token()));
    }

    if let Some(watched) = R::WATCHED {
        tasks.spawn("watch", watch::run(Arc::clone(&shared), watched, tasks.stop_token()));
    }

    let (seen, lag) = channel(Vec::new());
    tasks.spawn("lag", lag::report(Arc::clone(&shared), lag, tasks.stop_token()));

    let reader = Reader::new(Arc::clone(&shared), consumer, kafka, lanes, reports, seen, tasks.stop_token());
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || drop(ended.send(reader.run()))) // nobody waits for it any more when the stop took too long
        .context("cannot start the reader's thread")?;
    tasks.spawn("reader", async { end.await.context("the reader panicked")? });
    tasks.run(PIPELINE_STOP_MAX).await
}
