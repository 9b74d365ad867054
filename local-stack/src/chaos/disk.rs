//! A small disk in memory that can be full: a tmpfs that shrinks to what is on it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::unistd::Uid;

/// Bytes that it holds while it is not full, as `mount` takes them.
const SIZE: &str = "4g";

/// A folder that is a disk of its own, where this user may mount one; elsewhere an ordinary folder that is never full.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    mounted: bool,
}

impl Disk {
    /// Makes the folder, and mounts it where that is allowed.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(super) fn mount(path: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&path).with_context(|| format!("cannot create the folder {}", path.display()))?;
        let mounted = Uid::effective().is_root() && mount(&path, &format!("size={SIZE},mode=0755")).is_ok();
        Ok(Self { path, mounted })
    }

    /// Where it is.
    #[must_use]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it can be full.
    #[must_use]
    pub(super) fn is_real(&self) -> bool {
        self.mounted
    }

    /// From now on it takes no more than it has.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn fill(&self) -> Result<()> {
        const ATTEMPTS: usize = 50;
        // A size below what is used is refused, and somebody may write between the two commands.
        let attempt = || mount(&self.path, &format!("remount,size={}", self.used()?));
        (1..ATTEMPTS).find_map(|_| attempt().ok()).map_or_else(attempt, Ok)
    }

    /// Bytes on it.
    fn used(&self) -> Result<u64> {
        let output =
            Command::new("df").args(["--output=used", "-B1"]).arg(&self.path).output().context("cannot run df")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().nth(1).unwrap_or_default().trim().parse().with_context(|| format!("df says: {text}"))
    }

    /// There is room again.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn free(&self) -> Result<()> {
        mount(&self.path, &format!("remount,size={SIZE}"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: whoever still has a file open there is about to end.
            Command::new("umount").arg("--lazy").arg(&self.path).status().ok();
        }
    }
}

fn mount(path: &Path, options: &str) -> Result<()> {
    let output = Command::new("mount")
        .args(["-t", "tmpfs", "-o", options])
        .arg("tapeline")
        .arg(path)
        .output()
        .context("cannot run mount")?;
    ensure!(output.status.success(), "mount: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
