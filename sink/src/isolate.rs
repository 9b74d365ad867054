//! Finds the rows of a batch that PostgreSQL refuses, and stores all others. The search is pure; statements are the caller's.

use std::ops::Range;

/// The transaction that the search runs in. Every call is one statement.
pub trait Attempt {
    /// An error that ends the search: the connection is gone, say.
    type Failure: From<Self::Reason>;
    /// Why PostgreSQL refuses a row.
    type Reason;

    /// Marks what is stored now as kept.
    fn savepoint(&mut self) -> impl Future<Output = Result<(), Self::Failure>> + Send;
    /// Undoes everything since the last savepoint.
    fn undo(&mut self) -> impl Future<Output = Result<(), Self::Failure>> + Send;
    /// Stores these rows, all `but` one perhaps, in one statement; the inner error says that one of them is bad.
    fn store(
        &mut self,
        rows: Range<usize>,
        but: Option<usize>,
    ) -> impl Future<Output = Result<Result<(), Self::Reason>, Self::Failure>> + Send;
}

/// Stores all good rows of `0..count` and returns the bad ones with their reasons.
///
/// Looks for the first bad row by storing ever smaller stretches. A stretch that is refused costs two statements (itself and its
/// undoing), one that is stored costs one, so the cut is made where both outcomes leave the same work: 38 to 62, the golden section.
/// One bad row among n costs about 1.44·log2(n) + 3 statements; halving would cost up to 2·log2(n) + 3.
///
/// # Errors
/// Whatever ends the search early; nothing of it may be committed then.
pub async fn store_all_but_bad<A: Attempt>(
    attempt: &mut A,
    count: usize,
) -> Result<Vec<(usize, A::Reason)>, A::Failure> {
    let mut bad = Vec::new();
    let mut base = 0; // all good rows before it are stored and kept
    attempt.savepoint().await?;
    while let Some(FirstBad { index, reason, stored }) = first_bad(attempt, base, count).await? {
        bad.push((index, reason));
        // Most often it was the only one: what is left goes in one statement.
        let start = if stored { index } else { base };
        if attempt.store(start..count, Some(index)).await?.is_ok() {
            break;
        }
        attempt.undo().await?;
        attempt.store(base..index, None).await?.map_err(A::Failure::from)?; // was stored once already
        attempt.savepoint().await?;
        base = index + 1;
    }
    Ok(bad)
}

struct FirstBad<R> {
    index: usize,
    reason: R,
    /// Whether the rows from the base up to it are stored.
    stored: bool,
}

/// Finds the first bad row of `base..count`; `None` where there is none, and then all of them are stored.
async fn first_bad<A: Attempt>(
    attempt: &mut A,
    base: usize,
    count: usize,
) -> Result<Option<FirstBad<A::Reason>>, A::Failure> {
    let (mut low, mut high) = (base, count); // rows base..low are good, the first bad one is in low..high
    let mut stored = true; // rows base..low are stored
    let mut refused = None; // why base..high was refused
    while low < high {
        if high - low == 1
            && let Some(reason) = refused.take()
        {
            return Ok(Some(FirstBad { index: low, reason, stored }));
        }
        let middle = (low + ((high - low) * 382).div_ceil(1000)).min(high);
        let start = if stored { low } else { base };
        match attempt.store(start..middle, None).await? {
            Ok(()) => (low, stored) = (middle, true),
            Err(reason) => {
                attempt.undo().await?;
                (high, stored, refused) = (middle, low == base, Some(reason));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    /// Stands for a transaction over rows of which some are bad.
    #[derive(Default)]
    struct Rows {
        bad: BTreeSet<usize>,
        stored: Vec<usize>,
        kept: usize,
        statements: usize,
    }

    impl Attempt for Rows {
        type Failure = usize;
        type Reason = usize;

        async fn savepoint(&mut self) -> Result<(), usize> {
            self.statements += 1;
            self.kept = self.stored.len();
            Ok(())
        }

        async fn undo(&mut self) -> Result<(), usize> {
            self.statements += 1;
            self.stored.truncate(self.kept);
            Ok(())
        }

        async fn store(&mut self, rows: Range<usize>, but: Option<usize>) -> Result<Result<(), usize>, usize> {
            self.statements += 1;
            let first_bad = self.bad.range(rows.clone()).find(|row| Some(**row) != but);
            if let Some(row) = first_bad {
                return Ok(Err(*row));
            }
            self.stored.extend(rows.filter(|row| Some(*row) != but));
            Ok(Ok(()))
        }
    }

    fn run(count: usize, bad: BTreeSet<usize>) -> Rows {
        let mut rows = Rows { bad, ..Rows::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(store_all_but_bad(&mut rows, count)).unwrap();
        assert_eq!(found.iter().map(|(row, _)| *row).collect::<BTreeSet<_>>(), rows.bad);
        assert!(found.iter().all(|(row, reason)| row == reason), "each row has its own reason");
        rows.stored.sort_unstable(); // a row stored twice would show here
        assert_eq!(rows.stored, (0..count).filter(|row| !rows.bad.contains(row)).collect::<Vec<_>>());
        rows
    }

    #[test]
    fn one_bad_row_costs_at_most_twice_the_logarithm() {
        const ROLL_BACK_BEGIN_AND_STEP: usize = 3; // what the writer does before it searches
        for (count, allowed) in [(10_000, 26), (20_000, 28)] {
            let worst =
                (0..count).step_by(61).chain([count - 1]).map(|row| run(count, BTreeSet::from([row])).statements);
            let worst = worst.max().unwrap_or_default() + ROLL_BACK_BEGIN_AND_STEP;
            assert!(worst <= allowed, "{count} rows: {worst} statements, {allowed} allowed");
        }
    }

    proptest! {
        #[test]
        fn exactly_the_bad_rows_are_left_out(count in 1_usize..300, bad in prop::collection::btree_set(0_usize..300, 0..12)) {
            run(count, bad.into_iter().filter(|row| *row < count).collect());
        }
    }
}
