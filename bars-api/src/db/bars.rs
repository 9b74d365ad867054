//! `stock_bars_staging`: one row per symbol, timeframe, start and source.

use std::collections::HashMap;
use std::ops::Range;

use deadpool_postgres::Client;
use futures_util::TryStreamExt as _;
use market::{NS_PER_MS, Position, Source, Symbol, Timeframe};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Order;
use crate::problem::Problem;

/// Bars that one statement should read at most: more of them go in several, so that memory stays bounded.
pub const CHUNK: usize = 50_000;

/// One bar as it is stored; its symbol, timeframe and source are known to whoever asked for it.
#[derive(Clone, Debug, PartialEq)]
pub struct BarRow {
    /// Start of the interval in Unix milliseconds.
    pub start_ms: i64,
    /// First price in dollars.
    pub open: f64,
    /// Highest price in dollars.
    pub high: f64,
    /// Lowest price in dollars.
    pub low: f64,
    /// Last price in dollars.
    pub close: f64,
    /// Shares.
    pub volume: f64,
    /// Number of trades, where the feed says so.
    pub trade_count: Option<i64>,
    /// Volume-weighted average price in dollars, where the feed says so.
    pub vwap: Option<f64>,
    /// Whether the interval is over.
    pub is_final: bool,
    /// Counts corrections.
    pub revision: i64,
}

impl BarRow {
    /// Start of the interval in Unix nanoseconds.
    #[must_use]
    pub fn start_ns(&self) -> i64 {
        self.start_ms.saturating_mul(NS_PER_MS)
    }

    /// A final minute, of no interest but for its start and revision.
    #[cfg(test)]
    pub(crate) fn any(start_ms: i64, revision: i64) -> Self {
        let (trade_count, vwap, is_final) = (None, None, true);
        Self {
            start_ms,
            open: 1.0,
            high: 1.0,
            low: 1.0,
            close: 1.0,
            volume: 1.0,
            trade_count,
            vwap,
            is_final,
            revision,
        }
    }

    fn read(row: &Row, first: usize) -> Self {
        Self {
            start_ms: row.get::<_, i64>(first).div_euclid(NS_PER_MS),
            open: row.get(first + 1),
            high: row.get(first + 2),
            low: row.get(first + 3),
            close: row.get(first + 4),
            volume: row.get(first + 5),
            trade_count: row.get(first + 6),
            vwap: row.get(first + 7),
            is_final: row.get(first + 8),
            revision: row.get(first + 9),
        }
    }
}

macro_rules! columns {
    () => {
        "ts_ns, open, high, low, close, volume, trade_count, vwap, is_final, revision"
    };
}

const OLDEST_FIRST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM market_data_oltp.stock_bars_staging
     WHERE symbol = $1 AND timeframe = $2 AND source = $3 AND ts_ns >= $4 AND ts_ns < $5
     ORDER BY ts_ns LIMIT $6"
);

const NEWEST_FIRST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM market_data_oltp.stock_bars_staging
     WHERE symbol = $1 AND timeframe = $2 AND source = $3 AND ts_ns >= $4 AND ts_ns < $5
     ORDER BY ts_ns DESC LIMIT $6"
);

/// Up to `limit` stored bars of one series that start within `range_ns` (Unix nanoseconds).
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn select(
    client: &Client,
    series: &Series,
    range_ns: &Range<i64>,
    order: Order,
    limit: usize,
) -> Result<Vec<BarRow>, Problem> {
    let sql = if order == Order::Ascending { OLDEST_FIRST } else { NEWEST_FIRST };
    let statement = client.prepare_cached(sql).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (symbol, timeframe, source) = (series.symbol.as_str(), series.timeframe.to_string(), series.source.as_str());
    let params: [&(dyn ToSql + Sync); 6] = [&symbol, &timeframe, &source, &range_ns.start, &range_ns.end, &limit];
    let rows = client.query_raw(&statement, params).await?;
    // Read as they come: the server finds the next ones meanwhile.
    Ok(rows.map_ok(|row| BarRow::read(&row, 0)).try_collect().await?)
}

/// The bars of one symbol and length from one feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// What was traded.
    pub symbol: Symbol,
    /// Length of the bars.
    pub timeframe: Timeframe,
    /// Who reported them.
    pub source: Source,
}

/// The newest end of one symbol's bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Start of the newest bar in Unix milliseconds.
    pub newest_ms: i64,
    /// Place of the newest record in the live stream, where its writer gave one.
    pub position: Option<Position>,
}

/// A correction of an older bar has a newer position than the newest bar has. Feeds correct the last minutes, a backfill the last
/// hours; where it reaches further back the position is too low until the next bar: a reader of the stream then meets a bar twice, never a hole.
const EDGE: &str = "SELECT ts_ns, epoch, seq FROM market_data_oltp.stock_bars_staging
     WHERE symbol = $1 AND timeframe = $2 AND source = $3
     ORDER BY ts_ns DESC LIMIT 128";

/// Where a series ends now; `None` where it is empty.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn edge(client: &Client, series: &Series) -> Result<Option<Edge>, Problem> {
    let statement = client.prepare_cached(EDGE).await?;
    let timeframe = series.timeframe.to_string();
    let rows = client.query(&statement, &[&series.symbol.as_str(), &timeframe, &series.source.as_str()]).await?;
    let position = rows.iter().filter_map(|row| position(row.get(1), row.get(2))).max();
    Ok(rows.first().map(|row| Edge { newest_ms: row.get::<_, i64>(0).div_euclid(NS_PER_MS), position }))
}

