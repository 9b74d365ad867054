//! How many bytes a trade takes, column by column. Reads `symbol,ms,price,size,exchange,condition` lines, sorted by symbol and time; the recordings
//! have neither nanoseconds nor ids, so both are filled in the way feeds give them: times with nine digits, ids that grow by exchange.
//!
//! `… | cargo run --release -p archive --example pack [FOLDER]`; with FOLDER the day is published there.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a tool for measurements may panic; small numbers")]

use std::collections::BTreeMap;
use std::io::BufRead as _;

use archive::{ArchivedTrade, DayWriter};
use compact_str::{CompactString, ToCompactString as _};
use parquet::file::reader::{FileReader as _, SerializedFileReader};

fn main() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = DayWriter::new(file.reopen().unwrap()).unwrap();
    let mut ids: BTreeMap<CompactString, u64> = BTreeMap::new();
    let (mut seq, mut symbol_before, mut noise) = (0, CompactString::default(), 88_172_645_463_325_252_u64);
    let mut last_ns = 0;
    for line in std::io::stdin().lock().lines().map(Result::unwrap) {
        let fields: Vec<&str> = line.split(',').collect();
        let [symbol, ms, price, size, exchange, condition] = fields[..] else { panic!("not a trade: {line}") };
        if symbol_before != symbol {
            (symbol_before, seq, last_ns) = (symbol.into(), 0, 0);
        }
        seq += 1;
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        let ns = 1_381_118_400_000_000_000 + ms.parse::<i64>().unwrap() * 1_000_000;
        last_ns = (ns + i64::try_from(noise % 1_000_000).unwrap()).max(last_ns + 1);
        let id = ids.entry(exchange.into()).or_insert(52_983_525_000_000);
        *id += 1 + noise % 7;
        let trade = ArchivedTrade {
            symbol: symbol.into(),
            ts_ns: last_ns,
            price: price.parse::<f64>().unwrap() / 10_000.0,
            size: size.parse().unwrap(),
            exchange: exchange.into(),
            trade_id: id.to_compact_string(),
            source: "alpaca".into(),
            tape: Some("B".into()),
            conditions: (condition != "0").then(|| condition.into()),
            epoch: Some(1_381_118_400_000),
            seq: Some(seq),
            void_at_us: None,
            void_reason: None,
        };
        writer.push(trade).unwrap();
    }
    let digest = writer.finish().unwrap();
    if let Some(folder) = std::env::args().nth(1) {
        let archive = archive::Archive::in_folder(folder.as_ref()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(archive.publish(jiff::civil::date(2013, 10, 7), file.path(), digest)).unwrap();
    }
    let reader = SerializedFileReader::new(file.reopen().unwrap()).unwrap();
    let rows = digest.rows as f64;
    println!("{} trades, {:.2} bytes a trade", digest.rows, file.as_file().metadata().unwrap().len() as f64 / rows);
    let columns = reader.metadata().file_metadata().schema_descr().num_columns();
    for column in 0..columns {
        let groups = reader.metadata().row_groups().iter();
        let bytes: i64 = groups.map(|group| group.column(column).compressed_size()).sum();
        println!(
            "{:12} {:.2}",
            reader.metadata().row_group(0).column(column).column_path().string(),
            bytes as f64 / rows
        );
    }
}
