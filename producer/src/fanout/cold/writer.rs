//! The one thread that talks to Kafka: sends, counts every delivery report, and goes to disk while Kafka is away.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use metrics::Counter;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use service::Part;
use service::kafka::KafkaConfig;

use crate::fanout::record::{Encoded, Lane, Stream};
use crate::journal::Journal;
use crate::leader::Fence;

use super::Cold;
use super::pace::{Share, Stall};
use super::progress::Progress;
use super::spool::Spool;
use super::window::Window;

/// Records sent between two looks at the delivery reports.
const BATCH_MAX: usize = 4096;
/// Records read from the spool and in flight at once while it is drained.
const DRAIN_MAX: usize = 20_000;
/// Kafka is away again when the end of the spool is not acknowledged for this long.
const STALL_MAX: Duration = Duration::from_secs(3);
/// Bytes that may be with Kafka and not acknowledged.
const WINDOW_BYTES_MAX: usize = 64 << 20;
/// The past is only sent while less than this is in flight, so that no live record waits behind much of it.
const PAST_WINDOW_BYTES_MAX: usize = 4 << 20;
/// How long a stop waits for acknowledgements before the rest goes to disk.
const FLUSH_MAX: Duration = Duration::from_secs(10);
/// A look at the delivery reports at least this often, with records in flight and without.
const POLL: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));
/// A pause before the disk or a refusing broker is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Where new records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// To Kafka.
    Kafka,
    /// To disk, behind what is there already. `copies_below`: segments below this number hold copies of records that are also in
    /// flight, and are worthless once those are acknowledged.
    Disk { copies_below: u64 },
    /// Nowhere for the moment: the last records of the spool are in flight, and new ones must not overtake them.
    Hold { since: Instant },
}

/// Everything the thread owns.
pub struct Writer {
    cold: Cold,
    producer: BaseProducer<Deliveries>,
    deliveries: Arc<Shared>,
    spool: Spool,
    topics_exist: Arc<AtomicBool>,
    kafka: KafkaConfig,
    part: Part,
    route: Route,
    batch: Vec<Encoded>,
    /// Since when the batch could not be sent as a whole.
    held_since: Option<Instant>,
    stall: Stall,
    past: Share,
    fence: Fence,
    progress: Progress,
    /// Records in flight below this index have no copy on disk, because there was no room for them.
    uncopied_below: usize,
}

/// What the delivery callback and the thread both see.
struct Shared {
    window: Mutex<Window>,
    failed: Mutex<Vec<Encoded>>,
    acknowledged: Counter,
    acknowledgements: AtomicU64,
}

impl Shared {
    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Deliveries(Arc<Shared>);

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client"); // an outage is reported once, by the writer
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let record = self.0.window().remove(index);
        match result {
            Ok(_) => {
                // Reports of the ledger are no records of the market.
                self.0.acknowledged.increment(u64::from(record.is_none_or(|record| record.stream != Stream::Sent)));
                self.0.acknowledgements.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, message)) => {
                metrics::counter!("producer_kafka_failed_total").increment(1);
                tracing::warn!(%error, topic = message.topic(), "Kafka refused a record; it will be sent again");
                self.0.failed.lock().unwrap_or_else(PoisonError::into_inner).extend(record);
            }
        }
    }
}

impl Writer {
    /// Prepares the thread. `topics_exist` turns true once the topics are known to be there; `past_rate_max`: records a second of the past.
    ///
    /// # Errors
    /// Where the Kafka client cannot be made.
    pub fn new(
        cold: Cold,
        kafka: KafkaConfig,
        spool: Spool,
        journal: Journal,
        topics_exist: Arc<AtomicBool>,
        part: Part,
        past_rate_max: u32,
    ) -> anyhow::Result<Self> {
        let deliveries = Arc::new(Shared {
            window: Mutex::default(),
            failed: Mutex::default(),
            acknowledged: metrics::counter!("producer_kafka_acknowledged_total"),
            acknowledgements: AtomicU64::new(0),
        });
        let producer = kafka
            .client()
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", "0") // never give a record up
            .set("linger.ms", "5") // batches large enough that neither side spends its time on requests
            .set("batch.size", "1000000")
            .set("batch.num.messages", "10000")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random") // as Java clients place a key
            .set("queue.buffering.max.messages", "1000000") // the window is bounded by bytes, below
            .set("queue.buffering.max.kbytes", "262144")
            .create_with_context(Deliveries(deliveries.clone()))
            .context("cannot make the Kafka producer")?;
        let route = if spool.is_empty() { Route::Kafka } else { Route::Disk { copies_below: 0 } };
        let batch = Vec::with_capacity(BATCH_MAX);
        let progress = Progress::new(cold.clone(), journal);
        Ok(Self {
            cold,
            producer,
            deliveries,
            spool,
            topics_exist,
            kafka,
            part,
            route,
            batch,
            held_since: None,
            stall: Stall::default(),
            fence: Fence::none(),
            past: Share::new(past_rate_max),
            progress,
            uncopied_below: 0,
        })
    }

