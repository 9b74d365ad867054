//! The API against a real PostgreSQL with the project's own migrations.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a failed test may panic")]

mod common;

mod alpaca;
mod archived;
mod bars;
mod clients;
mod docs;
mod freshness;
mod fuzz;
mod gaps;
mod growth;
mod live_seam;
mod outage;
mod pages;
mod paging;
mod roll_up;
mod seam;
mod udf_chart;
