//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use service::start;

use crate::{Config, config};

use super::{check, decode, record};

/// Carries records from market-data feeds to Redis and Kafka. Without a subcommand the service runs.
#[derive(Debug, Parser)]
#[command(name = "producer", version)]
struct Cli {
    #[command(subcommand)]
    tool: Option<Tool>,
}

#[derive(Debug, Subcommand)]
enum Tool {
    /// Print what a feed's raw frames mean, one JSON line a record, and one for each element that was skipped with the reason
    Decode(decode::Options),
    /// Connect to the feeds as set up, listen for a while, and say what came and what is wrong
    Check {
        /// How long to listen to each feed
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
        seconds: u64,
    },
    /// Keep a feed's raw frames in a file, one a line, until Ctrl-C
    Record {
        /// A file that does not exist yet
        file: PathBuf,
    },
}

/// Runs what the command line asks for.
pub fn main() -> ExitCode {
    let matches = match start::parse(Cli::command(), Config::from_vars) {
        Ok(matches) => matches,
        Err(code) => return code,
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return start::usage(&error),
    };
    match cli.tool {
        None => service::main("producer", Config::from_vars, crate::run),
        Some(Tool::Decode(options)) => decode::main(&options),
        Some(Tool::Check { seconds }) => service::main("producer", config::upstream, move |upstream, stop| {
            check::run(upstream, Duration::from_secs(seconds), stop)
        }),
        Some(Tool::Record { file }) => {
            service::main("producer", config::upstream, move |upstream, stop| record::run(upstream, file, stop))
        }
    }
}
