//! Closed days of trades as Parquet files: one folder a day, sorted by symbol and time, compressed with zstd, each file verified before the
//! table lets go of its rows.
//!
//! ```text
//!  trades/day=2026-11-26/trades.parquet
//!  trades/day=2026-11-27/trades.parquet     read_parquet('trades/*/*.parquet', hive_partitioning = true)
//! ```
//!
//! | module | job |
//! | --- | --- |
//! | [`trade`] | one row, the order of a day, the digest that two copies must agree on |
//! | `format` | the Parquet schema and its encodings |
//! | [`mod@write`], [`mod@read`] | trades to a file and back; pure |
//! | [`store`] | where the files lie: list, open, publish, verify |

pub mod error;
mod format;
pub mod read;
pub mod store;
pub mod trade;
pub mod write;

pub use error::Error;
pub use store::{Archive, ArchivedDay};
pub use trade::{ArchivedTrade, Digest};
pub use write::DayWriter;
