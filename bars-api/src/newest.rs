//! The newest bar of many symbols at once, from what is stored.

use std::collections::HashMap;

use market::{MS_PER_MINUTE, Source, Symbol, Timeframe};

use crate::db::bars::{self, BarRow, Edge};
use crate::db::{Order, Snapshot};
use crate::problem::Problem;
use crate::roll_up::{self, RollUp};

/// A symbol, its newest bar, and where its minutes end.
pub type Newest = (Symbol, BarRow, Option<Edge>);

/// The newest bar of each of `symbols` that has one: a few statements, however many symbols there are.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn of_each(
    snapshot: &Snapshot<'_>,
    symbols: &[Symbol],
    timeframe: Timeframe,
    source: &Source,
) -> Result<Vec<Newest>, Problem> {
    let stored = async |timeframe| bars::latest(snapshot, symbols, timeframe, source).await;
    let (minutes, own) = if timeframe == Timeframe::MINUTE {
        let minutes = stored(timeframe).await?;
        (minutes.clone(), minutes)
    } else {
        tokio::try_join!(stored(Timeframe::MINUTE), stored(timeframe))?
    };
    let edges = minutes.into_iter().map(|(symbol, bar, position)| (symbol, Edge { newest_ms: bar.start_ms, position }));
    let edges: HashMap<Symbol, Edge> = edges.collect();
    let mut newest: HashMap<Symbol, BarRow> = own.into_iter().map(|(symbol, bar, _)| (symbol, bar)).collect();
    let parts = roll_up::parts_of(timeframe);
    if parts != timeframe {
        let last_parts = stored(parts).await?;
        let begins = last_parts.iter().map(|(symbol, part, _)| (*symbol, timeframe.start_of(part.start_ms)));
        let begins: Vec<_> = begins.collect();
        for some in begins.chunks(bars::CHUNK.div_ceil(roll_up::parts_in(timeframe))) {
            let parts = bars::since(snapshot, some, parts, source).await?;
            for (symbol, rolled) in rolled(parts, timeframe, &edges) {
                // A bar that the feed sent itself stands where there are no parts of a later one.
                if newest.get(&symbol).is_none_or(|own| own.start_ms <= rolled.start_ms) {
                    newest.insert(symbol, rolled);
                }
            }
        }
    }
    let of = |symbol: &Symbol| Some((*symbol, newest.get(symbol)?.clone(), edges.get(symbol).copied()));
    Ok(symbols.iter().filter_map(of).collect())
}

/// One bar of `timeframe` for each symbol, made of its `parts`, which are in order of time.
fn rolled(
    parts: Vec<(Symbol, BarRow)>,
    timeframe: Timeframe,
    edges: &HashMap<Symbol, Edge>,
) -> impl Iterator<Item = (Symbol, BarRow)> {
    let mut rolls: HashMap<Symbol, RollUp> = HashMap::new();
    for (symbol, part) in parts {
        // Without minutes nothing says that the bar is over.
        let known_until_ms = edges.get(&symbol).map_or(i64::MIN, |edge| edge.newest_ms.saturating_add(MS_PER_MINUTE));
        let roll = rolls.entry(symbol);
        roll.or_insert_with(|| RollUp::new(timeframe, Order::Ascending, 1, known_until_ms)).push(&part);
    }
    rolls.into_iter().filter_map(|(symbol, roll)| Some((symbol, roll.finish().0.pop()?)))
}
