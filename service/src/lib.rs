//! What every service needs and none should write again.
//!
//! | module | holds |
//! | --- | --- |
//! | [`start`] | [`main`], [`program`]: command line → environment → config → signals → `run` → exit code |
//! | [`dotenv`] | the `.env` file, read literally |
//! | [`mod@reference`] | `.env.example` as the one reference of every variable: `--help`, unknown names |
//! | [`config`] | [`Vars`]: reads all variables, then names every mistake at once; [`Secret`] |
//! | [`tasks`] | [`Tasks`]: no task is spawned and forgotten; graceful stop with a time limit |
//! | [`health`] | [`Health`]: which part is up, since when, and why not |
//! | [`ops`] | `/health` and `/metrics` over HTTP |
//! | [`metric`] | the list of a crate's metrics: help, and series from the start |
//! | [`telemetry`] | tracing and the metrics recorder |
//! | [`backoff`] | [`Backoff`]: waits that double, with full jitter |
//! | [`web`] | what both front doors share: access, scope, routes, admission, origins, problems, request ids |
//! | [`kafka`], [`redis`], [`postgres`] | connectors and their variables |

mod address;
pub mod backoff;
pub mod config;
pub mod dotenv;
pub mod health;
pub mod kafka;
mod kafka_security;
pub mod metric;
pub mod ops;
pub mod postgres;
mod postgres_tls;
pub mod redis;
pub mod reference;
pub mod start;
pub mod tasks;
pub mod telemetry;
pub mod tls;
pub mod web;

pub use backoff::Backoff;
pub use config::{ConfigError, Secret, Vars};
pub use health::{Health, Part};
pub use start::{main, program};
pub use tasks::Tasks;
pub use tokio_util::sync::CancellationToken;
