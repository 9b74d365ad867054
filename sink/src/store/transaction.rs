//! The statements of one attempt: positions step forward from where they must stand, rows go in, what waited for them is settled, commit.

use std::collections::BTreeMap;
use std::ops::Range;
use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, SimpleQueryMessage, Statement};

use super::describe;
use super::search::Search;
use crate::config::SinkConfig;
use crate::copy;
use crate::encode::{Day, Encoded};
use crate::isolate::store_all_but_bad;
use crate::positions::Log;
use crate::row::{Awaited, Refusal, Row};
use crate::session::{Pooler, Prepared, Session};

/// Bytes a COPY message: large enough to cost little, small enough to flow.
const CHUNK_BYTES: usize = 256 << 10;

/// Rows that PostgreSQL rejects, and why.
pub(super) type BadRows = BTreeMap<usize, Refusal>;

/// Why a transaction failed.
#[derive(Debug)]
pub(super) enum Failure {
    Postgres(Error),
    /// A position was not where it must stand.
    Contested,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

/// Stores all rows of a batch but the bad ones and moves its positions. Returns how many rows are new. The caller rolls back what has
/// failed.
pub(super) async fn store<R: Row>(
    session: &Session,
    log: &Log,
    encoded: &Encoded,
    merge: bool,
    bad: &BadRows,
) -> Result<u64, Failure> {
    let own = prepare_in_transaction::<R>(session).await?;
    let prepared = statements(session, own.as_ref());
    let begin = async { if own.is_none() { session.begin::<R>().await.map_err(Failure::from) } else { Ok(()) } };
    let stored = if encoded.is_empty() {
        tokio::try_join!(begin, step(session, prepared, log, encoded))?;
        0
    } else {
        let rows = async {
            let stretches = stretches_without(bad, encoded.len());
            store_rows(session, prepared, encoded, merge, stretches).await.map_err(Failure::from)
        };
        let find = async { find_awaited::<R>(session, encoded).await.map_err(Failure::from) };
        // One flight: the server works through it in this order, and a contested step ends it before the commit.
        let ((), (), names, stored) = tokio::try_join!(begin, step(session, prepared, log, encoded), find, rows)?;
        settle_awaited(session, prepared, &names).await?;
        stored
    };
    drop(own); // closes its statements, which nobody would find again after the commit
    session.batch_execute("COMMIT").await?;
    Ok(stored)
}

/// Finds the rows that PostgreSQL rejects. The caller rolls back.
pub(super) async fn find_bad<R: Row>(session: &Session, encoded: &Encoded, merge: bool) -> Result<BadRows, Failure> {
    let own = prepare_in_transaction::<R>(session).await?;
    if own.is_none() {
        session.begin::<R>().await?;
    }
    let prepared = statements(session, own.as_ref());
    let mut search = Search { session, prepared, encoded, merge, nested: false };
    let bad = store_all_but_bad(&mut search, encoded.len()).await?;
    Ok(bad.into_iter().map(|(row, error)| (row, refusal(&error))).collect())
}

/// Stores rows outside of any stream: no position moves, and rows that are there already stay as they are. Returns how many are new.
pub(crate) async fn merge<R: Row>(config: &SinkConfig, encoded: &Encoded) -> Result<u64, Error> {
    let session = Session::open::<R>(&config.postgres, config.service, &Pooler::default()).await?;
    ensure_partitions::<R>(&session, encoded.days.iter().copied()).await?;
    let own = prepare_in_transaction::<R>(&session).await?;
    if own.is_none() {
        session.begin::<R>().await?;
    }
    let prepared = statements(&session, own.as_ref());
    let names = find_awaited::<R>(&session, encoded).await?;
    let stored =
        store_rows(&session, prepared, encoded, true, stretches_without(&BadRows::new(), encoded.len())).await?;
    settle_awaited(&session, prepared, &names).await?;
    drop(own);
    session.batch_execute("COMMIT").await?;
    Ok(stored)
}

/// Creates the partitions of these days if they are missing, in a transaction of its own.
pub(super) async fn ensure_partitions<R: Row>(session: &Session, days: impl Iterator<Item = Day>) -> Result<(), Error> {
    let dates: Vec<_> = days.map(Day::date).collect();
    if let Some(sql) = R::ENSURE_PARTITIONS.filter(|_| !dates.is_empty()) {
        session.in_transaction("", sql, &[(&dates, Type::DATE_ARRAY)]).await?;
    }
    Ok(())
}

/// Behind a pooler: begins the transaction and prepares its statements within it. `None` where they are prepared for good and nothing has
/// begun yet.
async fn prepare_in_transaction<R: Row>(session: &Session) -> Result<Option<Prepared>, Error> {
    if session.kept.is_some() {
        return Ok(None);
    }
    session.begin::<R>().await?;
    Prepared::new::<R>(session).await.map(Some)
}

/// The statements of this transaction: its own, or those that the session keeps.
fn statements<'s>(session: &'s Session, own: Option<&'s Prepared>) -> &'s Prepared {
    own.or(session.kept.as_ref()).expect("a session that keeps no statements has them prepared in the transaction")
}

/// Moves the positions, each from where it must stand.
async fn step(session: &Session, prepared: &Prepared, log: &Log, encoded: &Encoded) -> Result<(), Failure> {
    let spans = encoded.batch.spans();
    let partitions: Vec<i32> = spans.iter().map(|span| span.tenure.partition).collect();
    let expected: Vec<i64> = spans.iter().map(|span| span.expected).collect();
    let next: Vec<i64> = spans.iter().map(|span| span.next).collect();
    let Log { cluster_id, topic } = log;
    let moved = session.execute(&prepared.step, &[cluster_id, topic, &partitions, &expected, &next]).await?;
    if moved == spans.len() as u64 { Ok(()) } else { Err(Failure::Contested) }
}

/// The names under which something waits for rows of this batch. What begins to wait later finds the rows itself, or is tried again.
async fn find_awaited<R: Row>(session: &Session, encoded: &Encoded) -> Result<Vec<String>, Error> {
    let Some(Awaited { find, key, .. }) = R::AWAITED.filter(|_| !encoded.is_empty()) else { return Ok(Vec::new()) };
    let (first_ns, last_ns) = encoded.reach;
    let messages = session.simple_query(&find(first_ns, last_ns)).await?;
    let names = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(encoded.named(names, key))
}

/// Brings what waits together with the rows of this batch, which are stored by now.
async fn settle_awaited(session: &Session, prepared: &Prepared, names: &[String]) -> Result<(), Error> {
    if let Some(settle) = prepared.settle.as_ref().filter(|_| !names.is_empty()) {
        session.execute(settle, &[&names]).await?;
    }
    Ok(())
}

/// All rows but the bad ones, as stretches of neighbours.
fn stretches_without(bad: &BadRows, count: usize) -> Vec<Range<usize>> {
    let starts = std::iter::once(0).chain(bad.keys().map(|row| row + 1));
    let ends = bad.keys().copied().chain([count]);
    starts.zip(ends).filter(|(start, end)| start < end).map(|(start, end)| start..end).collect()
}

/// Stores some rows of a batch and returns how many are new.
pub(super) async fn store_rows(
    session: &Session,
    prepared: &Prepared,
    encoded: &Encoded,
    merge: bool,
    stretches: Vec<Range<usize>>,
) -> Result<u64, Error> {
    if !merge {
        return copy_in(session, &prepared.copy, encoded, stretches).await;
    }
    copy_in(session, &prepared.copy_aside, encoded, stretches).await?;
    let stored: i64 = session.query_one(&prepared.merge, &[]).await?.get(0);
    if let Some(follow_up) = prepared.follow_up.as_ref().filter(|_| stored > 0) {
        session.execute(follow_up, &[]).await?;
    }
    Ok(stored.unsigned_abs())
}

async fn copy_in(
    session: &Session,
    statement: &Statement,
    encoded: &Encoded,
    stretches: Vec<Range<usize>>,
) -> Result<u64, Error> {
    let mut sink = pin!(session.copy_in::<_, Bytes>(statement).await?);
    sink.feed(Bytes::from_static(copy::HEADER)).await?;
    for stretch in stretches {
        let mut part = encoded.bytes_of(stretch);
        while !part.is_empty() {
            let chunk = part.split_to(part.len().min(CHUNK_BYTES));
            sink.feed(chunk).await?;
        }
    }
    sink.feed(Bytes::from_static(copy::TRAILER)).await?;
    sink.finish().await
}

/// The reason that a dead letter carries.
fn refusal(error: &Error) -> Refusal {
    Refusal(format!("PostgreSQL rejects it: {}", describe(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_leave_out_exactly_the_bad_rows() {
        let bad: BadRows = [0, 3, 4, 9].into_iter().map(|row| (row, Refusal(String::new()))).collect();
        assert_eq!(stretches_without(&bad, 10), [1..3, 5..9]);
        assert_eq!(stretches_without(&BadRows::new(), 10).as_slice(), std::slice::from_ref(&(0..10)));
    }
}
