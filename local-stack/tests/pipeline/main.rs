//! The whole pipeline on real parts, each a process of its own: simulated feed, producer, Kafka, Redis, PostgreSQL, consumers, gateways
//! and stock Socket.IO clients.
//!
//! The day that is replayed is one of `TAPELINE_RECORDED_DAYS` (or of `../shared/data/us-equity-ticks-2013-10`),
//! `TAPELINE_PIPELINE_DAY` (default `AIG_20131007`); where there is none, the tests make a day up. `TAPELINE_OUTAGE_CUT_S` and
//! `TAPELINE_OUTAGE_DOWN_S` make the outages of [`outage`] longer than seconds.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod audit;
mod client;
mod crowd;
mod day;
mod duplicates;
mod outage;
mod parts;
mod whole_day;
