//! Every number that the sink shows. Names start with the service's: `consumer_trades_rows_stored_total`, and for its side topic
//! `consumer_trades_corrections_rows_stored_total`.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// Handles, made once.
pub(crate) struct SinkMetrics {
    /// Records read from Kafka.
    pub(crate) records_read: Counter,
    /// Rows that are new in the table, or newer than what was there.
    pub(crate) rows_stored: Counter,
    /// Rows that were there already, or older than what was there.
    pub(crate) duplicates_skipped: Counter,
    /// Records that went to the dead-letter topic.
    pub(crate) dead_letters: Counter,
    /// Transactions committed.
    pub(crate) batches_stored: Counter,
    /// Transactions rolled back because another consumer owns a partition now.
    pub(crate) batches_contested: Counter,
    /// Waits because PostgreSQL or Kafka was in trouble.
    pub(crate) retries: Counter,
    /// From the moment a batch is ready to its commit, with all retries.
    pub(crate) batch_seconds: Histogram,
    /// Rows a batch.
    pub(crate) batch_rows: Histogram,
    /// Records in Kafka that are not stored yet, in the partitions of this process.
    pub(crate) lag_records: Gauge,
    /// Age of the oldest record that was read and is not stored; 0 when all is stored.
    pub(crate) lag_seconds: Gauge,
    /// Partitions that this process owns.
    pub(crate) partitions: Gauge,
    /// 1 while nothing is read because the writers are behind.
    pub(crate) paused: Gauge,
}

impl SinkMetrics {
    pub(crate) fn new(name: &str) -> Self {
        let prefix = name.replace('-', "_");
        let name = |what: &str| format!("{prefix}_{what}");
        Self {
            records_read: counter!(name("records_read_total")),
            rows_stored: counter!(name("rows_stored_total")),
            duplicates_skipped: counter!(name("duplicates_skipped_total")),
            dead_letters: counter!(name("dead_letters_total")),
            batches_stored: counter!(name("batches_stored_total")),
            batches_contested: counter!(name("batches_contested_total")),
            retries: counter!(name("retries_total")),
            batch_seconds: histogram!(name("batch_seconds")),
            batch_rows: histogram!(name("batch_rows")),
            lag_records: gauge!(name("lag_records")),
            lag_seconds: gauge!(name("lag_seconds")),
            partitions: gauge!(name("partitions")),
            paused: gauge!(name("paused")),
        }
    }
}
