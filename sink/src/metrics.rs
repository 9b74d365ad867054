//! Every number that the sink shows. Names start with the service's: `consumer_trades_rows_stored_total`, and for its side topic
//! `consumer_trades_corrections_rows_stored_total`.

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

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
        let counted = |what: &str, help: &'static str| {
            let name = format!("{prefix}_{what}");
            describe_counter!(name.clone(), help);
            counter!(name)
        };
        let sampled = |what: &str, help: &'static str| {
            let name = format!("{prefix}_{what}");
            describe_histogram!(name.clone(), help);
            histogram!(name)
        };
        let measured = |what: &str, help: &'static str| {
            let name = format!("{prefix}_{what}");
            describe_gauge!(name.clone(), help);
            gauge!(name)
        };
        Self {
            records_read: counted("records_read_total", "Records read from Kafka."),
            rows_stored: counted("rows_stored_total", "Rows that are new in the table, or newer than what was there."),
            duplicates_skipped: counted(
                "duplicates_skipped_total",
                "Rows that were there already, or older than what was there.",
            ),
            dead_letters: counted("dead_letters_total", "Records that went to the dead-letter topic."),
            batches_stored: counted("batches_stored_total", "Transactions that were committed."),
            batches_contested: counted(
                "batches_contested_total",
                "Transactions that were rolled back because another consumer owns a partition now.",
            ),
            retries: counted("retries_total", "Waits because PostgreSQL or Kafka was in trouble."),
            batch_seconds: sampled(
                "batch_seconds",
                "From the moment a batch is ready to its commit, with all retries.",
            ),
            batch_rows: sampled("batch_rows", "Rows in a batch."),
            lag_records: measured(
                "lag_records",
                "Records in Kafka that are not stored yet, in the partitions of this process.",
            ),
            lag_seconds: measured(
                "lag_seconds",
                "Age of the oldest record that was read and is not stored; 0 when all is stored.",
            ),
            partitions: measured("partitions", "Partitions that this process owns."),
            paused: measured("paused", "1 while nothing is read because the writers are behind."),
        }
    }
}
