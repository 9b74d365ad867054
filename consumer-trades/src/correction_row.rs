//! A correction as a row of `stock_trade_corrections`, and what it does to the trade it speaks of.

use market::wire::decode_correction;
use market::{Correction, Outcome};
use sink::{Coordinates, Place, Refusal, Row, StartRow, Store, Watched};

/// The corrections' table.
#[derive(Debug)]
pub struct CorrectionRow;

impl Row for CorrectionRow {
    const TABLE: &'static str = "market_data_oltp.stock_trade_corrections";
    const COLUMNS: &'static [&'static str] = &[
        "ts",
        "price",
        "size",
        "ts_ns",
        "epoch",
        "seq",
        "corrected_price",
        "corrected_size",
        "corrected_ts_ns",
        "symbol",
        "exchange",
        "trade_id",
        "source",
        "reason",
        "action",
        "corrected_exchange",
        "corrected_trade_id",
        "corrected_conditions",
    ];
    const STORE: Store = Store::Merge(
        "WITH stored AS (
             INSERT INTO market_data_oltp.stock_trade_corrections SELECT * FROM pg_temp.batch
             ON CONFLICT DO NOTHING
             RETURNING 1
         )
         SELECT count(*) FROM stored",
    );
    /// A correction whose trade is stored is settled in its own transaction. One that races with its trade, neither seeing the other, is
    /// found again by [`Row::REVISIT`] (docs/decisions/0050).
    const FOLLOW_UP: Option<&'static str> = Some(
        "SELECT market_data_oltp.settle_named_corrections(array_agg(concat(symbol, E'\\t', trade_id))) FROM pg_temp.batch",
    );
    const REVISIT: Option<&'static str> = Some("SELECT market_data_oltp.settle_due_corrections($1)");
    /// Minute bars of the feed that count trades which do not hold, of the last day.
    const WATCHED: Option<Watched> = Some(Watched {
        gauge: "contradicted_bars",
        help: "Bars of the last day that their own trades contradict.",
        sql: "SELECT count(*) FROM market_data_oltp.contradicted_minutes(interval '1 day', 1000)",
    });
    const EXPIRE: Option<&'static str> = Some("SELECT market_data_oltp.delete_oldest_corrections($1)");

    fn encode(payload: &[u8], _at: Coordinates, row: StartRow<'_>) -> Result<Place, Refusal> {
        let (Correction { void, outcome, source }, position) =
            decode_correction(payload).map_err(Refusal::from_error)?;
        let seq = position.map(|position| i64::try_from(position.seq)).transpose();
        let seq = seq.map_err(|_| Refusal("seq must be below 2^63".to_owned()))?;
        let (reason, action, instead) = match &outcome {
            Outcome::Cancelled(action) => ("cancelled", Some(action.as_str()), None),
            Outcome::Corrected(trade) => ("corrected", None, Some(trade)),
        };
        if instead.is_some_and(|trade| trade.symbol != void.symbol) {
            return Err(Refusal("the trade that holds instead must be of the same symbol".to_owned()));
        }

        let mut row = row.start();
        row.timestamptz(void.ts_ns);
        row.float8(void.price);
        row.float8(void.size);
        row.int8(void.ts_ns);
        row.int8_or_null(position.map(|position| position.epoch));
        row.int8_or_null(seq);
        row.float8_or_null(instead.map(|trade| trade.price));
        row.float8_or_null(instead.map(|trade| trade.size));
        row.int8_or_null(instead.map(|trade| trade.ts_ns));
        row.text(void.symbol.as_str());
        row.text(void.exchange.as_deref().unwrap_or_default());
        row.text(void.trade_id.as_deref().unwrap_or_default());
        row.text(source.as_str());
        row.text(reason);
        row.text_or_null(action.filter(|action| !action.is_empty()));
        row.text_or_null(instead.map(|trade| trade.exchange.as_deref().unwrap_or_default()));
        row.text_or_null(instead.and_then(|trade| trade.trade_id.as_deref()));
        row.list_or_null(instead.iter().flat_map(|trade| trade.conditions.iter().map(|code| code.as_str())));
        Ok(Place::near(void.symbol.as_bytes(), void.ts_ns))
    }
}
