//! Redis: the distribution's `redis-server`, keeping nothing on disk.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::folder::Folder;
use crate::server::{Kind, Server};
use crate::{path, port};

/// A Redis of our own.
pub type Redis = Server<RedisKind>;

/// How a Redis is started.
#[derive(Debug)]
pub struct RedisKind {
    program: PathBuf,
    port: u16,
    folder: Folder,
}

impl Redis {
    /// A Redis on a free port, with its log in a temporary folder.
    ///
    /// # Errors
    /// `redis-server` is missing or does not start.
    pub async fn start_temporary() -> Result<Self> {
        Self::start(Folder::temporary()?, port::free()?).await
    }

    /// A Redis on 127.0.0.1:`port`.
    ///
    /// # Errors
    /// `redis-server` is missing, the port is taken, or it does not start.
    pub async fn start(folder: Folder, port: u16) -> Result<Self> {
        let program = path::find("redis-server", &[])
            .context("redis-server is not installed: run `make deps`, or install the package redis-server")?;
        Self::launch(RedisKind { program, port, folder }).await
    }

    /// `redis://127.0.0.1:port/`.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.port())
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.kind().port
    }
}

impl Kind for RedisKind {
    const STOP_MAX: Duration = Duration::from_secs(5);

    fn name(&self) -> &'static str {
        "Redis"
    }

    fn port(&self) -> Option<u16> {
        Some(self.port)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("redis.log")
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(&self.program);
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .arg("--dir")
            .arg(self.folder.path());
        Ok(command)
    }

    async fn answers(&self) -> Result<()> {
        let client = redis::Client::open(url(self.port))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let _: String = redis::cmd("PING").query_async(&mut connection).await?;
        Ok(())
    }
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}/")
}
