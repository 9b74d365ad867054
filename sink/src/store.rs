//! One batch, one transaction: positions step forward from where they must stand, rows go in, commit.

use std::collections::{BTreeSet, HashSet};
use std::convert::Infallible;
use std::marker::PhantomData;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use bytes::Bytes;
use futures_util::SinkExt as _;
use rdkafka::error::KafkaError;
use service::Part;
use tokio_postgres::{Error, SimpleQueryMessage, Statement};
use tokio_util::sync::CancellationToken;

use crate::batch::Tenure;
use crate::config::SinkConfig;
use crate::connection::{Connection, Session};
use crate::copy;
use crate::dead_letters::DeadLetters;
use crate::encode::{Day, Encoded};
use crate::isolate::{Attempt, store_all_but_bad};
use crate::metrics::SinkMetrics;
use crate::positions::{self, Log};
use crate::retry;
use crate::row::{Awaited, Refusal, Row, Store};
use crate::verdict::{Verdict, verdict};

/// What all lanes of one sink share.
pub(crate) struct Shared {
    pub(crate) config: SinkConfig,
    pub(crate) log: Log,
    pub(crate) metrics: SinkMetrics,
    pub(crate) postgres: Part,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) dead_letters_part: Part,
    /// Cancelled when draining has taken too long: what is not stored then stays in Kafka.
    pub(crate) abandon: CancellationToken,
}

/// How a batch ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its rows and positions are in PostgreSQL.
    Stored,
    /// Nothing was stored: these tenures are over, others store their partitions now.
    Contested(Vec<Tenure>),
    /// Nothing was stored: there was no more time.
    Abandoned,
}

