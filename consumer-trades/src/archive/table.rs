//! The trades of a day in PostgreSQL: read in the order of their keys, and filled again.

use std::pin::{Pin, pin};

use anyhow::Context as _;
use archive::{ArchivedTrade, Digest};
use futures_util::{Stream, TryStreamExt as _};
use jiff::Timestamp;
use jiff::civil::Date;
use tokio_postgres::Client;
use tokio_postgres::binary_copy::{BinaryCopyInWriter, BinaryCopyOutRow, BinaryCopyOutStream};
use tokio_postgres::types::{ToSql, Type};

/// Schema of all tables.
pub(super) const SCHEMA: &str = "market_data_oltp";

/// The partition of a day, without its schema.
pub(super) fn partition_of(day: Date) -> String {
    format!("stock_trades_realtime_p{}", day.strftime("%Y%m%d"))
}

/// The detached partition of an archived day.
pub(super) fn detached_of(day: Date) -> String {
    format!("archived_trades_p{}", day.strftime("%Y%m%d"))
}

/// The day in the name of a partition or of a detached one.
pub(super) fn day_in(table: &str) -> Option<Date> {
    Date::strptime("%Y%m%d", table.rsplit_once("_p")?.1).ok()
}

/// The tables whose names begin with `prefix`, oldest day first.
pub(super) async fn tables(client: &Client, prefix: &str) -> anyhow::Result<Vec<Date>> {
    let sql = "SELECT relname::text FROM pg_class
               WHERE relnamespace = 'market_data_oltp'::regnamespace AND relkind = 'r' AND starts_with(relname::text, $1)
               ORDER BY 1";
    let rows = client.query(sql, &[&prefix]).await?;
    Ok(rows.iter().filter_map(|row| day_in(row.get(0))).collect())
}

const COLUMNS: &str = "symbol::text, ts_ns, price, size, exchange::text, trade_id::text, source::text, tape::text, conditions::text, epoch, seq,
    (extract(epoch FROM void_at) * 1000000)::bigint, void_reason::text";
const TYPES: [Type; 13] = [
    Type::TEXT,
    Type::INT8,
    Type::FLOAT8,
    Type::FLOAT8,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::TEXT,
];

/// Every trade of a table in the order of its key.
pub(super) async fn read(
    client: &Client,
    table: &str,
) -> anyhow::Result<impl Stream<Item = anyhow::Result<ArchivedTrade>> + use<>> {
    let sql = format!(
        "COPY (SELECT {COLUMNS} FROM {SCHEMA}.{table} ORDER BY symbol, ts_ns, exchange, trade_id, source) TO STDOUT (FORMAT binary)"
    );
    let out = client.copy_out(&sql).await.with_context(|| format!("cannot read {SCHEMA}.{table}"))?;
    Ok(BinaryCopyOutStream::new(out, &TYPES).map_err(anyhow::Error::from).and_then(async |row| trade(&row)))
}

fn trade(row: &BinaryCopyOutRow) -> anyhow::Result<ArchivedTrade> {
    let text = |index| row.try_get::<&str>(index).map(Into::into);
    let text_or_null = |index| row.try_get::<Option<&str>>(index).map(|text| text.map(Into::into));
    Ok(ArchivedTrade {
        symbol: text(0)?,
        ts_ns: row.try_get(1)?,
        price: row.try_get(2)?,
        size: row.try_get(3)?,
        exchange: text(4)?,
        trade_id: text(5)?,
        source: text(6)?,
        tape: text_or_null(7)?,
        conditions: text_or_null(8)?,
        epoch: row.try_get(9)?,
        seq: row.try_get(10)?,
        void_at_us: row.try_get(11)?,
        void_reason: text_or_null(12)?,
    })
}

/// Count and hash of a table.
pub(super) async fn digest(client: &Client, table: &str) -> anyhow::Result<Digest> {
    let mut rows: Pin<&mut _> = pin!(read(client, table).await?);
    let mut digest = Digest::default();
    while let Some(trade) = rows.try_next().await? {
        digest.add(&trade);
    }
    Ok(digest)
}

/// Appends trades to a table, through a temporary one of plain types, so that the table's own types may be narrower.
pub(super) async fn append(client: &mut Client, table: &str, trades: &[ArchivedTrade]) -> anyhow::Result<()> {
    let transaction = client.transaction().await?;
    transaction
        .batch_execute(
            "CREATE TEMPORARY TABLE restored (
                 ts timestamptz, price double precision, size double precision, ts_ns bigint, epoch bigint, seq bigint, symbol text, exchange text,
                 trade_id text, source text, tape text, conditions text, void_at timestamptz, void_reason text
             ) ON COMMIT DROP",
        )
        .await?;
    let types = [
        Type::TIMESTAMPTZ,
        Type::FLOAT8,
        Type::FLOAT8,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::TEXT,
    ];
    let into = transaction.copy_in("COPY restored FROM STDIN (FORMAT binary)").await?;
    let mut writer = pin!(BinaryCopyInWriter::new(into, &types));
    for trade in trades {
        // For people and cut to the microsecond, as the consumer stores it.
        let ts = Timestamp::from_microsecond(trade.ts_ns.div_euclid(1000))?;
        let void_at = trade.void_at_us.map(Timestamp::from_microsecond).transpose()?;
        let texts = [&trade.symbol, &trade.exchange, &trade.trade_id, &trade.source].map(|text| text.as_str());
        let optional = [&trade.tape, &trade.conditions, &trade.void_reason].map(|text| text.as_deref());
        let row: [&(dyn ToSql + Sync); 14] = [
            &ts,
            &trade.price,
            &trade.size,
            &trade.ts_ns,
            &trade.epoch,
            &trade.seq,
            &texts[0],
            &texts[1],
            &texts[2],
            &texts[3],
            &optional[0],
            &optional[1],
            &void_at,
            &optional[2],
        ];
        writer.as_mut().write(&row).await?;
    }
    writer.finish().await?;
    let columns = "ts, price, size, ts_ns, epoch, seq, symbol, exchange, trade_id, source, tape, conditions, void_at, void_reason";
    transaction
        .batch_execute(&format!("INSERT INTO {SCHEMA}.{table} ({columns}) SELECT {columns} FROM restored"))
        .await?;
    Ok(transaction.commit().await?)
}
