//! A consumer's command line: the service itself, and commands for people.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use service::{CancellationToken, Vars, start};

use crate::audit;
use crate::config::{Consumer, SinkConfig};
use crate::dead_letters;
use crate::row::{Audited, Row};

/// Stores a topic in PostgreSQL, each record once. Without a command the service runs
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments<Own: Subcommand> {
    #[command(subcommand)]
    command: Option<Command<Own>>,
}

#[derive(Debug, Subcommand)]
enum Command<Own: Subcommand> {
    /// Records that could not be stored
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// Compare what the producer numbered, what Kafka holds, what PostgreSQL holds and what the API serves
    Audit(audit::command::Audit),
    #[command(flatten)]
    Own(Own),
}

/// Runs the service, or the command that is named after the program: all of a consumer's `main`. `S` is the row of its side topic. The service
/// is `run` with what `read_config` reads; `own` runs the commands that no other consumer has.
pub fn main<R: Audited, S: Row, Own: Subcommand, C, F>(
    consumer: Consumer,
    read_config: impl Fn(&mut Vars) -> C,
    run: impl FnOnce(C, CancellationToken) -> F,
    own: impl FnOnce(Own) -> ExitCode,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    let matches = match start::parse(Arguments::<Own>::command().name(consumer.service), &read_config) {
        Ok(matches) => matches,
        Err(code) => return code,
    };
    let arguments = match Arguments::<Own>::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => return start::usage(&error),
    };
    let read_sink = |vars: &mut Vars| SinkConfig::from_vars(vars, consumer);
    match arguments.command {
        None => service::main(consumer.service, read_config, run),
        Some(Command::DeadLetters(command)) => {
            service::main(consumer.service, read_sink, |config, _stop| dead_letters::run::<R, S>(command, config))
        }
        Some(Command::Audit(audit)) => {
            service::main(consumer.service, read_sink, |config, _stop| audit::command::run::<R>(audit, config))
        }
        Some(Command::Own(command)) => own(command),
    }
}
