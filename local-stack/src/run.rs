//! `local-stack run -- COMMAND`: the three servers for as long as one command runs.

use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::folder::Lock;
use crate::infra::{Infra, Plan};
use crate::process::{self, Group, Process};
use crate::stop;

/// How long the command may take to end after it was asked to.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(20);

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
    Ok(exit_code(status))
}

/// The exit code of a command as our own; 1 where a signal ended it.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Starts the servers on their usual ports, says how to name them, and stops them when asked.
///
/// # Errors
/// A server does not start, or `env_file` cannot be written.
pub async fn infra(plan: &Plan, env_file: Option<&Path>) -> Result<ExitCode> {
    process::adopt_strays();
    let _lock = plan.folder.as_deref().map(Lock::take).transpose()?;
    let mut infra = tokio::select! {
        started = Infra::start(plan) => started?,
        () = stop::requested() => return Ok(ExitCode::from(130)),
    };
    let lines: Vec<String> = infra.env().iter().map(|(name, value)| format!("{name}={value}")).collect();
    if let Some(path) = env_file {
        std::fs::write(path, lines.join("\n") + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    for line in lines {
        println!("export {line}");
    }
    (plan.say)("Ctrl-C stops the servers.");
    tokio::select! {
        () = infra.keep(plan.say) => {}
        () = stop::requested() => {}
    }
    infra.stop().await;
    process::end_strays();
    Ok(ExitCode::SUCCESS)
}
