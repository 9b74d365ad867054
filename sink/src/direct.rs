//! Records that come from no topic: the same rows, rules and roll-ups, in one transaction, without a position to move.

use std::time::Duration;

use anyhow::bail;
use jiff::Timestamp;
use service::{Backoff, CancellationToken};

use crate::batch::{Batch, Coordinates, RawRecord, Tenure};
use crate::config::SinkConfig;
use crate::encode::{Day, Encoded, Window};
use crate::row::{Refusal, Row};
use crate::store;

/// What became of some records.
#[derive(Debug, Default)]
pub struct Direct {
    /// Rows that are new, or newer than what was there.
    pub new: u64,
    /// Records that are no rows, by their place in the list, and why.
    pub refused: Vec<(usize, Refusal)>,
}

/// Stores records as the consumer would, however long that takes; rows that are there already and are no older stay as they are, so
/// that storing twice changes nothing. While PostgreSQL is away it waits. `None` where `stop` came first: nothing is stored then.
///
/// # Errors
/// Where the table refuses a row that was valid, which trying again cannot change.
pub async fn store<R: Row>(
    config: &SinkConfig,
    payloads: &[Vec<u8>],
    stop: &CancellationToken,
) -> anyhow::Result<Option<Direct>> {
    let mut batch = Batch::default();
    for (offset, payload) in (0..).zip(payloads) {
        let record =
            RawRecord { at: Coordinates { partition: 0, offset }, sent_ms: None, key: None, payload: Some(payload) };
        batch.push(record, Tenure { partition: 0, number: 0 }, offset);
    }
    let today = Day::of_second(Timestamp::now().as_second());
    let encoded = Encoded::new::<R>(batch, Window::on(today, config.retention_days));
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
    loop {
        let Some(stored) = stop.run_until_cancelled(store::merge::<R>(config, &encoded)).await else { return Ok(None) };
        let error = match stored {
            Ok(new) => return Ok(Some(Direct { new, refused: encoded.refused })),
            Err(error) => error,
        };
        if store::is_data_error(&error) {
            bail!("the table refuses a row: {}", store::describe(&error));
        }
        tracing::warn!("PostgreSQL cannot store now, trying again: {}", store::describe(&error));
        let wait = backoff.next_wait(&mut rand::rng());
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return Ok(None);
        }
    }
}
