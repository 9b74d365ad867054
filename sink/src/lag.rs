//! Tells PostgreSQL how far behind Kafka it is, so that `tapeline_lag` answers without Kafka.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_postgres::Error;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::store::Shared;

/// How one partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) partition: i32,
    /// Offset that the next record will get.
    pub(crate) log_end: i64,
    /// When the newest stored record was sent, Unix milliseconds.
    pub(crate) stored_sent_ms: Option<i64>,
}

/// Between two reports.
const INTERVAL: Duration = Duration::from_secs(5);

const REPORT: &str = "
    INSERT INTO market_data_oltp.kafka_lag (cluster_id, topic, partition, log_end, stored_sent_at)
    SELECT $1, $2, partition, log_end, to_timestamp(sent_ms / 1000.0)
    FROM unnest($3::integer[], $4::bigint[], $5::bigint[]) AS seen (partition, log_end, sent_ms)
    ON CONFLICT (cluster_id, topic, partition) DO UPDATE
    SET (log_end, stored_sent_at, seen_at)
      = (excluded.log_end, coalesce(excluded.stored_sent_at, kafka_lag.stored_sent_at), now())";

/// Reports what the reader sees until `stop`. A report that fails is left out: whether PostgreSQL is well, the lanes know better.
pub(crate) async fn report(
    shared: Arc<Shared>,
    seen: watch::Receiver<Vec<Seen>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut connection: Option<Connection> = None;
    let mut tick = tokio::time::interval(INTERVAL);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let now = seen.borrow().clone();
        if now.is_empty() {
            continue;
        }
        connection = match send(&shared, connection.take(), &now).await {
            Ok(connection) => Some(connection),
            Err(error) => {
                tracing::debug!(%error, "the lag was not reported");
                None
            }
        };
    }
    Ok(())
}

async fn send(shared: &Shared, open: Option<Connection>, seen: &[Seen]) -> Result<Connection, Error> {
    let connection = match open {
        Some(connection) => connection,
        None => Connection::open(&shared.config.postgres, shared.config.service).await?,
    };
    let partitions: Vec<i32> = seen.iter().map(|seen| seen.partition).collect();
    let ends: Vec<i64> = seen.iter().map(|seen| seen.log_end).collect();
    let sent: Vec<Option<i64>> = seen.iter().map(|seen| seen.stored_sent_ms).collect();
    let (cluster_id, topic) = (&shared.log.cluster_id, &shared.log.topic);
    connection
        .in_transaction(
            "",
            REPORT,
            &[
                (cluster_id, Type::TEXT),
                (topic, Type::TEXT),
                (&partitions, Type::INT4_ARRAY),
                (&ends, Type::INT8_ARRAY),
                (&sent, Type::INT8_ARRAY),
            ],
        )
        .await?;
    Ok(connection)
}
