//! `stock_feed_gaps`: one row per outage of a feed.

use std::ops::Range;

use deadpool_postgres::Client;
use market::{NS_PER_MS, Source, Symbol};
use tokio_postgres::Row;

use crate::problem::Problem;

/// What an outage of all symbols has in place of a symbol.
const ALL: &str = "*";

/// One outage as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapRow {
    /// The symbol it concerns, `*` for all.
    pub symbol: String,
    /// From here on records may be missing, in Unix milliseconds.
    pub from_ms: i64,
    /// Until then; `None` while it lasts.
    pub to_ms: Option<i64>,
    /// Why, for people.
    pub cause: String,
    /// When its records had been fetched, by the wall clock; `None` until then.
    pub healed_ms: Option<i64>,
    /// Trades that the history has for it; `None` until it is healed.
    pub records: Option<i64>,
    /// Trades that the stream delivered around it and the history lacks.
    pub unknown: Option<i64>,
    /// When a second reading of the history agreed, by the wall clock.
    pub verified_ms: Option<i64>,
    /// Why it could not be healed so far, for people.
    pub reason: Option<String>,
    /// How often that was tried in vain.
    pub attempts: i64,
}

impl GapRow {
    fn read(row: &Row) -> Self {
        let ms = |at| row.get::<_, Option<i64>>(at).map(|ns| ns.div_euclid(NS_PER_MS));
        Self {
            symbol: row.get(0),
            from_ms: ms(1).unwrap_or_default(),
            to_ms: ms(2),
            cause: row.get(3),
            healed_ms: ms(4),
            records: row.get(5),
            unknown: row.get(6),
            verified_ms: ms(7),
            reason: row.get(8),
            attempts: row.get(9),
        }
    }
}

/// What the outages of one symbol are asked for.
#[derive(Clone, Debug)]
pub struct GapQuestion {
    /// Whose; outages of all symbols concern it too.
    pub symbol: Symbol,
    /// The feed that was out.
    pub source: Source,
    /// Outages that touch this stretch, in Unix nanoseconds.
    pub range_ns: Range<i64>,
    /// Start in Unix nanoseconds and symbol of the last outage of the page before.
    pub after: Option<(i64, String)>,
    /// Most outages in the answer.
    pub limit: usize,
}

/// The table has one row an outage, so its key's first columns narrow it enough.
const SELECT: &str = "SELECT symbol, market_data_oltp.ns(started_at), market_data_oltp.ns(ended_at), cause, market_data_oltp.ns(healed_at),
            records, unknown, market_data_oltp.ns(verified_at), reason, attempts
     FROM market_data_oltp.stock_feed_gaps
     WHERE source = $1 AND symbol IN ($2, '*')
       AND market_data_oltp.ns(started_at) < $4 AND (ended_at IS NULL OR market_data_oltp.ns(ended_at) > $3)
       AND ($5::bigint IS NULL OR (market_data_oltp.ns(started_at), symbol COLLATE \"C\") > ($5, $6))
     ORDER BY started_at, symbol COLLATE \"C\" LIMIT $7";

/// Outages, oldest first.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn select(client: &Client, question: &GapQuestion) -> Result<Vec<GapRow>, Problem> {
    let statement = client.prepare_cached(SELECT).await?;
    let (after_ns, after_symbol) = question.after.clone().unzip();
    let limit = i64::try_from(question.limit).unwrap_or(i64::MAX);
    let (source, symbol) = (question.source.as_str(), question.symbol.as_str());
    let (start, end) = (question.range_ns.start, question.range_ns.end);
    let rows = client.query(&statement, &[&source, &symbol, &start, &end, &after_ns, &after_symbol, &limit]).await?;
    Ok(rows.iter().map(GapRow::read).collect())
}

/// The outages of a feed whose records have not been fetched: few, because most are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outages(Vec<(String, Range<i64>)>);

impl Outages {
    /// Whether nothing of `symbol` can be missing in a stretch of time (Unix nanoseconds).
    #[must_use]
    pub fn spare(&self, symbol: &Symbol, span_ns: &Range<i64>) -> bool {
        let concerns = |name: &str| name == ALL || name == symbol.as_str();
        let touches = |range: &Range<i64>| range.start < span_ns.end && range.end > span_ns.start;
        !self.0.iter().any(|(name, range)| concerns(name) && touches(range))
    }
}

const UNHEALED: &str = "SELECT symbol, market_data_oltp.ns(started_at), market_data_oltp.ns(ended_at)
     FROM market_data_oltp.stock_feed_gaps WHERE source = $1 AND healed_at IS NULL";

/// All outages of `source` that are not healed.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn unhealed(client: &Client, source: &Source) -> Result<Outages, Problem> {
    let statement = client.prepare_cached(UNHEALED).await?;
    let rows = client.query(&statement, &[&source.as_str()]).await?;
    let range = |row: &Row| row.get(1)..row.get::<_, Option<i64>>(2).unwrap_or(i64::MAX);
    Ok(Outages(rows.iter().map(|row| (row.get(0), range(row))).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_concerns_its_own_symbol_or_all_and_what_lies_within_it() {
        let symbol = |name| Symbol::new(name).unwrap();
        let outages = Outages(vec![("MSFT".to_owned(), 10..20), ("*".to_owned(), 50..i64::MAX)]);
        assert!(outages.spare(&symbol("AAPL"), &(0..50)));
        assert!(!outages.spare(&symbol("MSFT"), &(0..11)));
        assert!(outages.spare(&symbol("MSFT"), &(0..10)) && outages.spare(&symbol("MSFT"), &(20..50)));
        assert!(
            !outages.spare(&symbol("AAPL"), &(0..51)) && !outages.spare(&symbol("AAPL"), &(i64::MAX - 1..i64::MAX))
        );
    }
}
