//! The outages that explain what is missing.

use anyhow::Context as _;
use jiff::Timestamp;
use tokio_postgres::types::Type;

use super::MINUTE_NS;
use crate::connection::{Connection, Parameter};

/// An outage as PostgreSQL has it. Times are Unix nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    symbol: String,
    from_ns: i64,
    /// `None` while it lasts.
    to_ns: Option<i64>,
    cause: String,
    pub(crate) healed: bool,
}

impl Outage {
    /// Whether it touches this symbol and minute.
    fn touches(&self, symbol: &str, minute_ns: i64) -> bool {
        let of_symbol = self.symbol == "*" || self.symbol == symbol;
        of_symbol && self.from_ns < minute_ns + MINUTE_NS && self.to_ns.is_none_or(|to_ns| to_ns >= minute_ns)
    }
}

impl std::fmt::Display for Outage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let moment =
            |ns: i64| Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| ns.to_string(), |at| at.to_string());
        let to = self.to_ns.map_or_else(|| "now".to_owned(), moment);
        let state = if self.healed { "healed" } else { "not healed" };
        write!(f, "gap from {} to {to}, {state}: {}", moment(self.from_ns), self.cause)
    }
}

/// All that are known, the healed ones last.
///
/// # Errors
/// Where PostgreSQL does not answer.
pub(crate) async fn known(connection: &Connection, first_ns: i64, last_ns: i64) -> anyhow::Result<Vec<Outage>> {
    const SQL: &str =
        "SELECT symbol, market_data_oltp.ns(started_at), market_data_oltp.ns(ended_at), cause, healed_at IS NOT NULL
         FROM market_data_oltp.stock_feed_gaps
         WHERE market_data_oltp.ns(started_at) < $2 AND coalesce(market_data_oltp.ns(ended_at), $1) >= $1
         ORDER BY healed_at IS NOT NULL, started_at";
    let parameters: [Parameter<'_>; 2] = [(&first_ns, Type::INT8), (&last_ns, Type::INT8)];
    let rows = connection.query_typed(SQL, &parameters).await.context("PostgreSQL does not answer")?;
    let outage = |row: &tokio_postgres::Row| Outage {
        symbol: row.get(0),
        from_ns: row.get(1),
        to_ns: row.get(2),
        cause: row.get(3),
        healed: row.get(4),
    };
    Ok(rows.iter().map(outage).collect())
}

/// The outage that explains what is missing of this minute: of several, one that is not healed.
pub(crate) fn explaining<'a>(outages: &'a [Outage], symbol: &str, minute_ns: i64) -> Option<&'a Outage> {
    outages.iter().find(|outage| outage.touches(symbol, minute_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_explains_the_minutes_it_touches_and_an_open_one_goes_before_a_healed_one() {
        let outage = |from: i64, to: Option<i64>, healed| Outage {
            symbol: "*".to_owned(),
            from_ns: from * MINUTE_NS + 5,
            to_ns: to.map(|to| to * MINUTE_NS + 5),
            cause: "cut".to_owned(),
            healed,
        };
        let outages = [outage(3, None, false), outage(1, Some(3), true)];
        let healed =
            [0, 1, 2, 3, 4].map(|minute| explaining(&outages, "A", minute * MINUTE_NS).map(|outage| outage.healed));
        assert_eq!(healed, [None, Some(true), Some(true), Some(false), Some(false)]);
        let one = Outage { symbol: "B".to_owned(), ..outage(0, None, true) };
        assert_eq!(explaining(&[one], "A", 0), None);
    }
}
