//! What every child has in common, whether PostgreSQL, Kafka, Redis or one of our own services:
//! start and wait until it answers, stop, kill, freeze, start again on the same port and data.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::port;
use crate::process::{Group, Process};

/// A log that is longer at a start, in bytes, is put aside as `NAME.log.old`.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// Shortest and longest time between the end of a child and its next start.
const RESTART_PAUSE_MIN: Duration = Duration::from_secs(1);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(30);

/// How one kind of child is started, asked and stopped.
pub trait Kind: Send + Sync {
    /// What asks a child to end, and finish what it holds.
    const STOP: Signal = Signal::SIGTERM;
    /// What the kernel sends a child whose parent is gone.
    const ORPHANED: Signal = Signal::SIGKILL;
    /// How long a start may take.
    const START_MAX: Duration = Duration::from_secs(60);
    /// How long a stop may take before the child is killed.
    const STOP_MAX: Duration = Duration::from_secs(20);

    /// The name that people know it by.
    fn name(&self) -> &str;
    /// The TCP port it listens on, if it listens.
    fn port(&self) -> Option<u16>;
    /// Its log: everything it prints is appended here.
    fn log(&self) -> PathBuf;
    /// The command that starts it.
    ///
    /// # Errors
    /// The program or a part of it is missing; the message says what to do.
    fn command(&self) -> Result<Command>;
    /// Asks it once whether it is ready to serve.
    fn answers(&self) -> impl Future<Output = Result<()>> + Send;
}

/// A child that was started and has answered.
///
/// Dropping it kills it; [`Server::stop`] is the friendly way.
#[derive(Debug)]
pub struct Server<K: Kind> {
    // First the process, then its data: fields are dropped in this order.
    process: Process,
    kind: K,
}

impl<K: Kind> Server<K> {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// The port is taken, the program is missing, it ended early, or it did not answer in time; the
    /// message carries the end of its log.
    pub async fn launch(kind: K) -> Result<Self> {
        let process = start(&kind)?;
        let server = Self { process, kind };
        server.ready().await?;
        Ok(server)
    }

    /// How this child was set up.
    pub fn kind(&self) -> &K {
        &self.kind
    }

    /// The process id; a new one after every restart.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// The process behind it.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until it answers: after a start, or after [`Server::resume`].
    ///
    /// # Errors
    /// It has ended, or does not answer in time.
    pub async fn ready(&self) -> Result<()> {
        let name = self.kind.name();
        let deadline = Instant::now() + K::START_MAX;
        loop {
            if let Some(status) = self.process.ended() {
                bail!(
                    "{name} ended at once ({status}); its log {} ends with:\n{}",
                    self.kind.log().display(),
                    self.log_tail()
                );
            }
            let asked = tokio::time::timeout(Duration::from_secs(5), self.kind.answers()).await;
            let problem = match asked {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => "no answer within 5 s".into(),
            };
            if Instant::now() > deadline {
                bail!(
                    "{name} did not answer within {} s ({problem}); its log {} ends with:\n{}",
                    K::START_MAX.as_secs(),
                    self.kind.log().display(),
                    self.log_tail()
                );
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Stops it in its own orderly way; kills it when that takes too long. Returns true when it
    /// ended by itself.
    pub async fn stop(&self) -> bool {
        let status = self.process.stop(K::STOP, K::STOP_MAX).await;
        std::os::unix::process::ExitStatusExt::signal(&status) != Some(Signal::SIGKILL as i32)
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(&self) {
        self.process.kill().await;
    }

    /// Freezes it: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on after [`Server::pause`].
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Starts it again, on the same port and the same data, and waits until it answers. It is
    /// stopped first when it still runs.
    ///
    /// # Errors
    /// As [`Server::launch`].
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await;
        self.port_is_free().await;
        self.process = start(&self.kind)?;
        self.ready().await
    }

    /// Waits a moment for the port: children of a server that was killed may hold it a little longer than the server did.
    async fn port_is_free(&self) {
        const ATTEMPTS: usize = 200;
        let free = || self.kind.port().is_none_or(|port| port::require_free(port, self.kind.name()).is_ok());
        for _ in 0..ATTEMPTS {
            if free() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Watches over it, and starts it again whenever it ends by itself. Never returns.
    ///
    /// # Cancel safety
    /// Dropping this future only ends the watch; the child stays as it is.
    pub async fn keep(&mut self, say: fn(&str)) {
        let mut pause = RESTART_PAUSE_MIN;
        loop {
            let begin = Instant::now();
            let status = self.process.wait().await;
            if begin.elapsed() > RESTART_PAUSE_MAX * 2 {
                pause = RESTART_PAUSE_MIN;
            }
            let (name, log) = (self.kind.name().to_owned(), self.kind.log());
            say(&format!(
                "{name} ended ({status}), starting it again in {} s; its log: {}",
                pause.as_secs(),
                log.display()
            ));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RESTART_PAUSE_MAX);
            match self.restart().await {
                Ok(()) => say(&format!("{name} is back")),
                Err(error) => say(&format!("{error:#}")),
            }
        }
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        tail(&self.kind.log())
    }
}

fn start<K: Kind>(kind: &K) -> Result<Process> {
    if let Some(port) = kind.port() {
        port::require_free(port, kind.name())?;
    }
    let mut command = kind.command()?;
    let log = append(&kind.log())?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Process::spawn(command, K::ORPHANED, Group::Own)
}

fn append(path: &Path) -> Result<fs::File> {
    if path.metadata().is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("log.old"))?;
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot write the log {}", path.display()))
}

/// The last 15 lines of a text file.
pub(crate) fn tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
