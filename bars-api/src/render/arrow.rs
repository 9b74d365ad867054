//! Bars as columns: an Apache Arrow IPC stream of one batch, which data frames take without parsing.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};

use super::Bars;

/// The columns of CSV in the same order, with types: times are UTC, what the feed did not say is null. The schema's metadata names
/// symbol, timeframe and source.
///
/// # Errors
/// Never for bars that were read from the database: all columns have one length.
pub fn stream(page: &Bars<'_>) -> Result<Vec<u8>, ArrowError> {
    let bars = page.bars;
    let numbers =
        |of: fn(&super::BarRow) -> f64| -> ArrayRef { Arc::new(Float64Array::from_iter_values(bars.iter().map(of))) };
    let timestamps =
        TimestampMillisecondArray::from_iter_values(bars.iter().map(|bar| bar.start_ms)).with_timezone("UTC");
    let mut columns: Vec<(Field, ArrayRef)> = vec![
        (
            Field::new("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
            Arc::new(timestamps),
        ),
        (number("open", false), numbers(|bar| bar.open)),
        (number("high", false), numbers(|bar| bar.high)),
        (number("low", false), numbers(|bar| bar.low)),
        (number("close", false), numbers(|bar| bar.close)),
        (number("volume", false), numbers(|bar| bar.volume)),
        (
            Field::new("trade_count", DataType::Int64, true),
            Arc::new(Int64Array::from_iter(bars.iter().map(|bar| bar.trade_count))),
        ),
        (number("vwap", true), Arc::new(Float64Array::from_iter(bars.iter().map(|bar| bar.vwap)))),
        (
            Field::new("final", DataType::Boolean, false),
            Arc::new(BooleanArray::from_iter(bars.iter().map(|bar| Some(bar.is_final)))),
        ),
        (
            Field::new("revision", DataType::Int64, false),
            Arc::new(Int64Array::from_iter_values(bars.iter().map(|bar| bar.revision))),
        ),
    ];
    columns.extend(page.lines.iter().map(|line| -> (Field, ArrayRef) {
        (number(&super::table::column(line), true), Arc::new(Float64Array::from_iter(line.values.iter().copied())))
    }));
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let series = page.series;
    let metadata: HashMap<String, String> = [
        ("symbol", series.symbol.to_string()),
        ("timeframe", series.timeframe.to_string()),
        ("source", series.source.as_str().to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&batch)?;
    writer.into_inner()
}

fn number(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Float64, nullable)
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray as _;
    use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
    use arrow_ipc::reader::StreamReader;
    use market::{Source, Symbol, Timeframe};

    use super::*;
    use crate::db::bars::{BarRow, Series};
    use crate::indicators::Line;

    #[test]
    fn what_is_written_reads_back_column_by_column() {
        let bar = |minute: i64, vwap: Option<f64>| BarRow {
            start_ms: minute * 60_000,
            open: 1.5,
            high: 2.0,
            low: 1.0,
            close: 1.25,
            volume: 100.0,
            trade_count: vwap.map(|_| 7),
            vwap,
            is_final: minute == 0,
            revision: minute,
        };
        let bars = [bar(0, Some(1.4)), bar(1, None)];
        let series =
            Series { symbol: Symbol::new("AAPL").unwrap(), timeframe: Timeframe::MINUTE, source: Source::alpaca() };
        let lines = [Line { name: "ema:20".to_owned(), values: vec![None, Some(1.3)] }];
        for shown in [&bars[..], &[]] {
            let lines = if shown.is_empty() { &[][..] } else { &lines };
            let page = Bars { series: &series, bars: shown, lines, token: None, edge: None, complete: true };
            let bytes = stream(&page).unwrap();
            let mut reader = StreamReader::try_new(&bytes[..], None).unwrap();
            assert_eq!(reader.schema().metadata()["symbol"], "AAPL");
            let batch = reader.next().unwrap().unwrap();
            assert!(reader.next().is_none());
            assert_eq!(batch.num_rows(), shown.len());
            let column = |name: &str| batch.column_by_name(name).unwrap();
            assert_eq!(
                column("timestamp").as_primitive::<TimestampMillisecondType>().values(),
                &[0, 60_000][..shown.len()]
            );
            assert_eq!(column("close").as_primitive::<Float64Type>().values(), &[1.25, 1.25][..shown.len()]);
            if !shown.is_empty() {
                assert_eq!(
                    column("trade_count").as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
                    [Some(7), None]
                );
                assert_eq!(column("vwap").as_primitive::<Float64Type>().iter().collect::<Vec<_>>(), [Some(1.4), None]);
                assert_eq!(
                    column("ema:20").as_primitive::<Float64Type>().iter().collect::<Vec<_>>(),
                    [None, Some(1.3)]
                );
                assert_eq!(column("final").as_boolean().iter().collect::<Vec<_>>(), [Some(true), Some(false)]);
            }
        }
    }
}
