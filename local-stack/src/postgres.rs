//! PostgreSQL: the distribution's own binaries, with their durable defaults (`fsync` stays on).

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use tokio_postgres::NoTls;

use crate::folder::{self, Folder};
use crate::server::{Kind, Server};
use crate::{path, port};

/// The superuser of every server started here. There is no password: it listens on 127.0.0.1 only
/// and trusts whoever connects.
pub const USER: &str = "postgres";

/// A PostgreSQL server of our own.
pub type Postgres = Server<PostgresKind>;

/// How a PostgreSQL server is started.
#[derive(Debug)]
pub struct PostgresKind {
    programs: PathBuf,
    port: u16,
    folder: Folder,
    /// The `postgres` user where we are root: PostgreSQL refuses to run as root.
    user: Option<User>,
}

impl Postgres {
    /// A server on a free port with fresh data in a temporary folder.
    ///
    /// # Errors
    /// PostgreSQL is not installed or does not start.
    pub async fn start_temporary() -> Result<Self> {
        Self::start(Folder::temporary()?, port::free()?).await
    }

    /// A server on 127.0.0.1:`port`, with its data in `folder`, made there when there is none.
    ///
    /// # Errors
    /// PostgreSQL is not installed, the port is taken, the data folder cannot be reached by the
    /// `postgres` user or belongs to another version, or the server does not start.
    pub async fn start(folder: Folder, port: u16) -> Result<Self> {
        let kind = PostgresKind { programs: programs()?, port, user: unprivileged()?, folder };
        kind.prepare()?;
        kind.wait_for_orphan().await?;
        Self::launch(kind).await
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.kind().port
    }

    /// Makes an empty database; fine when it is there already.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn create_database(&self, name: &str) -> Result<()> {
        create_database(&config(self.port()), name).await
    }

    /// Connects to one database as [`USER`].
    ///
    /// # Errors
    /// The server or the database cannot be reached.
    pub async fn connect(&self, database: &str) -> Result<tokio_postgres::Client> {
        connect(config(self.port()).dbname(database)).await
    }
}

/// Makes the empty database `name` on the server that `config` names; fine when it is there.
///
/// # Errors
/// The server cannot be reached, or the user may not make databases.
pub async fn create_database(config: &tokio_postgres::Config, name: &str) -> Result<()> {
    let client = connect(config.clone().dbname("postgres")).await?;
    let quoted = name.replace('"', "\"\"");
    match client.batch_execute(&format!("CREATE DATABASE \"{quoted}\"")).await {
        Err(error) if error.code() == Some(&tokio_postgres::error::SqlState::DUPLICATE_DATABASE) => Ok(()),
        done => done.with_context(|| format!("cannot create the database {name}")),
    }
}

/// Opens one connection and drives it in the background.
///
/// # Errors
/// The server or the database cannot be reached.
pub async fn connect(config: &tokio_postgres::Config) -> Result<tokio_postgres::Client> {
    let (client, connection) = config.connect(NoTls).await.context("cannot connect to PostgreSQL")?;
    // It ends with the client, or with the server; either way the client's next call says so.
    tokio::spawn(connection);
    Ok(client)
}

impl PostgresKind {
    fn data(&self) -> PathBuf {
        self.home().join("data")
    }

