//! PgBouncer in transaction mode: the distribution's own, before a PostgreSQL of ours. For tests only.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use nix::unistd::User;

use crate::folder::{self, Folder};
use crate::server::{Kind, Server};
use crate::{path, port, postgres};

/// A PgBouncer of our own.
pub type PgBouncer = Server<PgBouncerKind>;

/// How a PgBouncer is started.
#[derive(Debug)]
pub struct PgBouncerKind {
    program: PathBuf,
    port: u16,
    folder: Folder,
    /// The `postgres` user where we are root: PgBouncer refuses to run as root.
    user: Option<User>,
}

impl PgBouncer {
    /// A PgBouncer in transaction mode on a free port, with few connections to the server on 127.0.0.1:`server`, so that its clients have to
    /// share them.
    ///
    /// # Errors
    /// `pgbouncer` is missing or does not start.
    pub async fn start_temporary(server: u16) -> Result<Self> {
        let program = path::find("pgbouncer", &[PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
            .context("pgbouncer is not installed: run `local-stack/scripts/deps.sh --test`, or install the package pgbouncer")?;
        let kind = PgBouncerKind {
            program,
            port: port::free()?,
            folder: Folder::temporary()?,
            user: postgres::unprivileged()?,
        };
        kind.configure(server)?;
        Self::launch(kind).await
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.kind().port
    }
}

impl PgBouncerKind {
    fn home(&self) -> PathBuf {
        self.folder.path().join("pgbouncer")
    }

    fn configure(&self, server: u16) -> Result<()> {
        let home = self.home();
        fs::create_dir_all(&home)?;
        let user = postgres::USER;
        let settings = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={server} user={user}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = transaction\n\
             default_pool_size = 6\n\
             max_client_conn = 200\n\
             ignore_startup_parameters = extra_float_digits\n",
            self.port,
        );
        fs::write(self.settings(), settings).context("cannot write the settings of PgBouncer")?;
        if let Some(user) = &self.user {
            folder::hand_over(&home, user)?;
        }
        Ok(())
    }

    fn settings(&self) -> PathBuf {
        Path::new(&self.home()).join("pgbouncer.ini")
    }
}

impl Kind for PgBouncerKind {
    const STOP: Signal = Signal::SIGTERM;
    const STOP_MAX: Duration = Duration::from_secs(5);

    fn name(&self) -> &'static str {
        "PgBouncer"
    }

    fn port(&self) -> Option<u16> {
        Some(self.port)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("pgbouncer.log")
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(&self.program);
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command.current_dir(self.home()).arg(self.settings());
        Ok(command)
    }

    async fn answers(&self) -> Result<()> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(postgres::USER).dbname("postgres");
        let client = postgres::connect(&config).await?;
        client.simple_query("SELECT 1").await?;
        Ok(())
    }
}