/// The same of many symbols: the newest start, and the highest place among the newest bars.
const EDGES: &str = "SELECT wanted.symbol, edge.* FROM unnest($1::text[]) AS wanted(symbol) CROSS JOIN LATERAL (
     SELECT max(ts_ns), (array_agg(epoch ORDER BY epoch DESC, seq DESC) FILTER (WHERE seq > 0))[1],
            (array_agg(seq ORDER BY epoch DESC, seq DESC) FILTER (WHERE seq > 0))[1]
     FROM (SELECT ts_ns, epoch, seq FROM market_data_oltp.stock_bars_staging AS stored
           WHERE stored.symbol = wanted.symbol AND timeframe = $2 AND source = $3
           ORDER BY ts_ns DESC LIMIT 128) AS newest
     HAVING count(*) > 0) AS edge";

/// Where the series of each of `symbols` ends now, if it has bars.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn edges(
    client: &Client,
    symbols: &[Symbol],
    timeframe: Timeframe,
    source: &Source,
) -> Result<HashMap<Symbol, Edge>, Problem> {
    let statement = client.prepare_cached(EDGES).await?;
    let names: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
    let rows = client.query(&statement, &[&names, &timeframe.to_string(), &source.as_str()]).await?;
    let read = |row: &Row| {
        let place: Option<(i64, i64)> = row.get::<_, Option<i64>>(2).zip(row.get(3));
        let position = place.and_then(|(epoch, seq)| position(epoch, seq));
        Some((
            Symbol::stored(row.get(0)).ok()?,
            Edge { newest_ms: row.get::<_, i64>(1).div_euclid(NS_PER_MS), position },
        ))
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// 0 means that the writer gave none.
pub(crate) fn position(epoch: i64, seq: i64) -> Option<Position> {
    let seq = u64::try_from(seq).ok().filter(|seq| *seq > 0)?;
    Some(Position { epoch, seq })
}

/// Whether any bar of `symbol` was ever stored.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn is_known(client: &Client, symbol: &Symbol) -> Result<bool, Problem> {
    let sql = "SELECT EXISTS (SELECT 1 FROM market_data_oltp.stock_bars_staging WHERE symbol = $1)";
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query_one(&statement, &[&symbol.as_str()]).await?.get(0))
}

/// `stock_bar_versions` lists every symbol that has bars, so that no scan has to find them.
const SYMBOLS: &str = "SELECT DISTINCT symbol FROM market_data_oltp.stock_bar_versions ORDER BY symbol LIMIT $1";

/// The first `limit` symbols that have bars, in alphabetical order.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn symbols(client: &Client, limit: usize) -> Result<Vec<Symbol>, Problem> {
    let statement = client.prepare_cached(SYMBOLS).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = client.query(&statement, &[&limit]).await?;
    Ok(rows.iter().filter_map(|row| Symbol::stored(row.get(0)).ok()).collect())
}

const LATEST: &str = concat!(
    "SELECT wanted.symbol, bar.* FROM unnest($1::text[]) AS wanted(symbol) CROSS JOIN LATERAL (SELECT ",
    columns!(),
    ", epoch, seq FROM market_data_oltp.stock_bars_staging AS stored
     WHERE stored.symbol = wanted.symbol AND timeframe = $2 AND source = $3
     ORDER BY ts_ns DESC LIMIT $4) AS bar"
);

/// A symbol, a bar of it, and the bar's place in the live stream.
pub type Latest = (Symbol, BarRow, Option<Position>);

/// The newest stored bar of each of `symbols` that has one.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn latest(
    client: &Client,
    symbols: &[Symbol],
    timeframe: Timeframe,
    source: &Source,
) -> Result<Vec<Latest>, Problem> {
    newest(client, symbols, timeframe, source, 1).await
}

/// The `count` newest stored bars of each of `symbols`, those of a symbol newest first.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn newest(
    client: &Client,
    symbols: &[Symbol],
    timeframe: Timeframe,
    source: &Source,
    count: i64,
) -> Result<Vec<Latest>, Problem> {
    let statement = client.prepare_cached(LATEST).await?;
    let names: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
    let rows = client.query(&statement, &[&names, &timeframe.to_string(), &source.as_str(), &count]).await?;
    let read =
        |row: &Row| Some((Symbol::stored(row.get(0)).ok()?, BarRow::read(row, 1), position(row.get(11), row.get(12))));
    Ok(rows.iter().filter_map(read).collect())
}

const SINCE: &str = concat!(
    "SELECT wanted.symbol, bar.* FROM unnest($1::text[], $2::bigint[]) AS wanted(symbol, begin_ns) CROSS JOIN LATERAL (SELECT ",
    columns!(),
    " FROM market_data_oltp.stock_bars_staging AS stored
     WHERE stored.symbol = wanted.symbol AND timeframe = $3 AND source = $4 AND stored.ts_ns >= wanted.begin_ns
     ORDER BY ts_ns) AS bar"
);

/// The stored bars of each symbol that start at its moment (Unix milliseconds) or later, those of a symbol oldest first.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn since(
    client: &Client,
    begins: &[(Symbol, i64)],
    timeframe: Timeframe,
    source: &Source,
) -> Result<Vec<(Symbol, BarRow)>, Problem> {
    let statement = client.prepare_cached(SINCE).await?;
    let names: Vec<&str> = begins.iter().map(|(symbol, _)| symbol.as_str()).collect();
    let begins_ns: Vec<i64> = begins.iter().map(|(_, ms)| ms.saturating_mul(NS_PER_MS)).collect();
    let rows = client.query(&statement, &[&names, &begins_ns, &timeframe.to_string(), &source.as_str()]).await?;
    Ok(rows.iter().filter_map(|row| Some((Symbol::stored(row.get(0)).ok()?, BarRow::read(row, 1)))).collect())
}
