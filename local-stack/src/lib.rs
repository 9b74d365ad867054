//! Real servers and services on this machine, without Docker.
//!
//! Two users: the `local-stack` program behind `make demo` and `make test`, and the integration
//! tests of the other crates, which start real [`Kafka`], [`Redis`] and [`Postgres`], stop, freeze
//! and kill them, and start them again on the same data.
//!
//! Nothing started here outlives the process that started it, however that process ends: on Linux the kernel
//! itself ends the children of a parent that is gone.

pub mod chaos;
pub mod demo;
pub mod folder;
pub mod http;
pub mod infra;
pub mod jars;
pub mod kafka;
pub mod past;
pub mod path;
pub mod pgbouncer;
pub mod port;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod run;
pub mod server;
pub mod service;
pub mod stack;
pub mod stop;
pub mod testing;

pub use folder::Folder;
pub use kafka::Kafka;
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
pub use redis::Redis;
pub use server::Server;
pub use service::{Service, ServiceKind};
pub use stack::Stack;
