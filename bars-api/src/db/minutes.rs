//! Minute bars that were read before, and which of them still stand.
//!
//! Charts ask for the newest thousand minutes of a symbol again and again while only the last one changes. Their writers say in the
//! transaction that changes minutes how far back it went ([`Changed`]), so that in the same snapshot as everything else only what can
//! have changed has to be read again.

use std::ops::Range;
use std::sync::Arc;

use super::bars::{self, BarRow, Series};
use super::versions::{self, Changed};
use super::{Order, Snapshot};
use crate::problem::Problem;
use crate::remembered::{Remembered, Weighed};

/// Minutes in the order in which they were asked for.
type Read = Arc<[BarRow]>;

/// A bounded memory of minutes, each list with the version of the symbol's minutes that it was read in.
#[derive(Debug)]
pub struct Minutes(Remembered<i64, Read>);

impl Minutes {
    /// A memory of at most `bytes_max` bytes; with 0 it keeps nothing.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self(Remembered::new(bytes_max))
    }
}

/// Keeps nothing.
impl Default for Minutes {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Weighed for Read {
    fn bytes(&self) -> usize {
        size_of_val::<[BarRow]>(self)
    }
}

/// The same as [`bars::select`] for the minutes `series`, reading only what is not known.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn select(
    snapshot: &Snapshot<'_>,
    series: &Series,
    range_ns: &Range<i64>,
    order: Order,
    limit: usize,
) -> Result<Vec<BarRow>, Problem> {
    let Some(changed) = versions::changed(snapshot, &series.symbol).await? else {
        return bars::select(snapshot, series, range_ns, order, limit).await;
    };
    let memory = &snapshot.minutes().0;
    let stored = async |range_ns| {
        let read = bars::select(snapshot, series, &range_ns, order, limit).await?;
        metrics::counter!("bars_api_minutes_total", "from" => "database").increment(read.len() as u64);
        Ok::<_, Problem>(read)
    };
    let key = format!("{}|{}|{range_ns:?}|{order:?}|{limit}", series.symbol, series.source);
    let held = memory.held(&key);
    let held_version = held.as_ref().map(|(version, _)| *version);
    let known = held.and_then(|(version, read)| Known::of(&changed, version, &read, limit));
    let put_together = match known {
        Some(known) => {
            let rest_ns = range_ns.start.max(known.before_ns)..range_ns.end;
            metrics::counter!("bars_api_minutes_total", "from" => "memory").increment(known.steady.len() as u64);
            let again = if rest_ns.is_empty() { Vec::new() } else { stored(rest_ns).await? };
            known.and(again, order, limit)
        }
        None => None,
    };
    let read = match put_together {
        Some(read) => read,
        None => stored(range_ns.clone()).await?,
    };
    if held_version != Some(changed.version) {
        memory.put(&key, changed.version, read.as_slice().into());
    }
    Ok(read)
}

fn steady(read: &[BarRow], before_ns: i64) -> Vec<BarRow> {
    read.iter().filter(|bar| bar.start_ns() < before_ns).cloned().collect()
}

/// What still stands of a list that was read before.
struct Known {
    /// Those that start before `before_ns`.
    steady: Vec<BarRow>,
    /// From here on (Unix nanoseconds) minutes may have changed.
    before_ns: i64,
    /// Whether the list was not cut at its limit: then no minute of the range is missing in `steady`.
    whole: bool,
}

impl Known {
    fn of(changed: &Changed, version: i64, read: &[BarRow], limit: usize) -> Option<Self> {
        let before_ns = changed.steady_before(version)?;
        Some(Self { steady: steady(read, before_ns), before_ns, whole: read.len() < limit })
    }

    /// Together with what was read `again` from `before_ns` on; `None` where minutes that were never read would be needed, too.
    fn and(mut self, mut again: Vec<BarRow>, order: Order, limit: usize) -> Option<Vec<BarRow>> {
        match order {
            Order::Ascending => {
                self.steady.append(&mut again);
                self.steady.truncate(limit);
                Some(self.steady)
            }
            Order::Descending => {
                again.append(&mut self.steady);
                let enough = self.whole || again.len() >= limit;
                again.truncate(limit);
                enough.then_some(again)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Start of each minute (in nanoseconds) and something about it that can change.
    type Table = BTreeMap<i64, u8>;

    fn select(table: &Table, range_ns: &Range<i64>, order: Order, limit: usize) -> Vec<BarRow> {
        let bar = |(start_ns, revision): (&i64, &u8)| BarRow::any(start_ns / 1_000_000, i64::from(*revision));
        if range_ns.is_empty() {
            return Vec::new();
        }
        let found = table.range(range_ns.clone());
        match order {
            Order::Ascending => found.take(limit).map(bar).collect(),
            Order::Descending => found.rev().take(limit).map(bar).collect(),
        }
    }

    fn tables() -> impl Strategy<Value = Table> {
        proptest::collection::btree_map((0..30_i64).prop_map(|minute| minute * 60_000_000_000), 0..4_u8, 0..25)
    }

    proptest! {
        #[test]
        fn what_is_put_together_is_what_reading_everything_gives(
            before in tables(),
            other in tables(),
            from in 0..31_i64,
            range in (0..31_i64, 0..31_i64),
            newest_first: bool,
            limit in 1..12_usize,
        ) {
            let [from_ns, start_ns, end_ns] = [from, range.0, range.1].map(|minute| minute * 60_000_000_000);
            let (range_ns, order) = (start_ns..end_ns, if newest_first { Order::Descending } else { Order::Ascending });
            let mut after = before.clone();
            after.retain(|start_ns, _| *start_ns < from_ns);
            after.extend(other.into_iter().filter(|(start_ns, _)| *start_ns >= from_ns));

            let read = select(&before, &range_ns, order, limit);
            let known = Known { steady: steady(&read, from_ns), before_ns: from_ns, whole: read.len() < limit };
            let again = select(&after, &(start_ns.max(from_ns)..end_ns), order, limit);
            let whole = known.whole;
            match known.and(again, order, limit) {
                Some(put_together) => prop_assert_eq!(put_together, select(&after, &range_ns, order, limit)),
                None => prop_assert!(newest_first && !whole, "nothing else needs minutes that were never read"),
            }
        }
    }
}
