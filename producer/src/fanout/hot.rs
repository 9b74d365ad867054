//! The hot path: records to Redis pub/sub at once, at most once. A full queue drops its oldest records and counts them; readers
//! see the step in `seq`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use service::redis::RedisConfig;
use service::{Backoff, CancellationToken, Part};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::leader::Fence;

use crate::fanout::record::{Encoded, Stream};

/// Records that may wait for Redis, about 64 MB; at 100,000 a second that is two and a half seconds.
const QUEUE_MAX: usize = 1 << 18;
/// Records in one round trip: enough for the full rate, few enough to keep each trip short.
const PIPELINE_MAX: usize = 512;
/// A Redis that takes longer than this is treated as away. The queue must outlast it: what waits meanwhile is not lost.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// A pause before a fallen fence is looked at again.
const FENCED_PAUSE: Duration = Duration::from_millis(50);

/// The feed's end of the queue. Clones share it.
#[derive(Clone)]
pub struct Hot {
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    records: Mutex<VecDeque<Encoded>>,
    filled: Notify,
}

impl Hot {
    /// An empty queue and the publisher that empties it.
    #[must_use]
    pub fn new(redis: RedisConfig, part: Part) -> (Self, Publisher) {
        let queue = Arc::<Queue>::default();
        (Self { queue: queue.clone() }, Publisher { queue, redis, part, fence: Fence::none() })
    }

    /// Queues records; never waits.
    pub fn publish(&self, records: &[Encoded]) {
        let mut queue = self.queue.records.lock().unwrap_or_else(PoisonError::into_inner);
        queue.extend(records.iter().cloned());
        let excess = queue.len().saturating_sub(QUEUE_MAX);
        queue.drain(..excess);
        drop(queue);
        if excess > 0 {
            metrics::counter!("producer_hot_dropped_total").increment(excess as u64);
        }
        self.queue.filled.notify_one();
    }
}

#[cfg(test)]
impl Hot {
    /// Copies of what waits.
    pub(crate) fn queued(&self) -> Vec<Encoded> {
        self.queue.records.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Redis's end of the queue.
pub struct Publisher {
    queue: Arc<Queue>,
    redis: RedisConfig,
    part: Part,
    fence: Fence,
}

impl Publisher {
    /// Publishes nothing behind a fallen fence.
    #[must_use]
    pub fn behind(self, fence: Fence) -> Self {
        Self { fence, ..self }
    }

    /// Publishes until `stop` and then what is left; reconnects as long as it takes.
    ///
    /// # Errors
    /// Where the Redis address is malformed.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let client = self.redis.client()?;
        let limits = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_MAX));
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        while !stop.is_cancelled() {
            let connected = timeout(ANSWER_MAX, client.get_multiplexed_async_connection_with_config(&limits)).await;
            let lost = match connected {
                Ok(Ok(mut connection)) => {
                    self.part.ok();
                    backoff.reset();
                    match self.publish_until_lost(&mut connection, &stop).await {
                        Ok(()) => return Ok(()),
                        Err(error) => error.to_string(),
                    }
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {ANSWER_MAX:?}"),
            };
            // The cold path goes on without Redis, so the producer is degraded, not down.
            self.part.degraded(format!("Redis at {}:{} is away: {lost}", self.redis.host, self.redis.port));
            let wait = backoff.next_wait(&mut rand::rng());
            stop.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
        Ok(())
    }

    async fn publish_until_lost(
        &self,
        connection: &mut MultiplexedConnection,
        stop: &CancellationToken,
    ) -> Result<(), redis::RedisError> {
        let published = metrics::counter!("producer_hot_published_total");
        let mut batch = Vec::with_capacity(PIPELINE_MAX);
        loop {
            self.take(&mut batch);
            if batch.is_empty() {
                if stop.is_cancelled() {
                    return Ok(());
                }
                tokio::select! {
                    () = self.queue.filled.notified() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            while !self.fence.stands() {
                if stop.is_cancelled() {
                    return Ok(()); // another producer leads
                }
                tokio::time::sleep(FENCED_PAUSE).await;
            }
            let mut pipeline = redis::pipe();
            for record in &batch {
                pipeline.publish(self.channel(record.stream), &record.json[..]).ignore();
            }
            let sent = timeout(ANSWER_MAX, pipeline.exec_async(connection)).await;
            let outcome = sent.unwrap_or_else(|_| Err((redis::ErrorKind::Io, "no answer in time").into()));
            if outcome.is_err() {
                metrics::counter!("producer_hot_dropped_total").increment(batch.len() as u64);
            }
            outcome?;
            published.increment(batch.len() as u64);
            batch.clear();
        }
    }

    fn take(&self, batch: &mut Vec<Encoded>) {
        let mut queue = self.queue.records.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.len().min(PIPELINE_MAX);
        batch.extend(queue.drain(..count));
    }

    fn channel(&self, stream: Stream) -> &str {
        match stream {
            Stream::Trades => &self.redis.channel_trades,
            Stream::Bars | Stream::FormingBars => &self.redis.channel_bars,
            Stream::Quotes => &self.redis.channel_quotes,
            Stream::Gaps | Stream::Corrections | Stream::Status | Stream::Sent => &self.redis.channel_status,
        }
    }
}