    /// Sends nothing behind a fallen fence.
    #[must_use]
    pub fn behind(self, fence: Fence) -> Self {
        Self { fence, ..self }
    }

    /// Runs until the queue is closed and everything in it is with Kafka or on disk.
    ///
    /// # Errors
    /// Where the idempotent producer has failed for good; what it held is on disk and a restart sends it.
    pub fn run(mut self) -> anyhow::Result<()> {
        if self.route != Route::Kafka {
            tracing::info!(bytes = self.spool.bytes(), "sending what an earlier run left in the spool");
        }
        loop {
            let in_flight = !self.deliveries.window().is_empty();
            let busy = in_flight || self.route != Route::Kafka;
            let room = BATCH_MAX.saturating_sub(self.batch.len());
            let past = self.past_allowed(Instant::now());
            let closed = self.cold.take(&mut self.batch, room, past, if busy { POLL.0 } else { POLL.1 });
            let taken = self.batch.iter().filter(|record| record.lane() == Lane::Past).count();
            self.past.spend(taken.min(past));
            if !self.fence.stands() {
                if closed {
                    bail!("another producer leads; what this one held is fetched by it from the feed's history");
                }
                std::thread::park_timeout(RETRY_PAUSE);
                continue;
            }
            self.step()?;
            if closed && self.batch.is_empty() {
                return self.finish();
            }
        }
    }

    /// How many records of the past may be sent now: none while Kafka is away, catching up or slow.
    fn past_allowed(&mut self, now: Instant) -> usize {
        let calm = self.route == Route::Kafka
            && self.batch.is_empty()
            && self.may_send()
            && self.deliveries.window().bytes() < PAST_WINDOW_BYTES_MAX;
        if calm { self.past.available(now) } else { 0 }
    }

    fn step(&mut self) -> anyhow::Result<()> {
        self.producer.poll(Duration::ZERO);
        self.check_fatal()?;
        self.resend_failed();
        match self.route {
            Route::Kafka => self.send_batch(),
            Route::Disk { copies_below } => {
                self.spool_batch();
                self.drain(copies_below);
            }
            Route::Hold { since } => self.end_of_spool(since),
        }
        if !self.failed().is_empty() {
            self.progress.doubt(); // they have left the window, and are neither with Kafka nor on disk
        }
        let on_disk = self.is_on_disk();
        self.progress.settle(&self.deliveries.window(), on_disk, Instant::now());
        self.report();
        Ok(())
    }

    /// Whether everything that was taken is on disk, what is in flight too.
    fn is_on_disk(&self) -> bool {
        self.route != Route::Kafka && self.deliveries.window().is_past(self.uncopied_below) && self.failed().is_empty()
    }

    /// Sends until the batch is empty or Kafka has stalled.
    fn send_batch(&mut self) {
        let (mut sent, now) = (0, Instant::now());
        while sent < self.batch.len() && self.may_send() && self.send(&self.batch[sent], now) {
            sent += 1;
        }
        self.progress.taken(&self.batch[..sent]);
        self.batch.drain(..sent);
        if self.batch.is_empty() {
            self.held_since = None;
        } else {
            self.held_since.get_or_insert_with(Instant::now);
        }
        let oldest = self.deliveries.window().oldest().into_iter().chain(self.held_since).min();
        let acknowledgements = self.deliveries.acknowledgements.load(Ordering::Relaxed);
        // A Kafka that is only slow is waited for, as long as there is room for what comes meanwhile.
        let is_too_slow = !self.batch.is_empty() && self.cold.is_pressed();
        if is_too_slow || self.stall.is_stalled(oldest, acknowledgements, now) {
            self.held_since = None;
            self.divert();
        } else if !self.batch.is_empty() {
            self.producer.poll(POLL.0); // the client's queue is full: acknowledgements make room
        }
    }

