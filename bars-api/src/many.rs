//! Pages that run over several symbols: sorted by symbol, then by time; the limit counts all records of a page together.

use std::ops::Range;

use market::{Position, Source, Symbol, Timeframe};

use crate::db::bars::{BarRow, Edge, Series};
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
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { parts: Vec::new(), next: None, complete: true }
    }
}

impl<T> Page<T> {
    /// Takes in the last page of further symbols.
    pub fn join(&mut self, other: Self) {
        self.parts.extend(other.parts);
        self.complete &= other.complete;
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
        let mut rows = trades::select(snapshot, &symbol, source, range_ns, after.as_ref(), order, limit + 1).await?;
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
