//! Bars to JSON by hand: a third of the time that a generic serialiser takes, and prices in the form the live stream has.

pub mod alpaca;
pub mod arrow;
pub mod table;

use market::Symbol;

use crate::db::bars::{BarRow, Edge, Series};
use crate::indicators::Line;

/// A thousand bars take about 150 kB.
const BAR_BYTES: usize = 160;

/// A page of bars and all that is said about it.
#[derive(Clone, Copy, Debug)]
pub struct Bars<'a> {
    /// Whose bars.
    pub series: &'a Series,
    /// In the order of the answer.
    pub bars: &'a [BarRow],
    /// Indicators, one value a bar.
    pub lines: &'a [Line],
    /// Where the next page begins.
    pub token: Option<&'a str>,
    /// Where the series ends now.
    pub edge: Option<&'a Edge>,
    /// Whether no outage can have taken a bar.
    pub complete: bool,
}

/// `{"symbol":…,"timeframe":…,"bars":[…],"next_page_token":…,"as_of":…,"complete":…}`
#[must_use]
pub fn bars(page: &Bars<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + page.bars.len() * BAR_BYTES);
    out.extend_from_slice(b"{\"symbol\":");
    text(&mut out, page.series.symbol.as_str());
    out.extend_from_slice(b",\"timeframe\":");
    text(&mut out, &page.series.timeframe.to_string());
    out.extend_from_slice(b",\"bars\":");
    list(&mut out, page.bars, bar);
    out.extend_from_slice(b",\"next_page_token\":");
    text_or_null(&mut out, page.token);
    out.extend_from_slice(b",\"as_of\":");
    match page.edge {
        Some(edge) => as_of(&mut out, edge),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(if page.complete { b",\"complete\":true" } else { b",\"complete\":false" });
    if !page.lines.is_empty() {
        out.extend_from_slice(b",\"indicators\":");
        map(&mut out, page.lines, |out, line| {
            text(out, &line.name);
            out.push(b':');
            list(out, &line.values, |out, value| number(out, "", value.unwrap_or(f64::NAN)));
        });
    }
    out.push(b'}');
    out
}

/// The same with `"success":true` and the bars once more in `data`, where pages of another dialect look for them.
#[must_use]
pub fn historical(page: &Bars<'_>) -> Vec<u8> {
    let mut out = bars(page);
    out.pop(); // the brace
    out.extend_from_slice(b",\"success\":true,\"data\":");
    list(&mut out, page.bars, bar);
    out.push(b'}');
    out
}

/// `{"timeframe":…,"bars":{"AAPL":{…}},"as_of":{"AAPL":{…}}}`
#[must_use]
pub fn latest(timeframe: &str, newest: &[(Symbol, BarRow, Option<Edge>)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + newest.len() * 2 * BAR_BYTES);
    out.extend_from_slice(b"{\"timeframe\":");
    text(&mut out, timeframe);
    out.extend_from_slice(b",\"bars\":");
    map(&mut out, newest, |out, (symbol, row, _)| keyed(out, symbol, |out| bar(out, row)));
    out.extend_from_slice(b",\"as_of\":");
    let edges: Vec<_> = newest.iter().filter_map(|(symbol, _, edge)| Some((symbol, edge.as_ref()?))).collect();
    map(&mut out, &edges, |out, (symbol, edge)| keyed(out, symbol, |out| as_of(out, edge)));
    out.push(b'}');
    out
}

/// One bar as [`crate::dto::Bar`].
pub fn bar(out: &mut Vec<u8>, bar: &BarRow) {
    integer(out, "{\"timestamp\":", bar.start_ms);
    number(out, ",\"open\":", bar.open);
    number(out, ",\"high\":", bar.high);
    number(out, ",\"low\":", bar.low);
    number(out, ",\"close\":", bar.close);
    number(out, ",\"volume\":", bar.volume);
    if let Some(count) = bar.trade_count {
        integer(out, ",\"trade_count\":", count);
    }
    if let Some(vwap) = bar.vwap {
        number(out, ",\"vwap\":", vwap);
    }
    out.extend_from_slice(if bar.is_final { b",\"final\":true" } else { b",\"final\":false" });
    integer(out, ",\"revision\":", bar.revision);
    out.push(b'}');
}

/// One position as [`crate::dto::AsOf`].
pub fn as_of(out: &mut Vec<u8>, edge: &Edge) {
    out.push(b'{');
    if let Some(position) = edge.position {
        integer(out, "\"epoch\":", position.epoch);
        integer(out, ",\"seq\":", position.seq);
        out.push(b',');
    }
    integer(out, "\"time\":", edge.newest_ms);
    out.push(b'}');
}

/// `[…,…]`
pub fn list<T>(out: &mut Vec<u8>, items: &[T], write: impl FnMut(&mut Vec<u8>, &T)) {
    enclosed(out, *b"[]", items, write);
}

/// `{…,…}`, each item writing its own key.
pub fn map<T>(out: &mut Vec<u8>, items: &[T], write: impl FnMut(&mut Vec<u8>, &T)) {
    enclosed(out, *b"{}", items, write);
}

fn enclosed<T>(out: &mut Vec<u8>, [open, close]: [u8; 2], items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(open);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(close);
}

/// `"key":value`
pub fn keyed(out: &mut Vec<u8>, key: &Symbol, write: impl FnOnce(&mut Vec<u8>)) {
    text(out, key.as_str());
    out.push(b':');
    write(out);
}

