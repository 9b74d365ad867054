//! Pages that run over several symbols: sorted by symbol, then by time; the limit counts all records of a page together.

use std::ops::Range;

use market::{Position, Source, Symbol, Timeframe};

use crate::db::archived;
use crate::db::bars::{self, BarRow, Edge, Series};
use crate::db::gaps::{self, Outages};
use crate::db::trades::{self, Place, TradeRow};
use crate::db::{Order, Snapshot};
use crate::history::{self, Question};
use crate::params::Cursor;
use crate::problem::Problem;

/// What is asked of every symbol.
#[derive(Clone, Debug)]
pub struct Ask {
    /// In alphabetical order, each once.
    pub symbols: Vec<Symbol>,
    /// Who reported it.
    pub source: Source,
    /// Unix nanoseconds.
    pub range_ns: Range<i64>,
    /// Within a symbol.
    pub order: Order,
    /// Records in a page.
    pub limit: usize,
}

/// The records of one symbol in a page.
#[derive(Clone, Debug)]
pub struct Part<T> {
    /// Whose.
    pub symbol: Symbol,
    /// In the order that was asked for.
    pub records: Vec<T>,
    /// Where the symbol's records end now.
    pub edge: Option<Edge>,
}

/// One page.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// Symbols that have records in this page.
    pub parts: Vec<Part<T>>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<Cursor>,
    /// Whether no outage can have taken a record of this page.
    pub complete: bool,
    /// The latest moment that it answers for, in Unix nanoseconds.
    pub end_ns: i64,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { parts: Vec::new(), next: None, complete: true, end_ns: i64::MIN }
    }
}

impl Page<BarRow> {
    /// If nothing that is still to come belongs into the range that was asked for, takes the seam with the live stream away and says how long
    /// before the newest minute of any symbol the range ended, in milliseconds.
    pub fn close(&mut self, range_ns: &Range<i64>) -> Option<i64> {
        let newest_ms = self.parts.iter().map(|part| part.edge.map(|edge| edge.newest_ms)).min().flatten()?;
        let newest_ns = newest_ms.saturating_mul(market::NS_PER_MS);
        if range_ns.end == i64::MAX || range_ns.end.max(self.end_ns) > newest_ns {
            return None;
        }
        self.parts.iter_mut().for_each(|part| part.edge = None);
        Some((newest_ns - range_ns.end.max(self.end_ns)).div_euclid(market::NS_PER_MS))
    }
}

/// What was read of one symbol.
struct Read<T> {
    records: Vec<T>,
    more: bool,
    edge: Option<Edge>,
    span_ns: Range<i64>,
}

/// A page of bars after `cursor`.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn bars(
    snapshot: &Snapshot<'_>,
    ask: &Ask,
    timeframe: Timeframe,
    cursor: Option<&Cursor>,
) -> Result<Page<BarRow>, Problem> {
    let read = async |symbol: Symbol, limit: usize, cursor: Option<&Cursor>| {
        let series = Series { symbol, timeframe, source: ask.source.clone() };
        let range_ns = match cursor {
            Some(cursor) => history::after(ask.range_ns.clone(), cursor.ts_ns, ask.order),
            None => ask.range_ns.clone(),
        };
        let page = history::page(snapshot, &Question { series, range_ns, order: ask.order, limit }).await?;
        Ok(Read { records: page.bars, more: page.more, edge: page.edge, span_ns: page.span_ns })
    };
    let place = |symbol: Symbol, bar: &BarRow| Cursor { symbol, ts_ns: bar.start_ns(), detail: String::new() };
    let outages = gaps::unhealed(snapshot, &ask.source).await?;
    collect(ask, cursor, &outages, read, place).await
}

/// A page of trades after `cursor`.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn trades(snapshot: &Snapshot<'_>, ask: &Ask, cursor: Option<&Cursor>) -> Result<Page<TradeRow>, Problem> {
    let read = async |symbol: Symbol, limit: usize, cursor: Option<&Cursor>| {
        let edge = trades::edge(snapshot, &symbol, &ask.source).await?;
        let after = cursor.map(place_of);
        let (source, range_ns, order) = (&ask.source, &ask.range_ns, ask.order);
        let mut rows = archived::select(snapshot, &symbol, source, range_ns, after.as_ref(), order, limit + 1).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let span_ns = span(ask, after.as_ref(), rows.last().filter(|_| more));
        Ok(Read { records: rows, more, edge: edge.map(edge_of), span_ns })
    };
    let place = |symbol: Symbol, trade: &TradeRow| Cursor {
        symbol,
        ts_ns: trade.ts_ns,
        detail: format!("{}\u{1f}{}", trade.exchange, trade.trade_id),
    };
    let outages = gaps::unhealed(snapshot, &ask.source).await?;
    collect(ask, cursor, &outages, read, place).await
}

