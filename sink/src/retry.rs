//! Waiting for something that is away.

use std::time::Duration;

use service::postgres::PostgresConfig;
use service::{Backoff, Part};
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::verdict::{Verdict, verdict};

/// First and longest wait between two attempts.
pub(crate) fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
}

/// Waits before the next attempt; `false` when asked to stop meanwhile.
pub(crate) async fn wait(backoff: &mut Backoff, stop: &CancellationToken) -> bool {
    let wait = backoff.next_wait(&mut rand::rng());
    stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some()
}

/// Does `work` on a fresh connection, again and again while PostgreSQL is in trouble; `None` when asked to stop meanwhile.
///
/// # Errors
/// An error that would repeat for ever.
pub(crate) async fn with_postgres<T, F>(
    config: &PostgresConfig,
    application: &str,
    part: &Part,
    stop: &CancellationToken,
    work: impl Fn(Connection) -> F,
) -> anyhow::Result<Option<T>>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let mut backoff = backoff();
    loop {
        let attempt = async {
            let connection = Connection::open(config, application).await?;
            work(connection).await
        };
        let error = match stop.run_until_cancelled(attempt).await {
            None => return Ok(None),
            Some(Ok(done)) => {
                part.ok();
                return Ok(Some(done));
            }
            Some(Err(error)) => error,
        };
        if verdict_of_chain(&error) != Verdict::Retry {
            return Err(error);
        }
        part.down(format!("{error:#}"));
        if !wait(&mut backoff, stop).await {
            return Ok(None);
        }
    }
}

/// The verdict on the PostgreSQL error inside, wherever it is wrapped.
fn verdict_of_chain(error: &anyhow::Error) -> Verdict {
    error.chain().find_map(|cause| cause.downcast_ref::<tokio_postgres::Error>()).map_or(Verdict::Stop, verdict)
}
