//! `stock_trades_realtime`: every trade once, partitioned by UTC day.

use std::collections::HashMap;
use std::ops::Range;

use deadpool_postgres::Client;
use market::{Position, Source, Symbol};
use tokio_postgres::Row;

use super::Order;
use crate::db::bars::position;
use crate::problem::Problem;

/// One trade as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct TradeRow {
    /// Exchange time in Unix nanoseconds.
    pub ts_ns: i64,
    /// Dollars.
    pub price: f64,
    /// Shares.
    pub size: f64,
    /// Exchange code; empty where the feed gave none.
    pub exchange: String,
    /// The exchange's id of the trade.
    pub trade_id: String,
    /// Sale conditions in the feed's order, separated by commas.
    pub conditions: Option<String>,
    /// `A` NYSE, `B` regional, `C` Nasdaq, `O` OTC, `N` overnight.
    pub tape: Option<String>,
}

impl TradeRow {
    fn read(row: &Row) -> Self {
        Self {
            ts_ns: row.get(0),
            price: row.get(1),
            size: row.get(2),
            exchange: row.get(3),
            trade_id: row.get(4),
            conditions: row.get(5),
            tape: row.get(6),
        }
    }

    /// The trade's place among all trades of its symbol: time first, then what tells trades of one time apart.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { ts_ns: self.ts_ns, exchange: self.exchange.clone(), trade_id: self.trade_id.clone() }
    }
}

/// Where a page of trades ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Exchange time in Unix nanoseconds.
    pub ts_ns: i64,
    /// Exchange code.
    pub exchange: String,
    /// The exchange's id.
    pub trade_id: String,
}

macro_rules! select {
    ($place:literal, $order:literal) => {
        concat!(
            "SELECT ts_ns, price, size, exchange, trade_id, conditions, tape FROM market_data_oltp.stock_trades_realtime
             WHERE symbol = $1 AND source = $2 AND ts_ns >= $3 AND ts_ns < $4 AND void_at IS NULL ",
            $place,
            " ORDER BY ",
            $order,
            " LIMIT $5"
        )
    };
}

const OLDEST_FIRST: &str = select!("", "ts_ns, exchange, trade_id");
const NEWEST_FIRST: &str = select!("", "ts_ns DESC, exchange DESC, trade_id DESC");
const OLDEST_AFTER: &str = select!("AND (ts_ns, exchange, trade_id) > ($6, $7, $8)", "ts_ns, exchange, trade_id");
const NEWEST_BEFORE: &str =
    select!("AND (ts_ns, exchange, trade_id) < ($6, $7, $8)", "ts_ns DESC, exchange DESC, trade_id DESC");

/// Up to `limit` trades of a symbol that hold within `range_ns` (Unix nanoseconds) that come after `after` in the given order.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn select(
    client: &Client,
    symbol: &Symbol,
    source: &Source,
    range_ns: &Range<i64>,
    after: Option<&Place>,
    order: Order,
    limit: usize,
) -> Result<Vec<TradeRow>, Problem> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (symbol, source) = (symbol.as_str(), source.as_str());
    let rows = match after {
        None => {
            let sql = if order == Order::Ascending { OLDEST_FIRST } else { NEWEST_FIRST };
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, &[&symbol, &source, &range_ns.start, &range_ns.end, &limit]).await?
        }
        Some(place) => {
            // The bound on time alone repeats what the place says, because only it lets days be skipped.
            let (sql, start, end) = match order {
                Order::Ascending => (OLDEST_AFTER, place.ts_ns.max(range_ns.start), range_ns.end),
                Order::Descending => (NEWEST_BEFORE, range_ns.start, place.ts_ns.saturating_add(1).min(range_ns.end)),
            };
            let statement = client.prepare_cached(sql).await?;
            let (ts_ns, exchange, trade_id) = (place.ts_ns, &place.exchange, &place.trade_id);
            client.query(&statement, &[&symbol, &source, &start, &end, &limit, &ts_ns, exchange, trade_id]).await?
        }
    };
    Ok(rows.iter().map(TradeRow::read).collect())
}

const LATEST: &str = "SELECT trade.*, wanted.symbol FROM unnest($1::text[]) AS wanted(symbol) CROSS JOIN LATERAL (
     SELECT ts_ns, price, size, exchange, trade_id, conditions, tape FROM market_data_oltp.stock_trades_realtime AS stored
     WHERE stored.symbol = wanted.symbol AND source = $2 AND void_at IS NULL
     ORDER BY ts_ns DESC, exchange DESC, trade_id DESC LIMIT 1) AS trade";

/// The newest trade that holds of each of `symbols`, if it has one.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn latest(
    client: &Client,
    symbols: &[Symbol],
    source: &Source,
) -> Result<HashMap<Symbol, TradeRow>, Problem> {
    let statement = client.prepare_cached(LATEST).await?;
    let names: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
    let rows = client.query(&statement, &[&names, &source.as_str()]).await?;
    Ok(rows.iter().filter_map(|row| Some((Symbol::stored(row.get(7)).ok()?, TradeRow::read(row)))).collect())
}

const EDGES: &str = "SELECT wanted.symbol, edge.* FROM unnest($1::text[]) AS wanted(symbol) CROSS JOIN LATERAL (
     SELECT max(ts_ns), (array_agg(epoch ORDER BY epoch DESC, seq DESC) FILTER (WHERE seq > 0))[1],
            (array_agg(seq ORDER BY epoch DESC, seq DESC) FILTER (WHERE seq > 0))[1]
     FROM (SELECT ts_ns, epoch, seq FROM market_data_oltp.stock_trades_realtime AS stored
           WHERE stored.symbol = wanted.symbol AND source = $2 ORDER BY ts_ns DESC LIMIT 128) AS newest
     HAVING count(*) > 0) AS edge";

/// The same as [`edge`] of many symbols.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn edges(
    client: &Client,
    symbols: &[Symbol],
    source: &Source,
) -> Result<HashMap<Symbol, (i64, Option<Position>)>, Problem> {
    let statement = client.prepare_cached(EDGES).await?;
    let names: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
    let rows = client.query(&statement, &[&names, &source.as_str()]).await?;
    let read = |row: &Row| {
        let place: Option<(i64, i64)> = row.get::<_, Option<i64>>(2).zip(row.get(3));
        Some((Symbol::stored(row.get(0)).ok()?, (row.get(1), place.and_then(|(epoch, seq)| position(epoch, seq)))))
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// Void trades count here: they were records of the stream. Feeds report trades up to a quarter of an hour late, so the newest record is not always the newest trade.
const EDGE: &str = "SELECT ts_ns, epoch, seq FROM market_data_oltp.stock_trades_realtime
     WHERE symbol = $1 AND source = $2 ORDER BY ts_ns DESC LIMIT 128";

/// Time of the newest trade in Unix nanoseconds, and the place of the newest record in the live stream.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn edge(
    client: &Client,
    symbol: &Symbol,
    source: &Source,
) -> Result<Option<(i64, Option<Position>)>, Problem> {
    let statement = client.prepare_cached(EDGE).await?;
    let rows = client.query(&statement, &[&symbol.as_str(), &source.as_str()]).await?;
    let at = |row: &Row| {
        let (epoch, seq): (Option<i64>, Option<i64>) = (row.get(1), row.get(2));
        position(epoch?, seq?)
    };
    Ok(rows.first().map(|row| (row.get(0), rows.iter().filter_map(at).max())))
}
