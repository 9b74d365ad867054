//! One batch, one transaction, however many attempts it takes.
//!
//! | module | job |
//! | --- | --- |
//! | `writer` | attempts at a batch, and what to do when one fails |
//! | `transaction` | the statements of one attempt |
//! | `search` | which rows PostgreSQL rejects |
//! | `ghosts` | ends sessions of a consumer that stopped in the middle of a transaction |

mod ghosts;
mod search;
mod transaction;
mod writer;

use service::Part;
use tokio_postgres::Error;
use tokio_util::sync::CancellationToken;

use crate::config::SinkConfig;
use crate::dead_letters::DeadLetters;
use crate::metrics::SinkMetrics;
use crate::positions::Log;
use crate::session::Pooler;
use crate::verdict::{Verdict, verdict};

pub(crate) use transaction::merge;
pub(crate) use writer::{Outcome, Writer};

/// What all lanes of one sink share.
pub(crate) struct Shared {
    pub(crate) config: SinkConfig,
    pub(crate) log: Log,
    pub(crate) metrics: SinkMetrics,
    pub(crate) postgres: Part,
    pub(crate) pooler: Pooler,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) dead_letters_part: Part,
    /// Cancelled when draining has taken too long: what is not stored then stays in Kafka.
    pub(crate) abandon: CancellationToken,
}

/// Whether an error is the record's own fault.
pub(crate) fn is_data_error(error: &Error) -> bool {
    matches!(verdict(error), Verdict::BadData | Verdict::NoPartition | Verdict::Duplicate)
}

/// PostgreSQL's own words with its code; the driver alone says no more than `db error`.
pub(crate) fn describe(error: &Error) -> String {
    match error.as_db_error() {
        Some(server) => {
            let detail = server.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
            format!("{}{detail}, SQLSTATE {}", server.message(), server.code().code())
        }
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
