//! The way into every service: environment, logging, config, signals, run, exit code.

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Vars;
use crate::telemetry;

/// Exit code for settings that are wrong or missing (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// As the context of an error: the program ends with this code instead of 1.
#[derive(Clone, Copy, Debug)]
pub struct Exit(pub u8, pub &'static str);

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.1)
    }
}

/// Runs a service from start to exit code: 0 after a graceful stop, 64 for wrong settings, 1 or the code of an [`Exit`] for a failure.
///
/// Reads `.env` where there is one (variables that are already set win). SIGTERM and Ctrl-C cancel the token that `run`
/// gets; a second signal ends the process at once.
pub fn main<C, F>(
    name: &'static str,
    read_config: impl FnOnce(&mut Vars) -> C,
    run: impl FnOnce(C, CancellationToken) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    if let Err(error) = dotenvy::dotenv().map(drop).or_else(|error| if error.not_found() { Ok(()) } else { Err(error) })
    {
        eprintln!("{name}: cannot read .env: {error}");
        return ExitCode::from(EXIT_USAGE);
    }
    telemetry::init_tracing();
    let config = match Vars::from_env().load(read_config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{name}: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
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
