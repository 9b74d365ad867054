//! Which rows of a batch PostgreSQL rejects.

use std::ops::Range;

use tokio_postgres::Error;

use super::transaction::store_rows;
use crate::encode::Encoded;
use crate::isolate::Attempt;
use crate::session::{Prepared, Session};
use crate::verdict::{Verdict, verdict};

/// The transaction of [`crate::isolate::store_all_but_bad`]; it is rolled back afterwards, whatever the search has found.
pub(super) struct Search<'a> {
    pub(super) session: &'a Session,
    pub(super) prepared: &'a Prepared,
    pub(super) encoded: &'a Encoded,
    pub(super) merge: bool,
    /// Whether there is a savepoint already.
    pub(super) nested: bool,
}

impl Attempt for Search<'_> {
    type Failure = Error;
    type Reason = Error;

    async fn savepoint(&mut self) -> Result<(), Error> {
        let sql = if self.nested { "RELEASE SAVEPOINT good; SAVEPOINT good" } else { "SAVEPOINT good" };
        self.session.batch_execute(sql).await?;
        self.nested = true;
        Ok(())
    }

    async fn undo(&mut self) -> Result<(), Error> {
        self.session.batch_execute("ROLLBACK TO SAVEPOINT good").await
    }

    async fn store(&mut self, rows: Range<usize>, but: Option<usize>) -> Result<Result<(), Error>, Error> {
        let stretches = match but {
            None => vec![rows],
            Some(bad) => vec![rows.start..bad, bad + 1..rows.end],
        };
        let stored = async {
            store_rows(self.session, self.prepared, self.encoded, self.merge, stretches).await?;
            if self.merge {
                self.session.batch_execute("TRUNCATE pg_temp.batch").await?;
            }
            Ok(())
        };
        match stored.await {
            Ok(()) => Ok(Ok(())),
            Err(error) => match verdict(&error) {
                Verdict::BadData | Verdict::NoPartition => Ok(Err(error)),
                Verdict::Duplicate if self.merge => Ok(Err(error)),
                _ => Err(error),
            },
        }
    }
}
