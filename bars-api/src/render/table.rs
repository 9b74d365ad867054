//! Bars as lines, for spreadsheets, data frames and pipes.

use std::borrow::Cow;

use super::{bar, integer, number, text};
use crate::db::bars::{BarRow, Series};
use crate::indicators::Line;

/// A header line and one bar a line, indicators as further columns; an unknown value is an empty field. No field ever needs quotes. Each
/// line says whose bar it is and how long, so that a file can be loaded again without a word.
#[must_use]
pub fn csv(series: &Series, bars: &[BarRow], lines: &[Line]) -> Vec<u8> {
    let mut out =
        b"timestamp,open,high,low,close,volume,trade_count,vwap,final,revision,symbol,timeframe,source".to_vec();
    for line in lines {
        out.push(b',');
        out.extend_from_slice(column(line).as_bytes());
    }
    out.push(b'\n');
    let origin = format!(",{},{},{}", series.symbol, series.timeframe, series.source.as_str());
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
        out.extend_from_slice(origin.as_bytes());
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

/// An indicator's column; the bar has a `vwap` of its own.
pub(super) fn column(line: &Line) -> Cow<'_, str> {
    if line.name == "vwap" { Cow::Borrowed("vwap:day") } else { Cow::Borrowed(&line.name) }
}

/// One bar a line, each as [`crate::dto::Bar`] with `symbol`, `timeframe`, `source` and its indicators as further fields.
#[must_use]
pub fn ndjson(series: &Series, bars: &[BarRow], lines: &[Line]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut origin = b",\"symbol\":".to_vec();
    text(&mut origin, series.symbol.as_str());
    let (timeframe, source) = (series.timeframe, series.source.as_str());
    origin.extend_from_slice(format!(",\"timeframe\":\"{timeframe}\",\"source\":\"{source}\"}}").as_bytes());
    for (at, row) in bars.iter().enumerate() {
        bar(&mut out, row);
        out.pop(); // the brace
        out.extend_from_slice(&origin);
        for line in lines {
            out.pop(); // the brace
            out.push(b',');
            text(&mut out, &column(line));
            number(&mut out, ":", line.values.get(at).copied().flatten().unwrap_or(f64::NAN));
            out.push(b'}');
        }
        out.push(b'\n');
    }
    out
}
