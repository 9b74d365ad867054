//! Trades of archived days beside those of the table.
//!
//! `consumer-trades` publishes a day's file before it detaches the day's partition, in an order that leaves the day in at least one of the two
//! places. So the table is read first, then the files, and a trade that is in both counts once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use archive::{Archive, ArchivedDay, ArchivedTrade};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use market::{Source, Symbol};

use super::trades::{self, Place, TradeRow};
use super::{Order, Snapshot};
use crate::problem::Problem;

/// Days whose index is kept in memory: about 1 MiB each for a whole market.
const INDEXES_MAX: usize = 64;

/// The archive as the API reads it.
#[derive(Debug)]
pub struct ArchivedTrades {
    archive: Archive,
    indexes: Mutex<BTreeMap<Date, ArchivedDay>>,
}

impl ArchivedTrades {
    /// Reads the archive in `folder`.
    ///
    /// # Errors
    /// If there is no such folder and none can be created.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self { archive: Archive::in_folder(folder)?, indexes: Mutex::default() })
    }

    async fn open(&self, day: Date) -> Result<Option<ArchivedDay>, archive::Error> {
        let known = self.indexes.lock().unwrap_or_else(PoisonError::into_inner).get(&day).cloned();
        let opened = self.archive.reopen(day, known).await?;
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        match &opened {
            Some(archived) => indexes.insert(day, archived.clone()),
            None => indexes.remove(&day),
        };
        while indexes.len() > INDEXES_MAX {
            indexes.pop_first();
        }
        Ok(opened)
    }

    /// Up to `limit` trades of one day that hold, in the given order, after `after`.
    async fn of_day(&self, archived: &ArchivedDay, wanted: &Wanted<'_>) -> Result<Vec<TradeRow>, archive::Error> {
        let mut groups = Archive::groups_of(archived, wanted.symbol.as_str(), wanted.range_ns);
        if wanted.order == Order::Descending {
            groups.reverse();
        }
        let mut found = Vec::new();
        for group in groups {
            let mut trades = self.archive.group(archived, group).await?;
            trades.retain(|trade| wanted.takes(trade));
            let mut rows: Vec<TradeRow> = trades.into_iter().map(row).collect();
            rows.retain(|row| wanted.is_after(row));
            if wanted.order == Order::Descending {
                rows.reverse();
            }
            found.append(&mut rows);
            if found.len() >= wanted.limit {
                break;
            }
        }
        found.truncate(wanted.limit);
        Ok(found)
    }
}

/// What is asked for.
struct Wanted<'a> {
    symbol: &'a Symbol,
    source: &'a Source,
    range_ns: &'a Range<i64>,
    after: Option<&'a Place>,
    order: Order,
    limit: usize,
}

impl Wanted<'_> {
    fn takes(&self, trade: &ArchivedTrade) -> bool {
        trade.symbol == self.symbol.as_str()
            && trade.source == self.source.as_str()
            && self.range_ns.contains(&trade.ts_ns)
            && trade.void_at_us.is_none()
    }

    fn is_after(&self, row: &TradeRow) -> bool {
        self.after.is_none_or(|place| match self.order {
            Order::Ascending => row.place() > *place,
            Order::Descending => row.place() < *place,
        })
    }

    /// The UTC days of the range from the first that may count, in order.
    fn days(&self, oldest: Date) -> impl Iterator<Item = Date> + use<> {
        let after_ns = self.after.map(|place| place.ts_ns);
        let (start_ns, end_ns) = match self.order {
            Order::Ascending => (after_ns.unwrap_or(self.range_ns.start), self.range_ns.end),
            Order::Descending => (self.range_ns.start, after_ns.map_or(self.range_ns.end, |ns| ns.saturating_add(1))),
        };
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let first = day_of(start_ns).max(oldest);
        let last = day_of(end_ns.saturating_sub(1)).min(today);
        let backwards = self.order == Order::Descending;
        let (mut next, step) = if backwards { (Some(last), -1) } else { (Some(first), 1) };
        std::iter::from_fn(move || {
            let day = next.filter(|day| (first..=last).contains(day))?;
            next = day.checked_add(jiff::Span::new().days(step)).ok();
            Some(day)
        })
    }
}

/// The UTC day of a moment in Unix nanoseconds; every `i64` is within the calendar.
fn day_of(ts_ns: i64) -> Date {
    Timestamp::from_nanosecond(i128::from(ts_ns)).map_or(Date::MAX, |moment| moment.to_zoned(TimeZone::UTC).date())
}

fn row(trade: ArchivedTrade) -> TradeRow {
    TradeRow {
        ts_ns: trade.ts_ns,
        price: trade.price,
        size: trade.size,
        exchange: trade.exchange.into_string(),
        trade_id: trade.trade_id.into_string(),
        conditions: trade.conditions.map(Into::into),
        tape: trade.tape.map(Into::into),
    }
}

/// As [`trades::select`], from the table and the archive together.
///
/// # Errors
/// 503 if the database or the archive cannot answer.
pub async fn select(
    snapshot: &Snapshot<'_>,
    symbol: &Symbol,
    source: &Source,
    range_ns: &Range<i64>,
    after: Option<&Place>,
    order: Order,
    limit: usize,
) -> Result<Vec<TradeRow>, Problem> {
    let stored = trades::select(snapshot, symbol, source, range_ns, after, order, limit).await?;
    let Some(archived) = snapshot.archive() else { return Ok(stored) };
    let oldest = snapshot.query_one("SELECT min(day) FROM market_data_oltp.archived_days", &[]).await?;
    let Some(oldest) = oldest.get::<_, Option<Date>>(0) else { return Ok(stored) };
    let wanted = Wanted { symbol, source, range_ns, after, order, limit };
    // Beyond the last row of a full page of the table nothing of the archive fits in.
    let far_end = stored.last().filter(|_| stored.len() >= limit).map(|row| day_of(row.ts_ns));
    let mut past = Vec::new();
    for day in wanted.days(oldest) {
        let beyond = far_end.is_some_and(|end| if order == Order::Ascending { day > end } else { day < end });
        if beyond || past.len() >= limit {
            break;
        }
        let found = async {
            let Some(archived_day) = archived.open(day).await? else { return Ok(Vec::new()) };
            archived.of_day(&archived_day, &wanted).await
        };
        let found = found.await.map_err(|error: archive::Error| {
            tracing::warn!(%day, "cannot read the archive: {error}");
            Problem::unavailable(format!("the archived trades of {day} cannot be read now"))
        })?;
        if !found.is_empty() && !restored(snapshot, day).await? {
            past.extend(found);
        }
    }
    Ok(merge(stored, past, order, limit))
}

/// Whether a day is back in the table, which then says more than the file: corrections may have come since.
async fn restored(snapshot: &Snapshot<'_>, day: Date) -> Result<bool, Problem> {
    let sql = "SELECT EXISTS (SELECT FROM market_data_oltp.archived_days WHERE day = $1 AND restored_at IS NOT NULL)";
    Ok(snapshot.query_one(sql, &[&day]).await?.get(0))
}

/// Two lists in order to one; a trade that is in both is taken once.
fn merge(stored: Vec<TradeRow>, past: Vec<TradeRow>, order: Order, limit: usize) -> Vec<TradeRow> {
    if past.is_empty() {
        return stored;
    }
    let mut all: Vec<TradeRow> = stored.into_iter().chain(past).collect();
    all.sort_by(|a, b| {
        let ascending = a.place().cmp(&b.place());
        if order == Order::Ascending { ascending } else { ascending.reverse() }
    });
    all.dedup_by(|a, b| a.place() == b.place());
    all.truncate(limit);
    all
}
