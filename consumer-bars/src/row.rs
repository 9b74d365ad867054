//! A bar as a row of `stock_bars_staging`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use market::sent::millionths;
use market::wire::decode_bar;
use market::{NS_PER_MS, Timeframe};
use sink::{Audited, Coordinates, Identity, Place, Refusal, Row, StartRow, Store};

/// The bars' table.
#[derive(Debug)]
pub struct BarRow;

/// Of two versions of one bar the greater wins, in any order of arrival: the higher revision; then a final bar over a forming one; then the
/// one that was sent later; and where all that is equal, any fixed order, so that the result never depends on who came first. A bar that
/// was computed from minutes ranks above every bar of that length that the feed sends.
macro_rules! rank {
    ($bar:literal) => {
        concat!(
            "(",
            $bar,
            ".revision, ",
            $bar,
            ".is_final, ",
            $bar,
            ".epoch, ",
            $bar,
            ".seq, ",
            $bar,
            ".volume, ",
            $bar,
            ".close, ",
            $bar,
            ".high, ",
            $bar,
            ".low, ",
            $bar,
            ".open)"
        )
    };
}

impl Row for BarRow {
    const TABLE: &'static str = "market_data_oltp.stock_bars_staging";
    const COLUMNS: &'static [&'static str] = &[
        "ts",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "vwap",
        "trade_count",
        "ts_ns",
        "revision",
        "epoch",
        "seq",
        "is_final",
        "symbol",
        "timeframe",
        "source",
    ];
    const STORE: Store = Store::Merge(concat!(
        "WITH newest AS (
             SELECT DISTINCT ON (symbol, timeframe, ts_ns, source) * FROM pg_temp.batch
             ORDER BY symbol, timeframe, ts_ns, source, ", rank!("batch"), " DESC
         ), stored AS (
             INSERT INTO market_data_oltp.stock_bars_staging AS bar SELECT * FROM newest
             ON CONFLICT (symbol, timeframe, ts_ns, source) DO UPDATE
             SET (ts, open, high, low, close, volume, vwap, trade_count, revision, epoch, seq, is_final)
               = (excluded.ts, excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.vwap,
                  excluded.trade_count, excluded.revision, excluded.epoch, excluded.seq, excluded.is_final)
             WHERE NOT bar.rolled AND ", rank!("excluded"), " > ", rank!("bar"), "
             RETURNING symbol, timeframe, ts_ns
         ), changed AS (
             SELECT symbol, timeframe, min(ts_ns) AS from_ns FROM stored GROUP BY 1, 2 ORDER BY 1, 2
         )
         SELECT (SELECT count(*) FROM stored), (SELECT max(market_data_oltp.bars_changed(symbol, timeframe, from_ns)) FROM changed)"
    ));
    const FOLLOW_UP: Option<&'static str> = Some(
        "SELECT market_data_oltp.roll_up_bars(array_agg(symbol), array_agg(source), array_agg(ts_ns))
         FROM pg_temp.batch WHERE timeframe = '1Min'
         HAVING count(*) > 0",
    );
    const EXPIRE: Option<&'static str> = Some("SELECT market_data_oltp.delete_oldest_bars($1)");

    fn encode(payload: &[u8], _at: Coordinates, row: StartRow<'_>) -> Result<Place, Refusal> {
        let (bar, position) = decode_bar(payload).map_err(Refusal::from_error)?;
        let whole =
            |value: u64, name: &str| i64::try_from(value).map_err(|_| Refusal(format!("{name} must be below 2^63")));
        let trade_count = bar.trade_count.map(|count| whole(count, "trade_count")).transpose()?;
        let seq = position.map_or(Ok(0), |position| whole(position.seq, "seq"))?;
        let ts_ns = bar.start_ms * NS_PER_MS; // checked by the wire

        let mut row = row.start();
        row.timestamptz(ts_ns);
        row.float8(bar.open);
        row.float8(bar.high);
        row.float8(bar.low);
        row.float8(bar.close);
        row.float8(bar.volume);
        row.float8_or_null(bar.vwap);
        row.int8_or_null(trade_count);
        row.int8(ts_ns);
        row.int8(i64::from(bar.revision));
        row.int8(position.map_or(0, |position| position.epoch));
        row.int8(seq);
        row.boolean(bar.is_final);
        row.text(bar.symbol.as_str());
        row.text(&bar.timeframe.to_string());
        row.text(bar.source.as_str());
        Ok(Place::near(bar.symbol.as_bytes(), ts_ns))
    }
}

impl Audited for BarRow {
    const COUNT_BY_MINUTE: &'static str = "
        SELECT symbol, ts_ns, count(*), count(*) FROM market_data_oltp.stock_bars_staging
        WHERE timeframe = '1Min' AND ts_ns >= $1 AND ts_ns < $2 AND ($3::text IS NULL OR symbol = $3)
        GROUP BY 1, 2";
    const IS_REPORTED: bool = false;
    const API_NAME: &'static str = "bars";

    fn identify(payload: &[u8], _at: Coordinates) -> Option<Identity> {
        let (bar, position) = decode_bar(payload).ok()?;
        let mut key = DefaultHasher::new();
        bar.source.hash(&mut key); // symbol and minute are counted apart anyway
        (bar.timeframe == Timeframe::MINUTE).then(|| Identity {
            symbol: bar.symbol.to_string(),
            ts_ns: bar.start_ms * NS_PER_MS,
            key: key.finish(),
            position: position.map(|position| (position.epoch, position.seq)),
            millionths: millionths(bar.volume),
        })
    }
}
