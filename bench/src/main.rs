//! `make bench`: every section starts the real parts it needs, measures ours beside a peer in the same run, and reports medians and ratios.
//!
//! Absolute numbers belong to the machine they were taken on; the ratios are what can be compared.

mod api;
mod cold;
mod cpu;
mod day;
mod feed;
mod fill;
mod gateway;
mod ingest;
mod latency;
mod market;
mod report;
mod stack;
mod tape;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use report::Report;

/// Exit code for a command line that is wrong.
const EXIT_USAGE: u8 = 64;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Kafka → PostgreSQL, beside raw COPY and an ordinary consumer.
    Cold,
    /// Socket frame → Kafka and Redis, and a burst.
    Ingest,
    /// Feed → client, and feed → visible in PostgreSQL, at 1,000 trades a second.
    Latency,
    /// Redis → clients, beside Express + socket.io.
    Gateway,
    /// History over HTTP, beside FastAPI + asyncpg.
    Api,
    /// 8,000 symbols at 60,000 messages a second through everything: does the table keep up?
    Market,
    /// 71 million trades of 8,000 symbols out of Kafka, archived, and daily bars read back. Takes 25 GB of disk, so only if it is named.
    Day,
}

/// Measures the pipeline on this machine. Build with `--release`.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Sections to run; all but `day` where none is named.
    sections: Vec<Section>,
    /// Trades in the cold and ingest sections.
    #[arg(long, default_value_t = 1_000_000)]
    trades: usize,
    /// Repetitions of each figure; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Seconds of the latency section; a figure of the API takes a quarter of it.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The short form of long sections (market, day).
    #[arg(long, env = "FAST", value_parser = clap::builder::FalseyValueParser::new())]
    fast: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print(); // a reader that has seen enough, as in `--help | head`, is no failure
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match measure(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(mut options: Options) -> Result<()> {
    if options.sections.is_empty() {
        options.sections =
            Section::value_variants().iter().copied().filter(|section| *section != Section::Day).collect();
    }
    let mut report = Report::new();
    for section in options.sections {
        match section {
            Section::Cold => cold::measure(&mut report, options.trades, options.runs).await?,
            Section::Ingest => ingest::measure(&mut report, options.trades, options.runs).await?,
            Section::Latency => latency::measure(&mut report, options.seconds).await?,
            Section::Gateway => gateway::measure(&mut report).await?,
            Section::Market => market::measure(&mut report, &market::Scale::new(options.fast)).await?,
            Section::Day => day::measure(&mut report, day::trades(options.fast)).await?,
            Section::Api => api::measure(&mut report, options.seconds.div_ceil(4)).await?,
        }
    }
    report.finish()
}
