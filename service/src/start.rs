//! The way into every service: command line, environment, logging, config, signals, run, exit code.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::ErrorKind;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Vars;
use crate::dotenv::DotEnv;
use crate::reference;
use crate::telemetry::{self, LogConfig};

/// Exit code for settings or a command line that are wrong or missing (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// As the context of an error: the program ends with this code instead of 1.
#[derive(Clone, Copy, Debug)]
pub struct Exit(pub u8, pub &'static str);

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.1)
    }
}

/// A service that has no commands and no options but `--help` and `--version`: reads its command line, then does as [`main`].
///
/// `about` is the sentence that `--help` begins with.
pub fn program<C, F>(
    name: &'static str,
    about: &'static str,
    read_config: impl Fn(&mut Vars) -> C,
    run: impl FnOnce(C, CancellationToken) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    let command = clap::Command::new(name).version(env!("CARGO_PKG_VERSION")).about(about);
    match parse(command, &read_config) {
        Ok(_) => main(name, read_config, run),
        Err(code) => code,
    }
}

/// Reads the command line of a service whose settings `read_config` reads; `--help` lists them.
///
/// # Errors
/// The exit code, when the program has nothing more to do: 0 after `--help` and `--version`, else 64. What had to be said has been printed.
pub fn parse<C>(
    command: clap::Command,
    read_config: impl FnOnce(&mut Vars) -> C,
) -> Result<clap::ArgMatches, ExitCode> {
    command.after_long_help(reference::help(read_config)).try_get_matches().map_err(|error| usage(&error))
}

/// Prints what is wrong with a command line, or the help that it asked for.
#[must_use]
pub fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print(); // a reader that has seen enough, as in `--help | head`, is no failure
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_USAGE)
    }
}

/// Runs a service from start to exit code: 0 after a graceful stop, 64 for wrong settings, 1 or the code of an [`Exit`] for a failure.
///
/// Reads `.env` if there is one (variables that are already set win). SIGTERM and Ctrl-C cancel the token that `run`
/// gets; a second signal ends the process at once.
pub fn main<C, F>(
    name: &'static str,
    read_config: impl FnOnce(&mut Vars) -> C,
    run: impl FnOnce(C, CancellationToken) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    let refused = |problem: &dyn std::fmt::Display| {
        eprintln!("{name}: {problem}");
        ExitCode::from(EXIT_USAGE)
    };
    let file = match std::env::current_dir().map(|folder| DotEnv::find(&folder)) {
        Ok(Ok(file)) => file,
        Ok(Err(problems)) => return refused(&format!("cannot start, .env is wrong:\n  {}", problems.join("\n  "))),
        Err(_) => DotEnv::default(), // the working folder is gone, and its .env with it
    };
    let environment: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    let unknown = reference::unknown(&file, environment.iter().map(String::as_str));
    let (log, config) = match Vars::from_env(file).load(|vars| (LogConfig::from_vars(vars), read_config(vars))) {
        Ok(read) => read,
        Err(error) => {
            let warnings: String = unknown.iter().map(|warning| format!("\n  {warning}")).collect();
            return refused(&format!("{error}{warnings}"));
        }
    };
    telemetry::init_tracing(&log);
    for warning in unknown {
        tracing::warn!("{warning}");
    }
    match supervise(name, config, run) {
        Ok(()) => {
            tracing::info!("{name} stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{name} failed: {error:#}");
            error.downcast_ref::<Exit>().map_or(ExitCode::FAILURE, |Exit(code, _)| ExitCode::from(*code))
        }
    }
}
fn supervise<C, F>(name: &'static str, config: C, run: impl FnOnce(C, CancellationToken) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        tracing::info!("{name} {} starting", env!("CARGO_PKG_VERSION"));
        run(config, stop_on_signal(name)?).await
    })
}

/// A token that the first SIGTERM or Ctrl-C cancels; the second one ends the process with code 130.
fn stop_on_signal(name: &'static str) -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let token = stop.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!("{name} stopping; a second signal ends it at once");
                token.cancel();
            } else {
                std::process::exit(130);
            }
        }
    });
    Ok(stop)
}
