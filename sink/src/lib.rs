//! Kafka to PostgreSQL, exactly once in effect, at the speed of `COPY`.
//!
//! ```text
//!              ┌─ batch ─▶ encode ─▶ write ─┐   lane 0, one connection
//!  Kafka ─▶ reader                          ├─▶ one transaction: positions step forward, rows go in, COMMIT
//!              └─ batch ─▶ encode ─▶ write ─┘   lane 1, one connection
//! ```
//!
//! The trick is one row per partition in `kafka_offsets`. A transaction first moves it from where the batch starts to where the
//! batch ends, and only if it stands at the start. A batch that comes twice, or from a consumer that lost its partition and does not
//! know it yet, moves nothing and rolls back. Kafka's own committed offsets are for lag displays; nothing depends on them.
//!
//! A consumer stores two topics, each by a pipeline of its own: the main one at full speed, and a quiet one beside it (corrections
//! of trades, gaps of feeds).
//!
//! | module | job |
//! | --- | --- |
//! | [`row`] | what the sink must know about a kind of record |
//! | `reader`, `membership`, `ownership` | polls Kafka, answers the group, decides which lane stores which partition |
//! | [`batch`], [`batcher`] | raw records and the positions they move; when a batch is due |
//! | `lane` | decoding of the next batch beside the writing of the present one |
//! | [`encode`], [`copy`] | records to the bytes of a binary `COPY` |
//! | `connection`, `session` | PostgreSQL, with and without what storing a batch needs |
//! | `store` | the transaction, and what to do when it fails |
//! | [`verdict`], [`isolate`] | which errors wait, which are a record's fault, which end the service; finding the bad records |
//! | [`dead_letters`] | records that cannot be stored |
//! | [`direct`] | records that come from no topic |
//! | `program`, `audit`, `topic` | the command line of a consumer; counting at every hop |
//! | [`schema`], `upkeep`, `revisit`, `lag`, `watch` | migrations; partitions ahead of need, retention; rows that wait; lag for `psql`; numbers that only a table knows |

mod audit;
pub mod batch;
pub mod batcher;
pub mod config;
mod connection;
pub mod copy;
pub mod dead_letters;
pub mod direct;
pub mod encode;
pub mod isolate;
mod lag;
mod lane;
mod membership;
mod metrics;
mod ownership;
mod positions;
mod program;
mod reader;
mod retry;
mod revisit;
pub mod row;
mod run;
pub mod schema;
mod session;
mod store;
mod topic;
mod upkeep;
pub mod verdict;
mod watch;

pub use batch::Coordinates;
pub use config::{Consumer, Side, SinkConfig};
pub use connection::Connection;
pub use program::main;
pub use row::{Audited, Awaited, Identity, Place, Refusal, Row, StartRow, Store, Watched};
pub use run::run;