/// The newest minute of each symbol: a few statements, however many symbols there are.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn latest_bars(
    snapshot: &Snapshot<'_>,
    symbols: &[Symbol],
    source: &Source,
) -> Result<Page<BarRow>, Problem> {
    let (newest, edges, outages) = tokio::try_join!(
        bars::latest(snapshot, symbols, Timeframe::MINUTE, source),
        bars::edges(snapshot, symbols, Timeframe::MINUTE, source),
        gaps::unhealed(snapshot, source),
    )?;
    let mut page = Page::default();
    for (symbol, bar, _) in newest {
        page.complete &= outages.spare(&symbol, &(bar.start_ns()..i64::MAX));
        page.parts.push(Part { symbol, edge: edges.get(&symbol).copied(), records: vec![bar] });
    }
    Ok(page)
}

/// The newest trade of each symbol: a few statements, however many symbols there are.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn latest_trades(
    snapshot: &Snapshot<'_>,
    symbols: &[Symbol],
    source: &Source,
) -> Result<Page<TradeRow>, Problem> {
    let (mut newest, edges, outages) = tokio::try_join!(
        trades::latest(snapshot, symbols, source),
        trades::edges(snapshot, symbols, source),
        gaps::unhealed(snapshot, source),
    )?;
    let mut page = Page::default();
    for symbol in symbols {
        let trade = newest.remove(symbol);
        let since_ns = trade.as_ref().map_or(i64::MIN, |trade| trade.ts_ns);
        page.complete &= outages.spare(symbol, &(since_ns..i64::MAX));
        let edge = edges.get(symbol).copied().map(edge_of);
        page.parts.extend(trade.map(|trade| Part { symbol: *symbol, records: vec![trade], edge }));
    }
    Ok(page)
}

/// The part of the range that a page of trades answers for: from where the page before ended to where the next begins.
fn span(ask: &Ask, after: Option<&Place>, last: Option<&TradeRow>) -> Range<i64> {
    let (after, last) = (after.map(|place| place.ts_ns), last.map(|trade| trade.ts_ns));
    let (start, end) = (ask.range_ns.start, ask.range_ns.end);
    match ask.order {
        Order::Ascending => after.unwrap_or(start)..last.map_or(end, |ts_ns| ts_ns.saturating_add(1)),
        Order::Descending => last.unwrap_or(start)..after.map_or(end, |ts_ns| ts_ns.saturating_add(1)),
    }
}

fn edge_of((newest_ns, position): (i64, Option<Position>)) -> Edge {
    Edge { newest_ms: newest_ns.div_euclid(market::NS_PER_MS), position }
}

fn place_of(cursor: &Cursor) -> Place {
    let (exchange, trade_id) = cursor.detail.split_once('\u{1f}').unwrap_or_default();
    Place { ts_ns: cursor.ts_ns, exchange: exchange.to_owned(), trade_id: trade_id.to_owned() }
}

async fn collect<T>(
    ask: &Ask,
    cursor: Option<&Cursor>,
    outages: &Outages,
    read: impl AsyncFn(Symbol, usize, Option<&Cursor>) -> Result<Read<T>, Problem>,
    place: impl Fn(Symbol, &T) -> Cursor,
) -> Result<Page<T>, Problem> {
    let mut page = Page::default();
    let mut left = ask.limit;
    let begin = cursor.map_or(0, |cursor| ask.symbols.partition_point(|symbol| *symbol < cursor.symbol));
    for (at, &symbol) in ask.symbols.iter().enumerate().skip(begin) {
        let cursor = cursor.filter(|cursor| cursor.symbol == symbol);
        let Read { records, more, edge, span_ns } = read(symbol, left, cursor).await?;
        page.complete &= outages.spare(&symbol, &span_ns);
        page.end_ns = page.end_ns.max(span_ns.end);
        left = left.saturating_sub(records.len());
        let last = records.last().map(|record| place(symbol, record));
        if !records.is_empty() {
            page.parts.push(Part { symbol, records, edge });
        }
        let full = left == 0 && at + 1 < ask.symbols.len();
        if more || full {
            page.next = last;
            return Ok(page);
        }
    }
    Ok(page)
}
