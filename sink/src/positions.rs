//! The stored positions: where each partition goes on.

use std::collections::BTreeMap;

use service::Part;
use service::postgres::PostgresConfig;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};
use tokio_util::sync::CancellationToken;

use crate::retry;

/// Names the rows of one topic in `kafka_offsets`.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// Kafka's own name for the cluster.
    pub(crate) cluster_id: String,
    /// The topic.
    pub(crate) topic: String,
}

/// Where the log of one partition begins and ends in Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// First offset that is still there.
    pub(crate) first: i64,
    /// Offset that the next record will get.
    pub(crate) end: i64,
}

/// Reads the stored position of each partition; one that was never read before starts at its log's beginning. `None` when asked to
/// stop while PostgreSQL is away.
///
/// # Errors
/// One that would repeat for ever.
pub(crate) async fn load(
    config: &PostgresConfig,
    application: &str,
    part: &Part,
    stop: &CancellationToken,
    log: &Log,
    partitions: &BTreeMap<i32, Extent>,
) -> anyhow::Result<Option<BTreeMap<i32, i64>>> {
    retry::with_postgres(config, application, part, stop, move |connection| async move {
        let stored = stored(&connection, log).await?;
        let new: Vec<(i32, i64)> = partitions
            .iter()
            .filter(|(partition, _)| !stored.contains_key(partition))
            .map(|(partition, extent)| (*partition, extent.first))
            .collect();
        if new.is_empty() {
            return Ok(stored);
        }
        // Only now and only these: an insert would wait for a transaction that holds the row, and that may be a ghost's.
        let (numbers, firsts): (Vec<i32>, Vec<i64>) = new.into_iter().unzip();
        connection
            .in_transaction(
                "",
                "INSERT INTO market_data_oltp.kafka_offsets (cluster_id, topic, partition, next_offset)
                 SELECT $1, $2, * FROM unnest($3::integer[], $4::bigint[])
                 ON CONFLICT DO NOTHING",
                &[
                    (&log.cluster_id, Type::TEXT),
                    (&log.topic, Type::TEXT),
                    (&numbers, Type::INT4_ARRAY),
                    (&firsts, Type::INT8_ARRAY),
                ],
            )
            .await?;
        Ok(self::stored(&connection, log).await?)
    })
    .await
}

/// The stored positions of all partitions of a topic.
pub(crate) async fn stored(client: &Client, log: &Log) -> Result<BTreeMap<i32, i64>, Error> {
    let sql = "SELECT partition, next_offset FROM market_data_oltp.kafka_offsets WHERE cluster_id = $1 AND topic = $2";
    let rows = client.query_typed(sql, &[(&log.cluster_id, Type::TEXT), (&log.topic, Type::TEXT)]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The same for whoever does not know the cluster: the furthest position of each partition, whichever cluster it is from.
pub(crate) async fn stored_of_topic(client: &Client, topic: &str) -> Result<BTreeMap<i32, i64>, Error> {
    let sql =
        "SELECT partition, max(next_offset) FROM market_data_oltp.kafka_offsets WHERE topic = $1 GROUP BY partition";
    let rows = client.query_typed(sql, &[(&topic, Type::TEXT)]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Checks that Kafka still has what comes next.
///
/// # Errors
/// A sentence that says what happened and what to do; skipping records silently is never right.
pub(crate) fn check(log: &Log, partition: i32, stored: i64, extent: Extent) -> anyhow::Result<()> {
    let Log { cluster_id, topic } = log;
    let place = format!("cluster_id = '{cluster_id}' AND topic = '{topic}' AND partition = {partition}");
    anyhow::ensure!(
        stored <= extent.end,
        "partition {partition} of topic {topic} ends at offset {}, but PostgreSQL has already stored up to {stored}: the topic was \
         deleted and made anew, or has lost records. To read it from its beginning, stop the consumers and run: \
         DELETE FROM market_data_oltp.kafka_offsets WHERE {place};",
        extent.end,
    );
    anyhow::ensure!(
        stored >= extent.first,
        "partition {partition} of topic {topic} begins at offset {}, but PostgreSQL has stored only up to {stored}: Kafka's retention \
         has removed {} records that were never stored. To go on without them, stop the consumers and run: \
         UPDATE market_data_oltp.kafka_offsets SET next_offset = {} WHERE {place};",
        extent.first,
        extent.first - stored,
        extent.first,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_outside_the_log_is_refused_with_what_to_do() {
        let log = Log { cluster_id: "c".into(), topic: "t".into() };
        let extent = Extent { first: 10, end: 20 };
        assert!(check(&log, 0, 10, extent).is_ok() && check(&log, 0, 20, extent).is_ok());
        let beyond = check(&log, 0, 21, extent).unwrap_err().to_string();
        assert!(beyond.contains("made anew") && beyond.contains("DELETE FROM"), "{beyond}");
        let before = check(&log, 0, 7, extent).unwrap_err().to_string();
        assert!(before.contains("3 records") && before.contains("next_offset = 10"), "{before}");
    }
}
