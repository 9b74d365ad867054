//! A day's Parquet file to trades. Pure: bytes in, trades out; [`crate::store`] fetches the bytes.

use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use compact_str::CompactString;
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use crate::error::Error;
use crate::format::{COLUMNS, DIGEST_KEY};
use crate::trade::{ArchivedTrade, Digest};

/// What the end of a file says: where each row group lies, which symbols it holds, and the digest of the whole.
#[derive(Debug)]
pub struct DayIndex {
    metadata: ParquetMetaData,
    digest: Digest,
}

/// An index, or how many bytes of the file's end are needed to read it.
#[derive(Debug)]
pub enum Parsed {
    /// The index.
    Index(DayIndex),
    /// Read so many bytes from the end and try again.
    NeedsBytes(usize),
}

impl DayIndex {
    /// Reads the index from the last bytes of a file of `file_bytes`.
    ///
    /// # Errors
    /// [`Error::Parquet`] if the file is damaged, [`Error::Foreign`] if something else wrote it.
    pub fn parse(tail: Bytes, file_bytes: u64) -> Result<Parsed, Error> {
        let mut reader = ParquetMetaDataReader::new();
        match reader.try_parse_sized(&tail, file_bytes) {
            Ok(()) => {}
            Err(ParquetError::NeedMoreData(bytes)) if (tail.len() as u64) < file_bytes => {
                return Ok(Parsed::NeedsBytes(bytes));
            }
            Err(error) => return Err(error.into()),
        }
        let metadata = reader.finish()?;
        let columns = metadata.file_metadata().schema_descr().num_columns();
        if columns != COLUMNS {
            return Err(Error::Foreign(format!("it has {columns} columns, expected {COLUMNS}")));
        }
        let pairs = metadata.file_metadata().key_value_metadata();
        let digest = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == DIGEST_KEY));
        let digest = digest.and_then(|pair| pair.value.as_deref());
        let digest = digest.ok_or_else(|| Error::Foreign(format!("its metadata lacks `{DIGEST_KEY}`")))?;
        let digest = serde_json::from_str(digest)
            .map_err(|error| Error::Foreign(format!("its `{DIGEST_KEY}` cannot be read: {error}")))?;
        Ok(Parsed::Index(Self { metadata, digest }))
    }

    /// Count and hash of the whole day, as they were when it was written.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Number of row groups.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    /// The row groups that may hold trades of `symbol` within `range_ns` (Unix nanoseconds), in order.
    #[must_use]
    pub fn groups_of(&self, symbol: &str, range_ns: &Range<i64>) -> Vec<usize> {
        let may_hold = |group: &RowGroupMetaData| {
            let (symbols, times) = (group.column(0).statistics(), group.column(1).statistics());
            let symbol_within = symbols.is_none_or(|statistics| {
                statistics.min_bytes_opt().is_none_or(|first| first <= symbol.as_bytes())
                    && statistics.max_bytes_opt().is_none_or(|last| symbol.as_bytes() <= last)
            });
            let time = |bytes: Option<&[u8]>| bytes.and_then(|bytes| bytes.try_into().ok()).map(i64::from_le_bytes);
            let time_within = times.is_none_or(|statistics| {
                time(statistics.min_bytes_opt()).is_none_or(|first| first < range_ns.end)
                    && time(statistics.max_bytes_opt()).is_none_or(|last| range_ns.start <= last)
            });
            symbol_within && time_within
        };
        (0..self.groups()).filter(|index| may_hold(self.metadata.row_group(*index))).collect()
    }

    /// Where a row group lies in the file, in bytes.
    #[must_use]
    pub fn byte_range(&self, group: usize) -> Range<u64> {
        let columns = || self.metadata.row_group(group).columns().iter().map(|column| column.byte_range());
        let start = columns().map(|(start, _)| start).min().unwrap_or_default();
        let end = columns().map(|(start, length)| start + length).max().unwrap_or_default();
        start..end
    }

    /// Decodes a row group from the bytes of [`DayIndex::byte_range`].
    ///
    /// # Errors
    /// [`Error::Parquet`] if the bytes cannot be decoded. Damage that still decodes is found by comparing digests.
    pub fn decode(&self, group: usize, bytes: Bytes) -> Result<Vec<ArchivedTrade>, Error> {
        let metadata = self.metadata.row_group(group);
        let rows = usize::try_from(metadata.num_rows())
            .map_err(|_| Error::Foreign("a row group of negative length".to_owned()))?;
        let window = Arc::new(Window { base: self.byte_range(group).start, bytes });
        let column = |index: usize| -> ParquetResult<ColumnReader> {
            let chunk = metadata.column(index);
            let pages = SerializedPageReader::new(Arc::clone(&window), chunk, rows, None)?;
            Ok(get_column_reader(chunk.column_descr_ptr(), Box::new(pages)))
        };
        let text = |index| texts(column(index)?, rows);
        let number = |index| numbers(column(index)?, rows);
        let mut columns = (
            (text(0)?, number(1)?, floats(column(2)?, rows)?, floats(column(3)?, rows)?),
            (text(4)?, text(5)?, text(6)?, text(7)?, text(8)?),
            (number(9)?, number(10)?, number(11)?, text(12)?),
        );
        let (
            (symbol, ts, price, size),
            (exchange, trade_id, source, tape, conditions),
            (epoch, seq, void_at, void_reason),
        ) = &mut columns;
        let missing = || Error::Foreign("a required column has a NULL or too few rows".to_owned());
        let required = |text: Option<CompactString>| text.ok_or_else(missing);
        (0..rows)
            .map(|row| {
                Ok(ArchivedTrade {
                    symbol: required(symbol[row].take())?,
                    ts_ns: ts[row].ok_or_else(missing)?,
                    price: *price.get(row).ok_or_else(missing)?,
                    size: *size.get(row).ok_or_else(missing)?,
                    exchange: required(exchange[row].take())?,
                    trade_id: required(trade_id[row].take())?,
                    source: required(source[row].take())?,
                    tape: tape[row].take(),
                    conditions: conditions[row].take(),
                    epoch: epoch[row],
                    seq: seq[row],
                    void_at_us: void_at[row],
                    void_reason: void_reason[row].take(),
                })
            })
            .collect()
    }
}

