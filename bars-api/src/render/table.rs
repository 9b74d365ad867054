//! Bars as lines, for spreadsheets, data frames and pipes.

use super::{bar, integer, number, text};
use crate::db::bars::BarRow;
use crate::indicators::Line;

/// A header line and one bar a line, indicators as further columns; an unknown value is an empty field. No field ever needs quotes.
#[must_use]
pub fn csv(bars: &[BarRow], lines: &[Line]) -> Vec<u8> {
    let mut out = b"timestamp,open,high,low,close,volume,trade_count,vwap,final,revision".to_vec();
    for line in lines {
        out.push(b',');
        out.extend_from_slice(line.name.as_bytes());
    }
    out.push(b'\n');
    for (at, row) in bars.iter().enumerate() {
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
        for line in lines {
            out.push(b',');
            if let Some(value) = line.values.get(at).copied().flatten() {
                number(&mut out, "", value);
            }
        }
        out.push(b'\n');
    }
    out
}

/// One bar a line, each as [`crate::dto::Bar`] with its indicators as further fields.
#[must_use]
pub fn ndjson(bars: &[BarRow], lines: &[Line]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, row) in bars.iter().enumerate() {
        bar(&mut out, row);
        for line in lines {
            out.pop(); // the brace
            out.push(b',');
            text(&mut out, &line.name);
            number(&mut out, ":", line.values.get(at).copied().flatten().unwrap_or(f64::NAN));
            out.push(b'}');
        }
        out.push(b'\n');
    }
    out
}
