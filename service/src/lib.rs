//! What every service needs and none should write again.
//!
//! | module | holds |
//! | --- | --- |
//! | [`start`] | [`main`]: environment → config → signals → `run` → exit code |
//! | [`config`] | [`Vars`]: reads all variables, then names every mistake at once; [`Secret`] |
//! | [`tasks`] | [`Tasks`]: no task is spawned and forgotten; graceful stop with a time limit |
//! | [`health`] | [`Health`]: which part is up, since when, and why not |
//! | [`ops`] | `/health` and `/metrics` over HTTP |
//! | [`telemetry`] | tracing and the metrics recorder |
//! | [`backoff`] | [`Backoff`]: waits that double, with full jitter |
//! | [`web`] | what both front doors share: access, scope, routes, admission, origins, problems, request ids |
//! | [`kafka`], [`redis`], [`postgres`] | connectors and their variables |

pub mod backoff;
pub mod config;
pub mod health;
pub mod kafka;
pub mod ops;
pub mod postgres;
pub mod redis;
pub mod start;
pub mod tasks;
pub mod telemetry;
pub mod web;

pub use backoff::Backoff;
pub use config::{ConfigError, Secret, Vars};
pub use health::{Health, Part};
pub use start::main;
pub use tasks::Tasks;
pub use tokio_util::sync::CancellationToken;
