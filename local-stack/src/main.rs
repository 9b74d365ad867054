//! Starts real Kafka, Redis, PostgreSQL, and the whole pipeline, on this machine.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use local_stack::infra::Plan;
use local_stack::kafka::Jvm;
use local_stack::run;

/// Real Kafka, Redis and PostgreSQL on this machine, without Docker.
///
/// What KAFKA_BOOTSTRAP_SERVERS, REDIS_HOST and POSTGRES_HOST name is used; the rest is started here and stopped at the end.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one command with three fresh servers named in its environment, then stops them.
    Run {
        /// The command and its arguments, after `--`.
        #[arg(required = true, last = true)]
        command: Vec<String>,
        /// Keep data in this folder; without it they are gone at the end.
        #[arg(long)]
        folder: Option<PathBuf>,
        /// Tune Kafka for throughput instead of a quick start.
        #[arg(long)]
        throughput: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run { command, folder, throughput } => {
            let jvm = if throughput { Jvm::Throughput } else { Jvm::QuickStart };
            let plan = Plan { folder, usual_ports: false, jvm, mock_allowed: false, say };
            run::run(&plan, &command).await
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("local-stack: {error:#}");
        ExitCode::FAILURE
    })
}

/// Progress goes to the error stream: the output belongs to the command.
fn say(line: &str) {
    eprintln!("{line}");
}
