//! Of what an answer was made: `stock_bar_versions` has a number per symbol and timeframe that every commit of its bars raises, in the
//! same transaction; the outages that are not healed are few enough to be compared as they are.

use deadpool_postgres::GenericClient;
use market::Symbol;

use crate::problem::Problem;

/// Whose bars an answer is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// These symbols.
    Symbols(Vec<Symbol>),
    /// Every symbol.
    All,
}

/// What an answer was made of: of equal versions the answers are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Has grown if, and only if, a bar in scope was committed: versions only ever grow, so their sum does too.
    pub bars: i64,
    /// Stands for the outages that are not healed; when one opens, closes or heals it is another number.
    pub gaps: i64,
}

/// Versions start from a clock (microseconds); without its first decades the sum of any number of symbols fits 64 bits. No writer can
/// forget to raise the second number: it is made of the outages themselves.
macro_rules! version {
    () => {
        "SELECT sum(version - 1600000000000000)::bigint, (
             SELECT coalesce(bit_xor(hash_record_extended(ROW(source, symbol, started_at, ended_at), 0)), 0)
             FROM market_data_oltp.stock_feed_gaps WHERE healed_at IS NULL
         ) FROM market_data_oltp.stock_bar_versions"
    };
}

const OF_ONE: &str = concat!(version!(), " WHERE symbol = $1");
const OF_THESE: &str = concat!(version!(), " WHERE symbol = ANY($1)");
const OF_ALL: &str = version!();

/// The version now; `None` where no bar in `scope` was ever stored.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn version(client: &impl GenericClient, scope: &Scope) -> Result<Option<Version>, Problem> {
    let row = match scope {
        Scope::Symbols(symbols) if symbols.len() == 1 => {
            let statement = client.prepare_cached(OF_ONE).await?;
            client.query_one(&statement, &[&symbols[0].as_str()]).await?
        }
        Scope::Symbols(symbols) => {
            let names: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
            let statement = client.prepare_cached(OF_THESE).await?;
            client.query_one(&statement, &[&names]).await?
        }
        Scope::All => {
            let statement = client.prepare_cached(OF_ALL).await?;
            client.query_one(&statement, &[]).await?
        }
    };
    Ok(row.get::<_, Option<i64>>(0).map(|bars| Version { bars, gaps: row.get(1) }))
}
