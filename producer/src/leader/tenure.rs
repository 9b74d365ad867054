//! A leader's time in a running service: from the election until everything is drained.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use service::{CancellationToken, Tasks};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Leader;

/// How long giving up the lease may take.
const END_MAX: Duration = Duration::from_secs(3);
/// The file that keeps a producer's name.
const NAME_FILE: &str = "producer.id";

/// The lease is renewed until [`Tenure::end`], also while the service drains what it holds.
pub struct Tenure {
    done: CancellationToken,
    keeping: JoinHandle<()>,
}

impl Tenure {
    /// Renews from now on. A lost lease ends the service.
    pub fn begin(leader: Leader, tasks: &mut Tasks) -> Self {
        let (tell, told) = oneshot::channel();
        let (done, stop) = (CancellationToken::new(), tasks.stop_token());
        let keep = leader.keep(done.clone());
        let keeping = tokio::spawn(async move {
            if let Err(error) = keep.await {
                let _ = tell.send(error); // the service has ended already
            }
        });
        tasks.spawn("leader", async move {
            tokio::select! {
                () = stop.cancelled() => Ok(()),
                Ok(error) = told => Err(error),
            }
        });
        Self { done, keeping }
    }

    /// Gives the lease up: everything was handed on.
    pub async fn end(self) {
        self.done.cancel();
        if timeout(END_MAX, self.keeping).await.is_err() {
            tracing::info!("the lease was not given up in time; a standby waits for its end");
        }
    }
}

/// The name of the producer that owns this folder, made when there is none.
///
/// # Errors
/// Where the folder cannot be used.
pub fn name_of(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join(NAME_FILE);
    let advice = || format!("cannot use {}: set SPOOL_DIR to a folder that can be written", path.display());
    match fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        Ok(_) => create(&path).with_context(advice),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(&path).with_context(advice),
        Err(error) => Err(error).with_context(advice),
    }
}

fn create(path: &Path) -> io::Result<String> {
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = format!("{}-{:08x}", machine.trim(), rand::random::<u32>());
    fs::write(path, &name)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_the_name_of_its_producer() {
        let folder = tempfile::tempdir().unwrap();
        let name = name_of(folder.path()).unwrap();
        assert_eq!(name_of(folder.path()).unwrap(), name);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(name_of(other.path()).unwrap(), name);
    }
}
