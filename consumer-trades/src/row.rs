//! A trade as a row of `stock_trades_realtime`.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use market::sent::millionths;
use market::wire::decode_trade;
use sink::{Audited, Awaited, Coordinates, Identity, Place, Refusal, Row, StartRow, Store};

/// The trades' table.
#[derive(Debug)]
pub struct TradeRow;

impl Row for TradeRow {
    const TABLE: &'static str = "market_data_oltp.stock_trades_realtime";
    const COLUMNS: &'static [&'static str] = &[
        "ts",
        "price",
        "size",
        "ts_ns",
        "epoch",
        "seq",
        "symbol",
        "exchange",
        "trade_id",
        "source",
        "tape",
        "conditions",
    ];
    const STORE: Store = Store::CopyThenMerge(
        "WITH stored AS (
             INSERT INTO market_data_oltp.stock_trades_realtime SELECT * FROM pg_temp.batch
             ON CONFLICT DO NOTHING
             RETURNING 1
         )
         SELECT count(*) FROM stored",
    );
    /// Corrections that came before their trades.
    const AWAITED: Option<Awaited> = Some(Awaited {
        // A message is younger than the trade that it speaks of, and of the same day or week: what is found is what came after the oldest
        // trade of the batch, however much else waits. A message that was stamped earlier than its trade is tried again later.
        find: |first_ns, last_ns| {
            const SKEW_NS: i64 = 5 * 1_000_000_000;
            const WEEK_NS: i64 = 8 * 86_400 * 1_000_000_000;
            format!(
                "SELECT DISTINCT concat(symbol, E'\\t', trade_id) FROM market_data_oltp.stock_trade_corrections
                 WHERE void_ts_ns IS NULL AND ts_ns BETWEEN {} AND {}",
                first_ns.saturating_sub(SKEW_NS),
                last_ns.saturating_add(WEEK_NS),
            )
        },
        key: awaited_key,
        settle: "SELECT market_data_oltp.settle_named_corrections($1)",
    });
    const ENSURE_PARTITIONS: Option<&'static str> = Some("SELECT market_data_oltp.ensure_trade_partitions($1)");
    const EXPIRE: Option<&'static str> = Some("SELECT market_data_oltp.drop_oldest_trade_partition($1)");

    fn encode(payload: &[u8], at: Coordinates, row: StartRow<'_>) -> Result<Place, Refusal> {
        let (trade, position) = decode_trade(payload).map_err(Refusal::from_error)?;
        let seq = position.map(|position| i64::try_from(position.seq)).transpose();
        let seq = seq.map_err(|_| Refusal("seq must be below 2^63".to_owned()))?;

        let mut row = row.start();
        row.timestamptz(trade.ts_ns);
        row.float8(trade.price);
        row.float8(trade.size);
        row.int8(trade.ts_ns);
        row.int8_or_null(position.map(|position| position.epoch));
        row.int8_or_null(seq);
        row.text(trade.symbol.as_str());
        row.text(trade.exchange.as_deref().unwrap_or_default());
        let id = trade.trade_id.as_deref();
        match id {
            Some(id) => row.text(id),
            None => row.text(&synthetic_id(at)),
        }
        row.text(trade.source.as_str());
        row.text_or_null(trade.tape.as_deref());
        row.list_or_null(trade.conditions.iter().map(|code| code.as_str()));
        let named = id.filter(|id| !NO_ID.iter().any(|prefix| id.starts_with(prefix))).unwrap_or_default();
        Ok(Place::near(trade.symbol.as_bytes(), trade.ts_ns).awaited_as(hash_of(trade.symbol.as_str(), named)))
    }
}

impl Audited for TradeRow {
    const COUNT_BY_MINUTE: &'static str = "
        SELECT symbol, ts_ns - ts_ns % 60000000000, count(*), count(*) FILTER (WHERE void_at IS NULL)
        FROM market_data_oltp.stock_trades_realtime
        WHERE ts_ns >= $1 AND ts_ns < $2 AND ($3::text IS NULL OR symbol = $3)
        GROUP BY 1, 2";
    const IS_REPORTED: bool = true;
    const API_NAME: &'static str = "trades";

    fn identify(payload: &[u8], at: Coordinates) -> Option<Identity> {
        let (trade, position) = decode_trade(payload).ok()?;
        let mut key = DefaultHasher::new();
        (&trade.symbol, trade.ts_ns, &trade.exchange, &trade.source).hash(&mut key);
        match &trade.trade_id {
            Some(id) => id.hash(&mut key),
            None => synthetic_id(at).hash(&mut key),
        }
        Some(Identity {
            symbol: trade.symbol.to_string(),
            ts_ns: trade.ts_ns,
            key: key.finish(),
            position: position.map(|position| (position.epoch, position.seq)),
            millionths: millionths(trade.size),
        })
    }
}

/// What ids begin with that no feed has given: a correction does not know them.
const NO_ID: [&str; 2] = ["none:", "kafka:"];

/// The key of a name that a correction waits under: symbol, tab, trade id.
fn awaited_key(name: &str) -> u64 {
    let (symbol, id) = name.split_once('\t').unwrap_or((name, ""));
    hash_of(symbol, id)
}

fn hash_of(symbol: &str, id: &str) -> u64 {
    let mut key = DefaultHasher::new();
    (symbol, id).hash(&mut key);
    key.finish()
}

/// The id of a trade whose feed gave none: where its record stands, so that two equal trades stay two and one record stays one.
fn synthetic_id(at: Coordinates) -> String {
    let mut id = String::with_capacity(32);
    // A String takes every write.
    let _: std::fmt::Result = write!(id, "kafka:{}-{}", at.partition, at.offset);
    id
}
