//! Attempts at a batch, and what to do when one fails.

use std::collections::{BTreeSet, HashSet};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use anyhow::anyhow;
use rdkafka::error::KafkaError;
use tokio_postgres::Error;

use super::ghosts::end_ghosts;
use super::transaction::{self, BadRows, Failure};
use super::{Shared, describe};
use crate::batch::Tenure;
use crate::encode::{Day, Encoded};
use crate::positions;
use crate::retry;
use crate::row::{Refusal, Row, Store};
use crate::session::Session;
use crate::verdict::{Verdict, verdict};

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
    Transaction(Failure),
    DeadLetters(KafkaError),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Transaction(failure)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Transaction(error.into())
    }
}

/// What one attempt has come to.
enum Attempted {
    /// The batch is stored; so many rows are new.
    Stored(u64),
    /// Rows that PostgreSQL rejects were found, and nothing is stored: the next attempt leaves them out.
    Found,
}

/// How the next attempt at a batch goes about it.
#[derive(Debug)]
struct Plan {
    /// Through the temporary table, because some rows are there already.
    merge: bool,
    /// Look for the rows that PostgreSQL rejects before anything is stored.
    search: bool,
    /// What the search has found.
    bad: BadRows,
    /// Searches that are still allowed: a table whose rules change in the meantime must not keep a batch for ever.
    searches_left: u32,
    /// Partitions were looked for once more.
    partitions_renewed: bool,
    /// Records whose dead letter has been delivered; a repeated attempt does not send it again.
    lettered: HashSet<usize>,
}

