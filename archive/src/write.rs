//! A day's trades, in the order of their keys, to a Parquet file.

use std::io::Write;

use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::metadata::KeyValue;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};

use crate::error::Error;
use crate::format::{self, DIGEST_KEY, GROUP_ROWS};
use crate::trade::{ArchivedTrade, Digest};

/// Writes one file. Memory: one row group.
#[derive(Debug)]
pub struct DayWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    group: Vec<ArchivedTrade>,
    last: Option<ArchivedTrade>,
    digest: Digest,
}

impl<W: Write + Send> DayWriter<W> {
    /// Starts a file.
    ///
    /// # Errors
    /// [`Error::Parquet`] if the file's head cannot be written.
    pub fn new(out: W) -> Result<Self, Error> {
        let file = SerializedFileWriter::new(out, format::schema()?, format::properties()?.into())?;
        Ok(Self { file, group: Vec::with_capacity(GROUP_ROWS), last: None, digest: Digest::default() })
    }

    /// Adds the next trade.
    ///
    /// # Errors
    /// [`Error::Order`] if it does not come after the one before it, [`Error::Parquet`] if the disk is full.
    pub fn push(&mut self, trade: ArchivedTrade) -> Result<(), Error> {
        let before = self.group.last().or(self.last.as_ref());
        if before.is_some_and(|before| before.by_key(&trade).is_ge()) {
            return Err(Error::Order { symbol: trade.symbol.to_string(), ts_ns: trade.ts_ns });
        }
        self.digest.add(&trade);
        self.group.push(trade);
        if self.group.len() == GROUP_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is left and the file's end.
    ///
    /// # Errors
    /// [`Error::Parquet`] if the disk is full.
    pub fn finish(mut self) -> Result<Digest, Error> {
        self.flush()?;
        let digest = serde_json::to_string(&self.digest).map_err(std::io::Error::other)?;
        self.file.append_key_value_metadata(KeyValue::new(DIGEST_KEY.to_owned(), digest));
        self.file.close()?;
        Ok(self.digest)
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.group.is_empty() {
            return Ok(());
        }
        let mut row_group = self.file.next_row_group()?;
        let mut index = 0;
        while let Some(column) = row_group.next_column()? {
            write_column(column, index, &self.group)?;
            index += 1;
        }
        row_group.close()?;
        self.last = self.group.pop();
        self.group.clear();
        Ok(())
    }
}

/// The columns in the order of the schema.
fn write_column(mut column: SerializedColumnWriter<'_>, index: usize, rows: &[ArchivedTrade]) -> Result<(), Error> {
    match (column.untyped(), index) {
        (ColumnWriter::ByteArrayColumnWriter(writer), 0 | 4 | 5 | 6) => {
            let text = |row: &ArchivedTrade| match index {
                0 => row.symbol.clone(),
                4 => row.exchange.clone(),
                5 => row.trade_id.clone(),
                _ => row.source.clone(),
            };
            let values: Vec<ByteArray> = rows.iter().map(|row| text(row).as_bytes().to_vec().into()).collect();
            writer.write_batch(&values, None, None)?;
        }
        (ColumnWriter::ByteArrayColumnWriter(writer), _) => {
            let text = |row: &ArchivedTrade| match index {
                7 => row.tape.clone(),
                8 => row.conditions.clone(),
                _ => row.void_reason.clone(),
            };
            let texts: Vec<_> = rows.iter().map(text).collect();
            let values: Vec<ByteArray> = texts.iter().flatten().map(|text| text.as_bytes().to_vec().into()).collect();
            writer.write_batch(&values, Some(&present(&texts)), None)?;
        }
        (ColumnWriter::DoubleColumnWriter(writer), _) => {
            let values: Vec<f64> = rows.iter().map(|row| if index == 2 { row.price } else { row.size }).collect();
            writer.write_batch(&values, None, None)?;
        }
        (ColumnWriter::Int64ColumnWriter(writer), 1) => {
            let values: Vec<i64> = rows.iter().map(|row| row.ts_ns).collect();
            writer.write_batch(&values, None, None)?;
        }
        (ColumnWriter::Int64ColumnWriter(writer), _) => {
            let number = |row: &ArchivedTrade| match index {
                9 => row.epoch,
                10 => row.seq,
                _ => row.void_at_us,
            };
            let numbers: Vec<_> = rows.iter().map(number).collect();
            let values: Vec<i64> = numbers.iter().flatten().copied().collect();
            writer.write_batch(&values, Some(&present(&numbers)), None)?;
        }
        (_, index) => unreachable!("the schema has no column {index} of this kind"),
    }
    Ok(column.close()?)
}

/// Parquet's definition levels: 1 if there is a value, 0 for NULL.
fn present<T>(values: &[Option<T>]) -> Vec<i16> {
    values.iter().map(|value| i16::from(value.is_some())).collect()
}
