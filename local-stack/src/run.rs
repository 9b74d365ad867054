//! `local-stack run -- COMMAND`: the three servers for as long as one command runs.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::infra::{Infra, Plan};
use crate::process::{self, Group, Process};
use crate::stop;

/// How long the command may take to end after it was asked to.
const STOP_MAX: Duration = Duration::from_secs(20);

/// Starts the servers, runs `command` with the variables that name them, and stops them again.
/// The exit code is that of the command.
///
/// # Errors
/// A server does not start, or the command does not.
pub async fn run(plan: &Plan, command: &[String]) -> Result<ExitCode> {
    let Some((program, args)) = command.split_first() else {
        bail!("no command given: local-stack run -- COMMAND ARGUMENTS")
    };
    process::adopt_strays();
    let infra = tokio::select! {
        started = Infra::start(plan) => started?,
        () = stop::requested() => return Ok(ExitCode::from(130)),
    };
    let mut child = std::process::Command::new(program);
    child.args(args).envs(infra.env().iter().map(|(name, value)| (name, value)));
    // In our group, so that it may read the terminal, and hears Ctrl-C itself.
    let child = Process::spawn(child, Signal::SIGTERM, Group::Ours).with_context(|| format!("cannot run {program}"))?;
    let status = tokio::select! {
        status = child.wait() => status,
        () = stop::requested() => child.stop(Signal::SIGTERM, STOP_MAX).await,
    };
    infra.stop().await;
    process::end_strays();
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