/// Bytes of a file from `base` on, addressed as in the file.
struct Window {
    base: u64,
    bytes: Bytes,
}

impl Window {
    fn from(&self, start: u64) -> ParquetResult<Bytes> {
        let outside = || ParquetError::EOF(format!("byte {start} lies outside of the row group"));
        let at = start.checked_sub(self.base).and_then(|at| usize::try_from(at).ok()).ok_or_else(outside)?;
        if at > self.bytes.len() { Err(outside()) } else { Ok(self.bytes.slice(at..)) }
    }
}

impl Length for Window {
    fn len(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }
}

impl ChunkReader for Window {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(Cursor::new(self.from(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let mut from = self.from(start)?;
        if from.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes from {start} on lie outside of the row group")));
        }
        Ok(from.copy_to_bytes(length))
    }
}

/// Spreads values over the rows that have one.
fn spread<T>(values: Vec<T>, levels: &[i16], nullable: bool, rows: usize) -> ParquetResult<Vec<Option<T>>> {
    if !nullable {
        let mut spread: Vec<Option<T>> = values.into_iter().map(Some).collect();
        spread.resize_with(rows, || None);
        return Ok(spread);
    }
    if levels.len() != rows {
        return Err(ParquetError::General(format!("a column has {} of {rows} rows", levels.len())));
    }
    let mut values = values.into_iter();
    Ok(levels.iter().map(|level| if *level > 0 { values.next() } else { None }).collect())
}

macro_rules! read_all {
    ($reader:expr, $rows:expr, $kind:ident) => {{
        let ColumnReader::$kind(mut reader) = $reader else {
            return Err(ParquetError::General("a column has another type than the archive's schema".to_owned()));
        };
        let (mut values, mut levels, mut read) = (Vec::with_capacity($rows), Vec::new(), 0);
        while read < $rows {
            let (records, _, _) = reader.read_records($rows - read, Some(&mut levels), None, &mut values)?;
            if records == 0 {
                return Err(ParquetError::EOF(format!("a column ends after {read} of {} rows", $rows)));
            }
            read += records;
        }
        (values, levels)
    }};
}

fn texts(reader: ColumnReader, rows: usize) -> ParquetResult<Vec<Option<CompactString>>> {
    let (values, levels): (Vec<ByteArray>, Vec<i16>) = read_all!(reader, rows, ByteArrayColumnReader);
    let nullable = !levels.is_empty();
    let texts: ParquetResult<Vec<CompactString>> =
        values.iter().map(|value| Ok(CompactString::from(value.as_utf8()?))).collect();
    spread(texts?, &levels, nullable, rows)
}

fn numbers(reader: ColumnReader, rows: usize) -> ParquetResult<Vec<Option<i64>>> {
    let (values, levels): (Vec<i64>, Vec<i16>) = read_all!(reader, rows, Int64ColumnReader);
    let nullable = !levels.is_empty();
    spread(values, &levels, nullable, rows)
}

fn floats(reader: ColumnReader, rows: usize) -> ParquetResult<Vec<f64>> {
    let (values, _): (Vec<f64>, Vec<i16>) = read_all!(reader, rows, DoubleColumnReader);
    Ok(values)
}