    /// The folder that the server's user owns.
    fn home(&self) -> PathBuf {
        self.folder.path().join("postgres")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command.current_dir(self.home()).env("LC_ALL", "C").env("TZ", "UTC");
        for name in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGOPTIONS"] {
            command.env_remove(name);
        }
        command
    }

    /// Makes the data folder where there is none yet.
    fn prepare(&self) -> Result<()> {
        fs::create_dir_all(self.home())?;
        if let Some(user) = &self.user {
            if let Some(closed) = folder::barrier(&self.home(), user) {
                bail!(
                    "PostgreSQL runs as the user {} here, which may not pass through {}: choose another data folder with --folder",
                    user.name,
                    closed.display()
                );
            }
            folder::hand_over(&self.home(), user)?;
        }
        if self.data().exists() { self.check_version() } else { self.init() }
    }

    /// `initdb` beside the final place: a half-made folder is never taken for a whole one.
    fn init(&self) -> Result<()> {
        let fresh = self.home().join("data.new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh)?;
        }
        let done = self
            .program("initdb")
            .args([
                "--username",
                USER,
                "--auth",
                "trust",
                "--encoding",
                "UTF8",
                "--locale",
                "C",
                "--no-instructions",
                "-D",
            ])
            .arg(&fresh)
            .output()
            .context("cannot run initdb")?;
        if !done.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&done.stderr).trim());
        }
        fs::rename(&fresh, self.data()).context("cannot put the new data folder in place")
    }

    fn check_version(&self) -> Result<()> {
        let stored = fs::read_to_string(self.data().join("PG_VERSION")).unwrap_or_default();
        let output = Command::new(self.programs.join("postgres")).arg("--version").output()?;
        let installed = String::from_utf8_lossy(&output.stdout).into_owned();
        // "postgres (PostgreSQL) 15.14 (Debian …)"
        let major = installed.split(' ').nth(2).and_then(|version| version.split('.').next()).unwrap_or_default();
        if stored.trim() == major {
            return Ok(());
        }
        bail!(
            "the data in {} were written by PostgreSQL {}, but {} is installed: install that version, or move the folder away to start empty",
            self.data().display(),
            stored.trim(),
            installed.trim()
        )
    }

    /// A server whose supervisor was killed needs a moment to shut down; its lock file names it.
    async fn wait_for_orphan(&self) -> Result<()> {
        let lock = self.data().join("postmaster.pid");
        for _ in 0..100 {
            let Ok(text) = fs::read_to_string(&lock) else { return Ok(()) };
            let pid = text.lines().next().unwrap_or_default().trim();
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if name.trim() != "postgres" {
                return Ok(()); // stale: PostgreSQL sees that itself and starts
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        bail!("another PostgreSQL server still uses {}: stop it first", self.data().display())
    }
}

impl Kind for PostgresKind {
    /// "Fast" shutdown: open transactions are rolled back, everything committed is written.
    const STOP: Signal = Signal::SIGINT;
    const ORPHANED: Signal = Signal::SIGINT;

    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn port(&self) -> Option<u16> {
        Some(self.port)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("postgres.log")
    }

    fn command(&self) -> Result<Command> {
        let mut command = self.program("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string(), "-k", ""])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "max_connections=200"])
            .args(["-c", "timezone=UTC", "-c", "log_timezone=UTC"])
            // Room for the write-ahead log of a replayed day between two checkpoints.
            .args(["-c", "max_wal_size=2GB"]);
        if self.programs.join("../lib/timescaledb.so").exists() {
            command.args(["-c", "shared_preload_libraries=timescaledb", "-c", "timescaledb.telemetry_level=off"]);
        }
        Ok(command)
    }

    async fn answers(&self) -> Result<()> {
        let client = connect(config(self.port).dbname("postgres")).await?;
        client.batch_execute("SELECT 1").await?;
        Ok(())
    }
}

fn config(port: u16) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user(USER);
    config
}

/// The folder with `postgres` and `initdb`.
fn programs() -> Result<PathBuf> {
    let mut folders = path::versions("/usr/lib/postgresql");
    folders.extend(path::versions("/usr/local/opt/postgresql"));
    folders.extend(["/usr/lib/postgresql/bin", "/usr/pgsql/bin", "/opt/homebrew/bin"].map(PathBuf::from));
    path::find("postgres", &folders)
        // Where PATH has a link, the rest of PostgreSQL lies beside the file that it points to.
        .and_then(|program| Some(program.canonicalize().ok()?.parent()?.to_path_buf()))
        .filter(|folder| folder.join("initdb").exists())
        .context("PostgreSQL is not installed: run `make deps`, or install the package postgresql")
}

/// The user to become where we are root, and `None` where we are not.
pub(crate) fn unprivileged() -> Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let name = env::var("LOCAL_STACK_POSTGRES_USER").unwrap_or_else(|_| "postgres".into());
    let user = User::from_name(&name)?
        .with_context(|| format!("PostgreSQL refuses to run as root, and there is no user {name} to become: install the package postgresql, or start as another user"))?;
    Ok(Some(user))
}

/// Where the data of a lasting server go below `wanted`: there, or, where the `postgres` user that
/// root has to become cannot reach it, in `/var/lib/tapeline`, in a folder named after `wanted`.
///
/// # Errors
/// There is no user to become.
pub fn reachable(wanted: &Path) -> Result<PathBuf> {
    let Some(user) = unprivileged()? else { return Ok(wanted.to_path_buf()) };
    if folder::barrier(&wanted.join("postgres"), &user).is_none() {
        return Ok(wanted.to_path_buf());
    }
    let name: Vec<String> = wanted.iter().skip(1).map(|part| part.to_string_lossy().into_owned()).collect();
    Ok(Path::new("/var/lib/tapeline").join(name.join("_")))
}
