//! Where a server keeps its data: a folder that stays, or one that goes with its owner.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::unistd::{Uid, User};

/// Name of every temporary folder: `tapeline-test-<pid of its owner>-<random>`.
const PREFIX: &str = "tapeline-test-";

/// A folder for the data and the log of one server.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    /// A folder that stays; made when it is missing.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn lasting(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path).with_context(|| format!("cannot create the folder {}", path.display()))?;
        let path = path.canonicalize()?;
        Ok(Self { path, temporary: false })
    }

    /// A fresh folder that is removed with this value. What a killed process left is removed by the
    /// next one that asks for a folder.
    ///
    /// # Errors
    /// No folder can be made in the system's temporary folder.
    pub fn temporary() -> Result<Self> {
        let base = std::env::temp_dir();
        sweep(&base);
        let name = format!("{PREFIX}{}-{:08x}", std::process::id(), rand::random::<u32>());
        let path = base.join(name);
        fs::DirBuilder::new()
            .mode(0o711)
            .create(&path)
            .with_context(|| format!("cannot create the folder {}", path.display()))?;
        Ok(Self { path, temporary: true })
    }

    /// The folder itself, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            // A server that is still being killed may write once more; then the next sweep removes it.
            fs::remove_dir_all(&self.path).ok();
        }
    }
}

/// Removes temporary folders of ours whose owner is gone.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        let ours = entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == Uid::effective().as_raw());
        if let Some(pid) = owner
            && ours
            && !Path::new(&format!("/proc/{pid}")).exists()
            && Path::new("/proc/self").exists()
        {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Gives `path` to `user`, closed to everybody else.
///
/// # Errors
/// The folder cannot be made, or its owner cannot be changed.
pub fn hand_over(path: &Path, user: &User) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot create the folder {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
        .with_context(|| format!("cannot give {} to the user {}", path.display(), user.name))
}

/// The first parent of `path` that `user` may not pass through, if there is one.
#[must_use]
pub fn barrier(path: &Path, user: &User) -> Option<PathBuf> {
    let closed = |folder: &Path| {
        let Ok(meta) = fs::metadata(folder) else { return false };
        let bit = match (meta.uid() == user.uid.as_raw(), meta.gid() == user.gid.as_raw()) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        meta.mode() & bit == 0
    };
    path.ancestors().skip(1).find(|folder| closed(folder)).map(Path::to_path_buf)
}

/// One user of this data folder at a time; the lock goes with the process that holds it.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, never read")] nix::fcntl::Flock<fs::File>);

impl Lock {
    /// Takes `folder` for this process.
    ///
    /// # Errors
    /// Another process has it, or the lock file cannot be made.
    pub fn take(folder: &Path) -> Result<Self> {
        use nix::fcntl::{Flock, FlockArg};
        use std::io::Write as _;

        fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
        let path = folder.join("lock");
        let file = fs::File::options().create(true).write(true).truncate(false).open(&path)?;
        let Ok(mut lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
            let pid = fs::read_to_string(&path).unwrap_or_default();
            bail!(
                "another local-stack (pid {}) already uses {}: stop it first, or give this one another folder with --folder",
                pid.trim(),
                folder.display()
            );
        };
        lock.set_len(0)?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(Self(lock))
    }
}
