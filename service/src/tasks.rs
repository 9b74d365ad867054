//! Supervised tasks: when one ends before it was asked to, all stop; nothing is spawned and forgotten.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::ensure;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

type Ended = Result<(Id, anyhow::Result<()>), JoinError>;

/// The tasks of one service.
pub struct Tasks {
    stop: CancellationToken,
    set: JoinSet<anyhow::Result<()>>,
    /// Tasks that have not ended.
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// No tasks yet. They stop when `stop` is cancelled, or when one of them ends early.
    #[must_use]
    pub fn new(stop: &CancellationToken) -> Self {
        Self { stop: stop.child_token(), set: JoinSet::new(), names: HashMap::new() }
    }

    /// The token that tells a task to stop.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task that runs until it is asked to stop.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let id = self.set.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Waits for the stop, then for every task to finish what it holds.
    ///
    /// # Errors
    /// Names every task that failed, panicked, ended early, or did not finish within `drain_max`.
    pub async fn run(mut self, drain_max: Duration) -> anyhow::Result<()> {
        let early = tokio::select! {
            biased; // an ordinary stop also ends tasks: look at `stop` first
            () = self.stop.cancelled() => None,
            ended = self.set.join_next_with_id() => ended,
        };
        self.stop.cancel();
        let mut failures: Vec<String> = Vec::new();
        if let Some(ended) = early {
            let (name, failure) = self.failure(ended);
            failures.push(failure.unwrap_or_else(|| format!("{name}: returned before it was asked to")));
        }
        let drain = async {
            while let Some(ended) = self.set.join_next_with_id().await {
                failures.extend(self.failure(ended).1);
            }
        };
        if timeout(drain_max, drain).await.is_err() {
            let mut unfinished: Vec<_> = self.names.values().copied().collect();
            unfinished.sort_unstable();
            failures.push(format!("stopping took longer than {drain_max:?}, unfinished: {}", unfinished.join(", ")));
        }
        ensure!(failures.is_empty(), failures.join("; "));
        Ok(())
    }

    /// Takes an ended task off the list: its name, and how it failed, if it did.
    fn failure(&mut self, ended: Ended) -> (&'static str, Option<String>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let name = self.names.remove(&id).unwrap_or("a task");
        let failure = match ended {
            Ok((_, Ok(()))) => None,
            Ok((_, Err(error))) => Some(format!("{name}: {error:#}")),
            Err(error) if error.is_panic() => Some(format!("{name}: panicked: {}", panic_text(error))),
            Err(_) => Some(format!("{name}: was aborted")),
        };
        (name, failure)
    }
}

/// What a panic said.
fn panic_text(error: JoinError) -> String {
    let payload = error.into_panic();
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "no text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    const DRAIN: Duration = Duration::from_secs(5);

    async fn until_stopped(stop: CancellationToken) -> anyhow::Result<()> {
        stop.cancelled().await;
        Ok(())
    }

    fn message(result: anyhow::Result<()>) -> String {
        result.unwrap_err().to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn an_ordinary_stop_is_no_failure() {
        for _ in 0..50 {
            let stop = CancellationToken::new();
            let mut tasks = Tasks::new(&stop);
            tasks.spawn("one", until_stopped(tasks.stop_token()));
            tasks.spawn("two", until_stopped(tasks.stop_token()));
            let running = tokio::spawn(tasks.run(DRAIN));
            tokio::task::yield_now().await;
            stop.cancel();
            running.await.unwrap().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_stops_the_others_and_is_named() {
        let mut tasks = Tasks::new(&CancellationToken::new());
        tasks.spawn("writer", async { bail!("disk full") });
        tasks.spawn("reader", until_stopped(tasks.stop_token()));
        assert_eq!(message(tasks.run(DRAIN).await), "writer: disk full");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_just_returns_is_a_failure() {
        let mut tasks = Tasks::new(&CancellationToken::new());
        tasks.spawn("reader", async { Ok(()) });
        assert!(message(tasks.run(DRAIN).await).contains("reader: returned before"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_reported() {
        let mut tasks = Tasks::new(&CancellationToken::new());
        tasks.spawn("writer", async { panic!("boom") });
        assert_eq!(message(tasks.run(DRAIN).await), "writer: panicked: boom");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_hangs_is_given_up_after_the_limit() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(&stop);
        tasks.spawn("stuck", std::future::pending());
        stop.cancel();
        assert_eq!(message(tasks.run(DRAIN).await), "stopping took longer than 5s, unfinished: stuck");
    }
}