/// What to do after a failed attempt.
enum Reaction {
    Again,
    AgainLater,
    End(Outcome),
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
            search: false,
            bad: BadRows::new(),
            searches_left: 3,
            partitions_renewed: false,
            lettered: HashSet::new(),
        };
        let mut backoff = retry::backoff();
        loop {
            let attempt = shared.abandon.run_until_cancelled(self.attempt(encoded, &mut plan));
            let trouble = match attempt.await {
                None => return Ok(Outcome::Abandoned),
                Some(Ok(Attempted::Found)) => continue,
                Some(Ok(Attempted::Stored(new))) => {
                    shared.postgres.ok();
                    self.count(encoded, &plan, new, started);
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
                Reaction::End(outcome) => {
                    if outcome == Outcome::Stored {
                        // How many of its rows were new, only the lost answer said.
                        let rows = encoded.len().saturating_sub(plan.bad.len());
                        tracing::info!(rows, "stored: the commit went through although its answer was lost");
                        self.count(encoded, &plan, rows as u64, started);
                    }
                    return Ok(outcome);
                }
            }
        }
    }

    fn count(&mut self, encoded: &Encoded, plan: &Plan, new: u64, started: Instant) {
        let metrics = &self.shared.metrics;
        let there_already = ((encoded.len() - plan.bad.len()) as u64).saturating_sub(new);
        self.met_duplicates = there_already > 0;
        metrics.rows_stored.increment(new);
        metrics.duplicates_skipped.increment(there_already);
        metrics.batches_stored.increment(1);
        metrics.batch_seconds.record(started.elapsed());
        #[expect(clippy::cast_precision_loss, reason = "a batch is far below 2^53 rows")]
        metrics.batch_rows.record(encoded.len() as f64);
    }

    async fn react(&mut self, trouble: Trouble, encoded: &Encoded, plan: &mut Plan) -> anyhow::Result<Reaction> {
        let error = match trouble {
            Trouble::Transaction(Failure::Contested) => return Ok(self.find_contested(encoded).await),
            Trouble::DeadLetters(error) => {
                self.shared.dead_letters_part.down(format!("dead letters cannot be delivered: {error}"));
                return Ok(Reaction::AgainLater);
            }
            Trouble::Transaction(Failure::Postgres(error)) => error,
        };
        match verdict(&error) {
            Verdict::SessionState => {
                self.shared.pooler.suspect();
                return Ok(Reaction::AgainLater);
            }
            Verdict::Retry => {
                self.shared.postgres.down(describe(&error));
                return Ok(Reaction::AgainLater);
            }
            Verdict::Duplicate if !plan.merge => plan.merge = true,
            Verdict::NoPartition if !plan.partitions_renewed => {
                plan.partitions_renewed = true;
                self.known_days.clear();
            }
            Verdict::BadData | Verdict::NoPartition | Verdict::Duplicate if plan.searches_left > 0 => {
                plan.searches_left -= 1;
                plan.search = true;
            }
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
    async fn find_contested(&mut self, encoded: &Encoded) -> Reaction {
        let Some(session) = self.session.take() else { return Reaction::Again };
        let Ok(stored) = positions::stored(&session, &self.shared.log).await else { return Reaction::Again };
        self.session = Some(session);
        self.shared.postgres.ok(); // it has answered, whatever it said before
        let stored_at = |partition: i32| stored.get(&partition).copied();
        let spans = encoded.batch.spans();
        if spans.iter().all(|span| stored_at(span.tenure.partition) == Some(span.next)) {
            return Reaction::End(Outcome::Stored);
        }
        let over: Vec<Tenure> = spans
            .iter()
            .filter(|span| stored_at(span.tenure.partition) != Some(span.expected))
            .map(|span| span.tenure)
            .collect();
        if over.is_empty() {
            return Reaction::Again;
        }
        self.shared.metrics.batches_contested.increment(1);
        let partitions: Vec<i32> = over.iter().map(|tenure| tenure.partition).collect();
        tracing::warn!(
            ?partitions,
            rows = encoded.len(),
            "rolled back: these partitions now belong to another consumer"
        );
        Reaction::End(Outcome::Contested(over))
    }

    /// One attempt from the first dead letter to the commit. Dead letters are delivered before a transaction begins, so that nobody waits
    /// for Kafka while it holds locks.
    ///
    /// # Cancel safety
    /// The session is put back only after a clean end; dropped on the way it closes, and the server rolls back.
    async fn attempt(&mut self, encoded: &Encoded, plan: &mut Plan) -> Result<Attempted, Trouble> {
        let rejected = plan.bad.iter().map(|(row, refusal)| (encoded.record_of(*row), refusal));
        let refused = encoded.refused.iter().map(|(record, refusal)| (*record, refusal)).chain(rejected);
        self.send_letters(encoded, refused, &mut plan.lettered).await?;
        let session = match self.session.take() {
            Some(session) if !session.is_closed() => session,
            _ => {
                Session::open::<R>(&self.shared.config.postgres, self.shared.config.service, &self.shared.pooler)
                    .await?
            }
        };
        self.ensure_partitions(&session, encoded).await?;
        let work = async {
            if plan.search {
                plan.bad = transaction::find_bad::<R>(&session, encoded, plan.merge).await?;
                plan.search = false;
                session.batch_execute("ROLLBACK").await?;
                return Ok(Attempted::Found);
            }
            let new = transaction::store::<R>(&session, &self.shared.log, encoded, plan.merge, &plan.bad).await?;
            Ok(Attempted::Stored(new))
        };
        let result: Result<Attempted, Failure> = tokio::select! {
            result = work => result,
            never = end_ghosts(&self.shared.config, &session) => match never {},
        };
        let clean = match &result {
            Ok(_) => true,
            Err(Failure::Postgres(error)) if !may_keep_session(error) => false,
            Err(_) => session.batch_execute("ROLLBACK").await.is_ok(),
        };
        if clean {
            self.session = Some(session);
        }
        Ok(result?)
    }

    async fn ensure_partitions(&mut self, session: &Session, encoded: &Encoded) -> Result<(), Error> {
        let missing = encoded.days.difference(&self.known_days);
        transaction::ensure_partitions::<R>(session, missing.copied()).await?;
        self.known_days.extend(&encoded.days);
        Ok(())
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
}

/// Whether the session can be used again after an error: not when the connection is lost, nor when its prepared statements no longer fit
/// (0A000 is also said of those whose tables have changed).
fn may_keep_session(error: &Error) -> bool {
    error.code().is_some_and(|state| state.code() != "0A000") && verdict(error) != Verdict::SessionState
}
