//! `stock_bar_versions`: a number per symbol and timeframe that every commit of its bars raises, in the same transaction.

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

/// Versions start from a clock (microseconds); without its first decades the sum of any number of symbols fits 64 bits.
macro_rules! sum_of_versions {
    () => {
        "SELECT sum(version - 1600000000000000)::bigint FROM market_data_oltp.stock_bar_versions"
    };
}

const OF_ONE: &str = concat!(sum_of_versions!(), " WHERE symbol = $1");
const OF_THESE: &str = concat!(sum_of_versions!(), " WHERE symbol = ANY($1)");
const OF_ALL: &str = sum_of_versions!();

/// A number that has grown if, and only if, a bar in `scope` was committed: versions only ever grow, so their sum does too.
/// `None` where nothing was ever stored.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn version(client: &impl GenericClient, scope: &Scope) -> Result<Option<i64>, Problem> {
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
    Ok(row.get(0))
}
