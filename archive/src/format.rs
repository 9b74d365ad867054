//! The Parquet schema of a day and how its columns are encoded.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

/// `ts` is the exact exchange time: DuckDB and Polars read it as a timestamp with nanoseconds.
const MESSAGE: &str = "
    message trade {
        required binary symbol (STRING);
        required int64 ts (TIMESTAMP(NANOS, true));
        required double price;
        required double size;
        required binary exchange (STRING);
        required binary trade_id (STRING);
        required binary source (STRING);
        optional binary tape (STRING);
        optional binary conditions (STRING);
        optional int64 epoch;
        optional int64 seq;
        optional int64 void_at (TIMESTAMP(MICROS, true));
        optional binary void_reason (STRING);
    }";

/// Columns of a file.
pub(crate) const COLUMNS: usize = 13;

/// Rows of a row group. A query for one symbol decodes the groups that hold it, so groups are small; each costs about 2 KiB of metadata.
pub(crate) const GROUP_ROWS: usize = 131_072;

/// Where a file's metadata keeps its [`crate::Digest`] as JSON. The file and its digest are one object and can only be replaced together.
pub(crate) const DIGEST_KEY: &str = "tapeline.digest";

pub(crate) fn schema() -> Result<TypePtr, ParquetError> {
    parse_message_type(MESSAGE).map(Arc::new)
}

/// Encodings were chosen by size on recorded days (docs/journal.md). Times and record numbers grow within a symbol, so their differences are
/// stored. Ids share their beginnings with their neighbours. Everything else repeats and goes into a dictionary, which is the default.
pub(crate) fn properties() -> Result<WriterProperties, ParquetError> {
    let column = |name: &str| ColumnPath::from(name);
    let ascending = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(6)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_sorting_columns(Some(vec![ascending(0), ascending(1)]))
        .set_created_by("tapeline".to_owned());
    for (name, encoding) in [
        ("ts", Encoding::DELTA_BINARY_PACKED),
        ("seq", Encoding::DELTA_BINARY_PACKED),
        ("trade_id", Encoding::DELTA_BYTE_ARRAY),
    ] {
        builder =
            builder.set_column_dictionary_enabled(column(name), false).set_column_encoding(column(name), encoding);
    }
    Ok(builder.build())
}