    fn may_send(&self) -> bool {
        self.topics_exist.load(Ordering::Relaxed)
    }

    /// Gives one record to the client; `false` where its queue is full. `now` may be the start of its batch: the clock costs as much as
    /// the rest.
    fn send(&self, record: &Encoded, now: Instant) -> bool {
        let topic = match record.stream {
            Stream::Trades => &self.kafka.topic_trades,
            Stream::Bars => &self.kafka.topic_bars,
            Stream::Gaps => &self.kafka.topic_gaps,
            Stream::Corrections => &self.kafka.topic_corrections,
            Stream::Sent => &self.kafka.topic_sent,
            Stream::Quotes | Stream::Status | Stream::FormingBars => return true, // they travel the hot way only
        };
        let index = {
            let mut window = self.deliveries.window();
            if window.bytes() > WINDOW_BYTES_MAX {
                return false;
            }
            window.push(now, record.clone())
        };
        let message = BaseRecord::with_opaque_to(topic, index).key(record.symbol.as_bytes()).payload(&record.json[..]);
        match self.producer.send(message) {
            Ok(()) => true,
            Err((error, _)) => {
                let record = self.deliveries.window().remove(index);
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) {
                    return false;
                }
                tracing::warn!(%error, topic, "Kafka client refused a record; it will be sent again");
                self.failed().extend(record);
                true
            }
        }
    }

    /// From now on records go to disk. Copies of what is in flight go first, so that not even a kill loses them.
    fn divert(&mut self) {
        let copies: Vec<Encoded> = self.deliveries.window().records().cloned().collect();
        let copied = match self.spool.append(&copies) {
            Ok(count) if count == copies.len() => true,
            Ok(_) => {
                tracing::error!("the spool has no room for the records in flight; raise SPOOL_BYTES_MAX");
                false
            }
            Err(error) => {
                tracing::error!(%error, "cannot write the spool");
                false
            }
        };
        if !copied {
            self.uncopied_below = self.deliveries.window().next_index(); // a kill would lose them, so they are not safe
        }
        let copies_below = self.spool.close_segment();
        self.route = Route::Disk { copies_below };
        tracing::warn!(in_flight = copies.len(), "Kafka does not acknowledge; records go to the spool");
        self.spool_batch();
    }

    fn spool_batch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        match self.spool.append(&self.batch) {
            Ok(taken) => {
                metrics::counter!("producer_spooled_total").increment(taken as u64);
                self.progress.taken(&self.batch[..taken]);
                self.batch.drain(..taken);
                if !self.batch.is_empty() {
                    self.part.down(
                        "Kafka is away and the spool is full: clients get every record, but what finds no room is not stored. It is \
                         declared as a gap and fetched again once there is room: bring Kafka back, or raise SPOOL_BYTES_MAX",
                    );
                    self.producer.poll(RETRY_PAUSE);
                }
            }
            Err(error) => {
                metrics::counter!("producer_spool_failures_total").increment(1);
                self.part.down(format!(
                    "Kafka is away and the spool cannot be written ({error}): clients get every record, but what finds no room is not \
                     stored. It is declared as a gap and fetched again once there is room: free the disk of SPOOL_DIR"
                ));
                self.producer.poll(RETRY_PAUSE);
            }
        }
    }

    /// Sends the spool, a bounded number at a time; the next ones follow when all of those are acknowledged.
    fn drain(&mut self, copies_below: u64) {
        if !self.deliveries.window().is_empty() || !self.may_send() {
            return;
        }
        let read = self
            .spool
            .discard_below(copies_below)
            .and_then(|()| self.spool.release())
            .and_then(|()| self.spool.read(DRAIN_MAX));
        match read {
            Ok(records) => {
                for record in &records {
                    while !self.send(record, Instant::now()) {
                        self.producer.poll(POLL.0);
                    }
                }
                if records.len() < DRAIN_MAX {
                    self.route = Route::Hold { since: Instant::now() };
                }
            }
            Err(error) => self.part.down(format!("cannot read the spool: {error}")),
        }
    }

    /// Everything on disk has been sent: once it is acknowledged, Kafka takes new records again.
    fn end_of_spool(&mut self, since: Instant) {
        if !self.deliveries.window().is_empty() {
            if since.elapsed() > STALL_MAX {
                self.route = Route::Disk { copies_below: 0 }; // away again; what is in flight is still on disk
            }
            return;
        }
        match self.spool.clear() {
            Ok(()) => {
                self.route = Route::Kafka;
                tracing::info!("the spool is empty; records go to Kafka again");
            }
            Err(error) => self.part.degraded(format!("cannot delete the spool's files: {error}")),
        }
    }

    /// Records that Kafka refused go behind everything else on disk and are tried again from there.
    fn resend_failed(&mut self) {
        let failed = std::mem::take(&mut *self.failed());
        if failed.is_empty() {
            return;
        }
        match self.route {
            Route::Kafka => self.divert(),
            Route::Hold { .. } => self.route = Route::Disk { copies_below: 0 },
            Route::Disk { .. } => {}
        }
        match self.spool.append(&failed) {
            Ok(count) if count == failed.len() => {}
            _ => self.failed().extend(failed), // held in memory until the disk has room
        }
        self.producer.poll(RETRY_PAUSE);
    }

    fn failed(&self) -> MutexGuard<'_, Vec<Encoded>> {
        self.deliveries.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_fatal(&mut self) -> anyhow::Result<()> {
        let Some((code, reason)) = self.producer.client().fatal_error() else { return Ok(()) };
        if self.route == Route::Kafka {
            self.divert();
        }
        bail!(
            "the Kafka producer has failed for good ({code}: {reason}); what it held is in the spool, a restart sends it"
        )
    }

    fn report(&self) {
        let in_flight = self.deliveries.window().len();
        let spool_bytes = self.spool.bytes();
        let [live_bytes, past_bytes] = self.cold.waiting_bytes();
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        {
            metrics::gauge!("producer_kafka_unacknowledged").set(in_flight as f64);
            metrics::gauge!("producer_spool_bytes").set(spool_bytes as f64);
            metrics::gauge!("producer_cold_queue_bytes", "lane" => "live").set(live_bytes as f64);
            metrics::gauge!("producer_cold_queue_bytes", "lane" => "past").set(past_bytes as f64);
        }
        match self.route {
            Route::Kafka if self.may_send() => self.part.ok(),
            Route::Kafka => self.part.degraded(format!("no Kafka broker at {} as yet", self.kafka.bootstrap_servers)),
            Route::Disk { .. } | Route::Hold { .. } if self.batch.is_empty() => {
                self.part.degraded(format!("Kafka is away or catching up; {spool_bytes} bytes wait in the spool"));
            }
            Route::Disk { .. } | Route::Hold { .. } => {} // spool_batch has said why it cannot write
        }
    }

    /// Waits for the acknowledgements; what stays without one goes to disk.
    fn finish(mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + FLUSH_MAX;
        while !self.deliveries.window().is_empty() && Instant::now() < deadline {
            self.producer.poll(POLL.1);
        }
        self.resend_failed();
        if let Route::Hold { since } = self.route {
            self.end_of_spool(since);
        }
        if self.failed().is_empty() {
            let on_disk = self.is_on_disk();
            self.progress.finish(&self.deliveries.window(), on_disk);
        }
        let left = self.deliveries.window().len();
        if left > 0 && self.route == Route::Kafka {
            self.divert();
        }
        match self.route {
            Route::Kafka => tracing::info!("every record was acknowledged by Kafka"),
            Route::Disk { .. } | Route::Hold { .. } => {
                tracing::warn!(bytes = self.spool.bytes(), "Kafka was away; the next start sends what is in the spool");
            }
        }
        Ok(())
    }
}
