//! Sessions of a consumer that was stopped in the middle of a transaction and stand in the way of its successor (docs/decisions/0014).

use std::convert::Infallible;
use std::time::Duration;

use tokio_postgres::Error;
use tokio_postgres::types::Type;

use crate::config::SinkConfig;
use crate::connection::Connection;
use crate::session::Session;

/// A transaction that takes longer looks for a ghost in its way.
const GHOST_AFTER: Duration = Duration::from_secs(3);

const END: &str = "
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE pid = ANY (pg_blocking_pids($1)) AND application_name = $2
      AND wait_event = 'ClientRead' AND state_change < now() - interval '2 seconds'";

/// Ends sessions of this program that hold what `session` waits for while they themselves wait for a client that says nothing. Its
/// positions are ours now, so its transaction can only fail.
pub(super) async fn end_ghosts(config: &SinkConfig, session: &Session) -> Infallible {
    let SinkConfig { postgres, service, .. } = config;
    loop {
        tokio::time::sleep(GHOST_AFTER).await;
        let ended = async {
            let connection = Connection::open(postgres, service).await?;
            let pid = session.backend_pid();
            let ended = connection.query_typed_one(END, &[(&pid, Type::INT4), (service, Type::TEXT)]).await?;
            Ok::<i64, Error>(ended.get(0))
        };
        match ended.await {
            Ok(0) => {}
            Ok(sessions) => {
                tracing::warn!(sessions, "ended sessions of a consumer that had stopped in mid-transaction")
            }
            Err(error) => tracing::debug!(%error, "cannot look for sessions in the way"),
        }
    }
}
