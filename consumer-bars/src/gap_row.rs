//! An outage of a feed as a row of `stock_feed_gaps`.

use market::{Gap, NS_PER_MS, Symbol};
use sink::{Coordinates, Place, Refusal, Row, StartRow, Store};

/// The gaps' table.
#[derive(Debug)]
pub struct GapRow;

/// Of two versions of one gap the greater wins, in any order of arrival: a healed one over one that has ended, that over an open one;
/// of several that could not be healed the one with the most attempts. Two versions that say the same are ordered by what they say, so that the result never depends on who came first.
macro_rules! rank {
    ($gap:literal) => {
        concat!(
            "(coalesce(",
            $gap,
            ".healed_at, '-infinity'), coalesce(",
            $gap,
            ".ended_at, '-infinity'), ",
            $gap,
            ".attempts, ",
            $gap,
            ".cause)"
        )
    };
}

impl Row for GapRow {
    const TABLE: &'static str = "market_data_oltp.stock_feed_gaps";
    const COLUMNS: &'static [&'static str] = &[
        "source",
        "symbol",
        "started_at",
        "ended_at",
        "cause",
        "healed_at",
        "records",
        "unknown",
        "verified_at",
        "reason",
        "attempts",
    ];
    const STORE: Store = Store::Merge(concat!(
        "WITH newest AS (
             SELECT DISTINCT ON (source, symbol, started_at) * FROM pg_temp.batch
             ORDER BY source, symbol, started_at, ",
        rank!("batch"),
        " DESC
         ), stored AS (
             INSERT INTO market_data_oltp.stock_feed_gaps AS gap
                 (source, symbol, started_at, ended_at, cause, healed_at, records, unknown, verified_at, reason, attempts)
             SELECT source, symbol, started_at, ended_at, cause, healed_at, records, unknown, verified_at, reason, attempts
             FROM newest
             ON CONFLICT (source, symbol, started_at) DO UPDATE
             SET (ended_at, cause, healed_at, records, unknown, verified_at, reason, attempts) =
                 (excluded.ended_at, excluded.cause, excluded.healed_at, excluded.records, excluded.unknown,
                  excluded.verified_at, excluded.reason, excluded.attempts)
             WHERE ",
        rank!("excluded"),
        " > ",
        rank!("gap"),
        "
             RETURNING 1
         )
         SELECT count(*) FROM stored"
    ));
    /// Gaps are few, and daily bars, which stay too, are explained by them.
    const EXPIRE: Option<&'static str> = None;

    fn encode(payload: &[u8], _at: Coordinates, row: StartRow<'_>) -> Result<Place, Refusal> {
        let gap = Gap::decode(payload).map_err(Refusal)?;
        if gap.symbol != "*" {
            Symbol::stored(&gap.symbol).map_err(Refusal::from_error)?;
        }
        if gap.healed_at.is_some() && gap.to.is_none() {
            return Err(Refusal("a gap that is healed must have a `to`".to_owned()));
        }
        let ns = |ms: i64, name: &str| {
            ms.checked_mul(NS_PER_MS).ok_or_else(|| Refusal(format!("`{name}` must be Unix milliseconds")))
        };
        let from_ns = ns(gap.from, "from")?;
        let to_ns = gap.to.map(|to| ns(to, "to")).transpose()?;
        let healed_ns = gap.healed_at.map(|at| ns(at, "healed_at")).transpose()?;
        let verified_ns = gap.verified_at.map(|at| ns(at, "verified_at")).transpose()?;
        let count = |count: Option<u64>| count.map(|count| i64::try_from(count).unwrap_or(i64::MAX));

        let mut row = row.start();
        row.text(&gap.source);
        row.text(&gap.symbol);
        row.timestamptz(from_ns);
        row.timestamptz_or_null(to_ns);
        row.text(&gap.cause);
        row.timestamptz_or_null(healed_ns);
        row.int8_or_null(count(gap.records));
        row.int8_or_null(count(gap.unknown));
        row.timestamptz_or_null(verified_ns);
        row.text_or_null(gap.reason.as_deref());
        row.int8(i64::from(gap.attempts));
        Ok(Place::near(gap.source.as_bytes(), from_ns))
    }
}
