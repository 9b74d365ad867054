//! What can go wrong with an archive.

use jiff::civil::Date;

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Rows must come in the order of their keys, each key once.
    #[error(
        "the trade of {symbol} at {ts_ns} ns does not come after the one before it; a day must be sorted by symbol, time, exchange, id and source, without duplicates"
    )]
    Order {
        /// Instrument.
        symbol: String,
        /// Unix nanoseconds.
        ts_ns: i64,
    },
    /// The file cannot be written, is damaged, or is no Parquet file.
    #[error("Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// The file lacks what every file of this archive has.
    #[error("the file is not one of this archive: {0}")]
    Foreign(String),
    /// What was read back is not what was written.
    #[error(
        "{day}: the archived file holds {found} rows with hash {found_hash:016x}, expected {expected} rows with hash {expected_hash:016x}; it was not taken as verified"
    )]
    Digest {
        /// The day.
        day: Date,
        /// Rows in the file.
        found: u64,
        /// Hash of the file.
        found_hash: u64,
        /// Rows that were written.
        expected: u64,
        /// Hash of what was written.
        expected_hash: u64,
    },
    /// The object store does not answer as it should.
    #[error("archive storage: {0}")]
    Storage(#[from] object_store::Error),
    /// The local file cannot be read or written.
    #[error("archive file: {0}")]
    Io(#[from] std::io::Error),
    /// Work on another thread did not end.
    #[error("archive: {0}")]
    Task(#[from] tokio::task::JoinError),
}
