//! Bars as lines, for spreadsheets, data frames and pipes.

use super::{bar, integer, number};
use crate::db::bars::BarRow;

/// A header line and one bar a line; an unknown value is an empty field. No field ever needs quotes.
#[must_use]
pub fn csv(bars: &[BarRow]) -> Vec<u8> {
    let mut out = b"timestamp,open,high,low,close,volume,trade_count,vwap,final,revision\n".to_vec();
    for row in bars {
        integer(&mut out, "", row.start_ms);
        for value in [row.open, row.high, row.low, row.close, row.volume] {
            number(&mut out, ",", value);
        }
        out.push(b',');
        if let Some(count) = row.trade_count {
            integer(&mut out, "", count);
        }
        out.push(b',');
        if let Some(vwap) = row.vwap {
            number(&mut out, "", vwap);
        }
        out.extend_from_slice(if row.is_final { b",true," } else { b",false," });
        integer(&mut out, "", row.revision);
        out.push(b'\n');
    }
    out
}

/// One bar a line, each as [`crate::dto::Bar`].
#[must_use]
pub fn ndjson(bars: &[BarRow]) -> Vec<u8> {
    let mut out = Vec::new();
    for row in bars {
        bar(&mut out, row);
        out.push(b'\n');
    }
    out
}