/// A JSON string.
pub fn text(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

/// A JSON string, or `null`.
pub fn text_or_null(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(value) => text(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

/// `key` and a whole number.
pub fn integer(out: &mut Vec<u8>, key: &str, value: impl itoa::Integer) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// `key` and a number in the shortest form that reads back equal: `100`, not `100.0`.
pub fn number(out: &mut Vec<u8>, key: &str, value: f64) {
    /// 2^53: below it every whole `f64` is one exact integer.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if !value.is_finite() {
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"null"); // JSON has no other word for it, and no writer of ours stores one
    } else if value.fract() == 0.0 && value.abs() < WHOLE_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        integer(out, key, value as i64);
    } else if let Some(millionths) = millionths(value) {
        decimal(out, key, value < 0.0, millionths);
    } else {
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    }
}

/// The millionths that `value` is nearest to, without its sign, where they read back as `value`: so it is with nearly all prices, which have few decimals.
///
/// Below 10^15 a decimal of six places and an `f64` belong to each other one to one, so no shorter form can be another one.
fn millionths(value: f64) -> Option<u64> {
    let nearest = (value.abs() * 1e6).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, positive and below 10^15")]
    let whole = nearest as u64;
    // Both sides of the division are exact, so its result is what reading the decimal gives.
    #[expect(clippy::float_cmp, reason = "equal is what is asked")]
    (nearest < 1e15 && nearest / 1e6 == value.abs()).then_some(whole)
}

/// `key` and so many millionths, without zeros at the end; whole numbers are for [`integer`].
fn decimal(out: &mut Vec<u8>, key: &str, negative: bool, millionths: u64) {
    out.extend_from_slice(key.as_bytes());
    if negative {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(millionths / 1_000_000).as_bytes());
    let (mut rest, mut places) = (millionths % 1_000_000, 6);
    while rest % 10 == 0 && places > 1 {
        (rest, places) = (rest / 10, places - 1);
    }
    out.push(b'.');
    let end = out.len() + places;
    out.resize(end, b'0');
    for place in out[end - places..].iter_mut().rev() {
        *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dto;
    use market::{Position, Source, Timeframe};
    use proptest::prelude::*;

    fn row(start_ms: i64, price: f64, count: Option<i64>, vwap: Option<f64>) -> BarRow {
        BarRow {
            start_ms,
            open: price,
            high: price * 2.0,
            low: price / 3.0,
            close: price + 0.1,
            volume: 100.0,
            trade_count: count,
            vwap,
            is_final: count.is_some(),
            revision: 2,
        }
    }

    fn documented(row: &BarRow) -> dto::Bar {
        dto::Bar {
            timestamp: row.start_ms,
            open: row.open,
            high: row.high,
            low: row.low,
            close: row.close,
            volume: row.volume,
            trade_count: row.trade_count,
            vwap: row.vwap,
            r#final: row.is_final,
            revision: row.revision,
        }
    }

    fn written(value: f64) -> String {
        let mut out = Vec::new();
        number(&mut out, "", value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_number_has_the_fewest_digits_that_read_back_equal() {
        for text in ["0.5", "0.000001", "-0.25", "150.01", "150.1", "99999999.999999", "1.00001", "0.1", "-12.5"] {
            assert_eq!(written(text.parse().unwrap()), text);
        }
        assert_eq!(written(0.1 + 0.2), "0.30000000000000004");
        assert_eq!((written(100.0), written(-0.0), written(f64::NAN)), ("100".into(), "0".into(), "null".into()));
    }

    proptest! {
        #[test]
        fn a_decimal_is_written_as_it_was(millionths in 1_i64..999_999_999_999_999, sign in prop::sample::select(vec![1.0, -1.0])) {
            let value = sign * (millionths as f64 / 1e6);
            let text = written(value);
            prop_assert_eq!(text.parse::<f64>().unwrap(), value);
            if value.fract() != 0.0 {
                prop_assert!(text.len() <= ryu::Buffer::new().format_finite(value).len().max(9), "{}", text);
            }
        }

        #[test]
        fn what_is_written_reads_back_as_what_is_documented(
            price in 0.0001_f64..1e9, count: Option<i64>, vwap in prop::option::of(0.01_f64..1e6), start_ms: i64, name in "[ -~]{0,30}[A-Z]",
        ) {
            let symbol = Symbol::stored(&name).unwrap();
            let row = row(start_ms, price, count, vwap);
            let edge = Edge { newest_ms: start_ms, position: Some(Position { epoch: 1, seq: 2 }) };
            let series = Series { symbol, timeframe: Timeframe::MINUTE, source: Source::alpaca() };
            let rows = [row.clone(), row.clone()];
            let page = Bars { series: &series, bars: &rows, lines: &[], token: Some("next"), edge: Some(&edge), complete: count.is_some() };
            let json = bars(&page);
            let read: dto::Bars = serde_json::from_slice(&json).unwrap();
            let as_of = dto::AsOf { epoch: Some(1), seq: Some(2), time: start_ms };
            prop_assert_eq!(read, dto::Bars {
                symbol: name.clone(),
                timeframe: "1Min".to_owned(),
                bars: vec![documented(&row), documented(&row)],
                next_page_token: Some("next".to_owned()),
                as_of: Some(as_of.clone()),
                complete: count.is_some(),
                indicators: None,
            });
            let json = latest("1Min", &[(symbol, row.clone(), Some(edge))]);
            let read: dto::LatestBars = serde_json::from_slice(&json).unwrap();
            prop_assert_eq!(&read.bars[&name], &documented(&row));
            prop_assert_eq!(&read.as_of[&name], &as_of);
        }
    }

    #[test]
    fn unknown_values_are_left_out_and_whole_prices_have_no_point() {
        let mut out = Vec::new();
        bar(&mut out, &row(60_000, 3.0, None, None));
        let json =
            r#"{"timestamp":60000,"open":3,"high":6,"low":1,"close":3.1,"volume":100,"final":false,"revision":2}"#;
        assert_eq!(String::from_utf8(out).unwrap(), json);
    }
}