/// Why one attempt failed.
#[derive(Debug)]
enum Trouble {
    Postgres(Error),
    DeadLetters(KafkaError),
    /// A position was not where it must stand.
    Contested,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

/// How the next attempt at a batch goes about it.
#[derive(Debug)]
struct Plan {
    /// Through the temporary table, because some rows are there already.
    merge: bool,
    /// Row by row where needed, because some rows are bad.
    careful: bool,
    /// Partitions were looked for once more.
    partitions_renewed: bool,
    /// Records whose dead letter has been delivered; a repeated attempt does not send it again.
    lettered: HashSet<usize>,
}

/// Stores the batches of one lane, one after the other, on a connection of its own.
pub(crate) struct Writer<R> {
    shared: Arc<Shared>,
    session: Option<Session>,
    /// Days whose partition is known to exist.
    known_days: BTreeSet<Day>,
    /// Whether the last batch met rows that were there already; the next one probably does too.
    met_duplicates: bool,
    row: PhantomData<fn() -> R>,
}

/// Bytes a COPY message: large enough to cost little, small enough to flow.
const CHUNK_BYTES: usize = 256 << 10;

/// A transaction that takes longer looks for a ghost in its way.
const GHOST_AFTER: Duration = Duration::from_secs(3);

impl<R: Row> Writer<R> {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, session: None, known_days: BTreeSet::new(), met_duplicates: false, row: PhantomData }
    }

    /// Stores a batch, however long that takes.
    ///
    /// # Errors
    /// A sentence, where trying again cannot help.
    pub(crate) async fn store(&mut self, encoded: &Encoded) -> anyhow::Result<Outcome> {
        let shared = Arc::clone(&self.shared);
        let started = Instant::now();
        let mut plan = Plan {
            merge: self.met_duplicates || matches!(R::STORE, Store::Merge(_)),
            careful: false,
            partitions_renewed: false,
            lettered: HashSet::new(),
        };
        let mut backoff = retry::backoff();
        loop {
            let attempt = shared.abandon.run_until_cancelled(self.attempt(encoded, &mut plan));
            let trouble = match attempt.await {
                None => return Ok(Outcome::Abandoned),
                Some(Ok(stored)) => {
                    shared.postgres.ok();
                    self.count(encoded, &plan, stored, started);
                    return Ok(Outcome::Stored);
                }
                Some(Err(trouble)) => trouble,
            };
            match self.react(trouble, encoded, &mut plan).await? {
                Reaction::Again => {}
                Reaction::AgainLater => {
                    shared.metrics.retries.increment(1);
                    if !retry::wait(&mut backoff, &shared.abandon).await {
                        return Ok(Outcome::Abandoned);
                    }
                }
                Reaction::End(outcome) => return Ok(outcome),
            }
        }
    }

    fn count(&mut self, encoded: &Encoded, plan: &Plan, stored: u64, started: Instant) {
        let metrics = &self.shared.metrics;
        let refused = plan.lettered.len().saturating_sub(encoded.refused.len());
        let there_already = ((encoded.len() - refused) as u64).saturating_sub(stored);
        self.met_duplicates = there_already > 0;
        metrics.rows_stored.increment(stored);
        metrics.duplicates_skipped.increment(there_already);
        metrics.batches_stored.increment(1);
        metrics.batch_seconds.record(started.elapsed());
        #[expect(clippy::cast_precision_loss, reason = "a batch is far below 2^53 rows")]
        metrics.batch_rows.record(encoded.len() as f64);
    }

    async fn react(&mut self, trouble: Trouble, encoded: &Encoded, plan: &mut Plan) -> anyhow::Result<Reaction> {
        let error = match trouble {
            Trouble::Contested => return self.find_contested(encoded).await,
            Trouble::DeadLetters(error) => {
                self.shared.dead_letters_part.down(format!("dead letters cannot be delivered: {error}"));
                return Ok(Reaction::AgainLater);
            }
            Trouble::Postgres(error) => error,
        };
        match verdict(&error) {
            Verdict::Retry => {
                self.shared.postgres.down(describe(&error));
                return Ok(Reaction::AgainLater);
            }
            Verdict::Duplicate if !plan.merge => plan.merge = true,
            Verdict::NoPartition if !plan.partitions_renewed => {
                plan.partitions_renewed = true;
                self.known_days.clear();
            }
            Verdict::BadData | Verdict::NoPartition | Verdict::Duplicate if !plan.careful => plan.careful = true,
            _ => {
                return Err(anyhow!(describe(&error)).context(format!(
                    "PostgreSQL refuses to store into {}, and trying again will not help. Nothing of this batch was stored, nothing is \
                     lost; mend the cause and start the service again",
                    R::TABLE
                )));
            }
        }
        Ok(Reaction::Again)
    }

    /// After a position was not where it must stand: was it this writer itself, whose commit went through although its answer was
    /// lost on the way? If not, which tenures are over?
    async fn find_contested(&mut self, encoded: &Encoded) -> anyhow::Result<Reaction> {
        let Some(session) = self.session.take() else { return Ok(Reaction::Again) };
        let Ok(stored) = positions::stored(&session, &self.shared.log).await else { return Ok(Reaction::Again) };
        self.session = Some(session);
        let stored_at = |partition: i32| stored.get(&partition).copied();
        let spans = encoded.batch.spans();
        if spans.iter().all(|span| stored_at(span.tenure.partition) == Some(span.next)) {
            return Ok(Reaction::End(Outcome::Stored));
        }
        let over: Vec<Tenure> = spans
            .iter()
            .filter(|span| stored_at(span.tenure.partition) != Some(span.expected))
            .map(|span| span.tenure)
            .collect();
        if over.is_empty() {
            return Ok(Reaction::Again);
        }
        self.shared.metrics.batches_contested.increment(1);
        let partitions: Vec<i32> = over.iter().map(|tenure| tenure.partition).collect();
        tracing::warn!(?partitions, rows = encoded.len(), "rolled back: another consumer stores these partitions now");
        Ok(Reaction::End(Outcome::Contested(over)))
    }

    /// One attempt from the first dead letter to the commit. Returns how many rows are new.
    ///
    /// # Cancel safety
    /// The session is put back only after a clean end; dropped on the way it closes, and the server rolls back.
    async fn attempt(&mut self, encoded: &Encoded, plan: &mut Plan) -> Result<u64, Trouble> {
        let refused = encoded.refused.iter().map(|(record, refusal)| (*record, refusal));
        self.send_letters(encoded, refused, &mut plan.lettered).await?;
        let session = match self.session.take() {
            Some(session) if !session.is_closed() => session,
            _ => Session::open::<R>(&self.shared.config.postgres, self.shared.config.service).await?,
        };
        self.ensure_partitions(&session, encoded).await?;
        let result = tokio::select! {
            result = self.transact(&session, encoded, plan) => result,
            never = self.end_ghosts(session.backend_pid) => match never {},
        };
        let clean = match &result {
            Ok(_) => true,
            Err(Trouble::Postgres(error)) if error.code().is_none() => false,
            Err(_) => session.batch_execute("ROLLBACK").await.is_ok(),
        };
        if clean {
            self.session = Some(session);
        }
        result
    }

    async fn ensure_partitions(&mut self, session: &Session, encoded: &Encoded) -> Result<(), Error> {
        let missing = encoded.days.difference(&self.known_days);
        ensure_partitions::<R>(session, missing.copied()).await?;
        self.known_days.extend(&encoded.days);
        Ok(())
    }

    async fn transact(&self, session: &Session, encoded: &Encoded, plan: &mut Plan) -> Result<u64, Trouble> {
        let begin = async { begin::<R>(session, encoded).await.map_err(Trouble::from) };
        if encoded.is_empty() {
            tokio::try_join!(begin, self.step(session, encoded))?;
            session.batch_execute("COMMIT").await?;
            return Ok(0);
        }
        if !plan.careful {
            // One flight: the server works through it in this order, and a contested step ends it before the commit.
            let rows =
                async { store_rows(session, encoded, plan.merge, 0..encoded.len(), None).await.map_err(Trouble::from) };
            let (names, (), stored) = tokio::try_join!(begin, self.step(session, encoded), rows)?;
            settle_awaited(session, encoded, &names).await?;
            session.batch_execute("COMMIT").await?;
            return Ok(stored);
        }
        let (names, ()) = tokio::try_join!(begin, self.step(session, encoded))?;
        let mut search = Search { session, encoded, merge: plan.merge, nested: false, kept: 0, stored: 0 };
        let bad = store_all_but_bad(&mut search, encoded.len()).await?;
        let stored = search.kept + search.stored;
        let refused: Vec<(usize, Refusal)> =
            bad.iter().map(|(row, error)| (encoded.record_of(*row), refusal(error))).collect();
        let letters = refused.iter().map(|(record, refusal)| (*record, refusal));
        self.send_letters(encoded, letters, &mut plan.lettered).await?;
        settle_awaited(session, encoded, &names).await?;
        session.batch_execute("COMMIT").await?;
        Ok(stored)
    }

    /// Moves the positions, each from where it must stand.
    async fn step(&self, session: &Session, encoded: &Encoded) -> Result<(), Trouble> {
        let spans = encoded.batch.spans();
        let partitions: Vec<i32> = spans.iter().map(|span| span.tenure.partition).collect();
        let expected: Vec<i64> = spans.iter().map(|span| span.expected).collect();
        let next: Vec<i64> = spans.iter().map(|span| span.next).collect();
        let Log { cluster_id, topic } = &self.shared.log;
        let moved = session.execute(&session.step, &[cluster_id, topic, &partitions, &expected, &next]).await?;
        if moved == spans.len() as u64 { Ok(()) } else { Err(Trouble::Contested) }
    }

    async fn send_letters<'a>(
        &self,
        encoded: &Encoded,
        refused: impl Iterator<Item = (usize, &'a Refusal)>,
        lettered: &mut HashSet<usize>,
    ) -> Result<(), Trouble> {
        let new: Vec<_> = refused.filter(|(record, _)| !lettered.contains(record)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let letters = new.iter().map(|(record, refusal)| (encoded.batch.record(*record), *refusal));
        self.shared.dead_letters.deliver(letters).await.map_err(Trouble::DeadLetters)?;
        self.shared.dead_letters_part.ok();
        self.shared.metrics.dead_letters.increment(new.len() as u64);
        lettered.extend(new.iter().map(|(record, _)| *record));
        Ok(())
    }

    /// Ends sessions of this program that hold what ours waits for while they themselves wait for a client that says nothing: a
    /// consumer that was stopped in the middle of a transaction. Its positions are ours now, so its transaction can only fail.
    async fn end_ghosts(&self, backend_pid: i32) -> Infallible {
        let SinkConfig { postgres, service, .. } = &self.shared.config;
        loop {
            tokio::time::sleep(GHOST_AFTER).await;
            let ended = async {
                let connection = Connection::open(postgres, service).await?;
                let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                           WHERE pid = ANY (pg_blocking_pids($1)) AND application_name = $2
                             AND wait_event = 'ClientRead' AND state_change < now() - interval '2 seconds'";
                Ok::<i64, Error>(connection.query_one(sql, &[&backend_pid, service]).await?.get(0))
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
}

/// What to do after a failed attempt.
enum Reaction {
    Again,
    AgainLater,
    End(Outcome),
}

/// The transaction of [`store_all_but_bad`].
struct Search<'a> {
    session: &'a Session,
    encoded: &'a Encoded,
    merge: bool,
    /// Whether there is a savepoint already.
    nested: bool,
    /// New rows up to the savepoint.
    kept: u64,
    /// New rows since the savepoint.
    stored: u64,
}

impl Attempt for Search<'_> {
    type Failure = Trouble;
    type Reason = Error;

    async fn savepoint(&mut self) -> Result<(), Trouble> {
        let sql = if self.nested { "RELEASE SAVEPOINT good; SAVEPOINT good" } else { "SAVEPOINT good" };
        self.session.batch_execute(sql).await?;
        self.kept += std::mem::take(&mut self.stored);
        self.nested = true;
        Ok(())
    }

    async fn undo(&mut self) -> Result<(), Trouble> {
        self.session.batch_execute("ROLLBACK TO SAVEPOINT good").await?;
        self.stored = 0;
        Ok(())
    }

    async fn store(&mut self, rows: Range<usize>, but: Option<usize>) -> Result<Result<(), Error>, Trouble> {
        let stored = async {
            let stored = store_rows(self.session, self.encoded, self.merge, rows, but).await?;
            if self.merge {
                self.session.batch_execute("TRUNCATE pg_temp.batch").await?;
            }
            Ok(stored)
        };
        match stored.await {
            Ok(stored) => {
                self.stored += stored;
                Ok(Ok(()))
            }
            Err(error) => match verdict(&error) {
                Verdict::BadData | Verdict::NoPartition => Ok(Err(error)),
                Verdict::Duplicate if self.merge => Ok(Err(error)),
                _ => Err(error.into()),
            },
        }
    }
}

/// Stores rows outside of any stream: no position moves, and rows that are there already stay as they are. Returns how many are new.
pub(crate) async fn merge<R: Row>(config: &SinkConfig, encoded: &Encoded) -> Result<u64, Error> {
    let session = Session::open::<R>(&config.postgres, config.service).await?;
    ensure_partitions::<R>(&session, encoded.days.iter().copied()).await?;
    let names = begin::<R>(&session, encoded).await?;
    let stored = store_rows(&session, encoded, true, 0..encoded.len(), None).await?;
    settle_awaited(&session, encoded, &names).await?;
    session.batch_execute("COMMIT").await?;
    Ok(stored)
}

/// Whether an error is the record's own fault.
pub(crate) fn is_data_error(error: &Error) -> bool {
    matches!(verdict(error), Verdict::BadData | Verdict::NoPartition | Verdict::Duplicate)
}

async fn ensure_partitions<R: Row>(session: &Session, days: impl Iterator<Item = Day>) -> Result<(), Error> {
    let dates: Vec<_> = days.map(Day::date).collect();
    if let Some(sql) = R::ENSURE_PARTITIONS.filter(|_| !dates.is_empty()) {
        session.execute(sql, &[&dates]).await?;
    }
    Ok(())
}

/// Begins a transaction. Returns the names under which something waits for rows like those of this batch; nothing new can begin to wait
/// once [`Row::BEGIN`] has its lock.
async fn begin<R: Row>(session: &Session, encoded: &Encoded) -> Result<Vec<String>, Error> {
    let Some(Awaited { find, .. }) = R::AWAITED.filter(|_| !encoded.is_empty()) else {
        session.batch_execute(R::BEGIN).await?;
        return Ok(Vec::new());
    };
    let (first_ns, last_ns) = encoded.reach;
    let answers = session.simple_query(&format!("{}; {}", R::BEGIN, find(first_ns, last_ns))).await?;
    let texts = answers.iter().filter_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(texts.filter(|text| !text.is_empty()).map(str::to_owned).collect()) // the lock answers with an empty text
}

/// Brings what waits together with the rows of this batch, which are stored by now.
async fn settle_awaited(session: &Session, encoded: &Encoded, names: &[String]) -> Result<(), Error> {
    if let Some(settle) = session.settle.as_ref().filter(|_| !names.is_empty()) {
        let (first_ns, last_ns) = encoded.reach;
        session.execute(settle, &[&names, &first_ns, &last_ns]).await?;
    }
    Ok(())
}

/// Stores some rows of a batch, all `but` one perhaps, and returns how many are new.
async fn store_rows(
    session: &Session,
    encoded: &Encoded,
    merge: bool,
    rows: Range<usize>,
    but: Option<usize>,
) -> Result<u64, Error> {
    let parts = match but {
        None => [encoded.bytes_of(rows), Bytes::new()],
        Some(bad) => [encoded.bytes_of(rows.start..bad), encoded.bytes_of(bad + 1..rows.end)],
    };
    if !merge {
        return copy_in(session, &session.copy, parts).await;
    }
    copy_in(session, &session.copy_aside, parts).await?;
    let stored: i64 = session.query_one(&session.merge, &[]).await?.get(0);
    if let Some(follow_up) = session.follow_up.as_ref().filter(|_| stored > 0) {
        session.execute(follow_up, &[]).await?;
    }
    Ok(stored.unsigned_abs())
}

async fn copy_in(session: &Session, statement: &Statement, parts: [Bytes; 2]) -> Result<u64, Error> {
    let mut sink = pin!(session.copy_in::<_, Bytes>(statement).await?);
    sink.feed(Bytes::from_static(copy::HEADER)).await?;
    for mut part in parts {
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
    Refusal(format!("PostgreSQL refuses it: {}", describe(error)))
}

/// PostgreSQL's own words with its code; the driver alone says no more than `db error`.
pub(crate) fn describe(error: &Error) -> String {
    match error.as_db_error() {
        Some(server) => {
            let detail = server.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
            format!("{}{detail}, SQLSTATE {}", server.message(), server.code().code())
        }
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
