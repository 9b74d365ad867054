//! One of our own services as a child process: its binary, its environment, its health.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::http;
use crate::server::{Kind, Server};

/// A service that runs as a child of this process.
pub type Service = Server<ServiceKind>;

/// How a service is started. Build it with [`ServiceKind::new`] and the methods that return `Self`.
#[derive(Debug, Clone)]
pub struct ServiceKind {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    port: Option<u16>,
    health: Option<String>,
    log: PathBuf,
    inherits: bool,
}

impl ServiceKind {
    /// The service `name`, whose binary lies beside the running program (or one folder up, for a
    /// test). It starts with an empty environment but for `PATH` and `HOME`, so that a test means
    /// what it says; its log goes to `log`.
    ///
    /// # Errors
    /// The binary is not there; the message says how to build it.
    pub fn new(name: &str, log: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            program: binary(name)?,
            args: Vec::new(),
            env: Vec::new(),
            port: None,
            health: None,
            log: log.into(),
            inherits: false,
        })
    }

    /// Starts it with our whole environment instead, and what is set here on top.
    #[must_use]
    pub fn inherits(mut self) -> Self {
        self.inherits = true;
        self
    }

    /// Adds command-line arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: Into<String>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.env.push((name.into(), value.to_string()));
        self
    }

    /// Sets several environment variables.
    #[must_use]
    pub fn envs<N: Into<String>, V: Into<String>>(mut self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        self.env.extend(pairs.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// The name of the service.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.name
    }

    /// It serves HTTP on 127.0.0.1:`port`, and is ready when `path` (such as `/health`) answers 200.
    /// Without this, running is ready enough.
    #[must_use]
    pub fn ready_at(mut self, port: u16, path: &str) -> Self {
        self.port = Some(port);
        self.health = Some(path.to_owned());
        self
    }
}

impl Service {
    /// Its binary, for messages.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.kind().program
    }
}

impl Kind for ServiceKind {
    const STOP_MAX: Duration = Duration::from_secs(30);

    fn name(&self) -> &str {
        &self.name
    }

    fn port(&self) -> Option<u16> {
        self.port
    }

    fn log(&self) -> PathBuf {
        self.log.clone()
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        if !self.inherits {
            command.env_clear();
            let kept = ["PATH", "HOME", "RUST_LOG", "RUST_BACKTRACE", "TZ"];
            command.envs(kept.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
            // Away from the `.env` of the project, which services read from the folder they start in.
            if let Some(folder) = self.log.parent() {
                command.current_dir(folder);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    async fn answers(&self) -> Result<()> {
        let (Some(port), Some(path)) = (self.port, &self.health) else { return Ok(()) };
        let answer = http::get(port, path).await?;
        if answer.status != 200 {
            bail!("{path} answers {}: {}", answer.status, answer.body.trim());
        }
        Ok(())
    }
}

/// The binary `name` of this workspace, of the same build as the running program.
///
/// # Errors
/// It has not been built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program has no path")?;
    let beside = own.parent().map(|folder| folder.join(name));
    let above = own.parent().and_then(Path::parent).map(|folder| folder.join(name));
    [beside, above].into_iter().flatten().find(|path| path.is_file()).with_context(|| {
        format!(
            "the program {name} is not built: run `cargo build --workspace` first (looked beside {})",
            own.display()
        )
    })
}
