//! Of what an answer was made: `stock_bar_versions` has a number per symbol and timeframe that every commit of its bars raises, in the
//! same transaction; the outages that are not healed are few enough to be compared as they are.

use std::cmp::Ordering;

use deadpool_postgres::Client;
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

/// The version of an answer's data: answers of equal versions are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Has grown if, and only if, a bar in scope was committed: versions only ever grow, so their sum does too.
    pub bars: i64,
    /// Stands for the outages that are not healed; when one opens, closes or heals it is another number.
    pub gaps: i64,
}

/// Of more bars is later; the same bars with other outages are neither earlier nor later.
impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self == other {
            Some(Ordering::Equal)
        } else {
            Some(self.bars.cmp(&other.bars)).filter(|order| order.is_ne())
        }
    }
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
pub async fn version(client: &Client, scope: &Scope) -> Result<Option<Version>, Problem> {
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

/// What the writers of a symbol's minutes said last about how far back their changes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Version of the minutes.
    pub version: i64,
    /// Of which earlier version something is known, if any is.
    since: Option<i64>,
    /// Start of the oldest minute that has changed since, in Unix nanoseconds.
    from_ns: i64,
}

impl Changed {
    /// The moment (Unix nanoseconds) before which every minute is as it was in `version`; `None` where nobody knows.
    #[must_use]
    pub fn steady_before(&self, version: i64) -> Option<i64> {
        if version == self.version {
            return Some(i64::MAX);
        }
        self.since.filter(|since| (*since..self.version).contains(&version)).map(|_| self.from_ns)
    }
}

const CHANGED: &str = "SELECT version, CASE WHEN steady_until = version THEN steady_since END, changed_from_ns
     FROM market_data_oltp.stock_bar_versions WHERE symbol = $1 AND timeframe = '1Min'";

/// What has changed of a symbol's minutes; `None` where it never had one.
///
/// # Errors
/// 503 where the database cannot answer.
pub async fn changed(client: &Client, symbol: &Symbol) -> Result<Option<Changed>, Problem> {
    let statement = client.prepare_cached(CHANGED).await?;
    let row = client.query_opt(&statement, &[&symbol.as_str()]).await?;
    Ok(row.map(|row| Changed { version: row.get(0), since: row.get(1), from_ns: row.get(2) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_writers_speak_of_is_known_to_be_steady() {
        let changed = Changed { version: 20, since: Some(15), from_ns: 700 };
        let known = [14, 15, 19, 20, 21].map(|version| changed.steady_before(version));
        assert_eq!(known, [None, Some(700), Some(700), Some(i64::MAX), None]);
        assert_eq!(Changed { since: None, ..changed }.steady_before(19), None);
    }

    #[test]
    fn versions_of_other_outages_have_no_order() {
        let version = |bars, gaps| Version { bars, gaps };
        assert!(version(2, 1) > version(1, 9));
        assert_eq!(version(2, 1).partial_cmp(&version(2, 3)), None);
        assert_eq!(version(2, 1).partial_cmp(&version(2, 1)), Some(Ordering::Equal));
    }
}
