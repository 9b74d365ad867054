//! Bars and trades in Alpaca's one-letter shape. Absent values are `null`: clients of that API insist on the keys.

use std::io::Write as _;

use jiff::Timestamp;
use market::Symbol;

use super::{integer, keyed, map, number, text, text_or_null};
use crate::db::bars::{BarRow, Edge};
use crate::db::trades::TradeRow;
use crate::many::{Page, Part};

/// Writes one record.
pub type Write<T> = fn(&mut Vec<u8>, &T);

/// `{"bars":{"AAPL":[…]},"next_page_token":…,"as_of":{"AAPL":{…}}}`; `name` is `bars` or `trades`.
#[must_use]
pub fn by_symbol<T>(name: &str, page: &Page<T>, token: Option<&str>, write: Write<T>) -> Vec<u8> {
    let mut out = begin(name);
    map(&mut out, &page.parts, |out, part| keyed(out, &part.symbol, |out| super::list(out, &part.records, write)));
    end(out, page, token)
}

/// `{"bars":[…],"symbol":…,"next_page_token":…,"as_of":{…}}`
#[must_use]
pub fn of_one<T>(name: &str, symbol: &Symbol, page: &Page<T>, token: Option<&str>, write: Write<T>) -> Vec<u8> {
    let mut out = begin(name);
    let part = page.parts.first();
    super::list(&mut out, part.map_or(&[], |part| &part.records), write);
    out.extend_from_slice(b",\"symbol\":");
    text(&mut out, symbol.as_str());
    end(out, page, token)
}

/// `{"bars":{"AAPL":{…}},"as_of":{…}}`; here `name` is `bars` or `trades` too.
#[must_use]
pub fn latest<T>(name: &str, parts: &[Part<T>], write: Write<T>) -> Vec<u8> {
    let mut out = begin(name);
    let newest: Vec<_> = parts.iter().filter_map(|part| Some((&part.symbol, part.records.first()?))).collect();
    map(&mut out, &newest, |out, (symbol, record)| keyed(out, symbol, |out| write(out, record)));
    edges(&mut out, parts);
    out.push(b'}');
    out
}

/// `{"symbol":…,"bar":{…},"as_of":{…}}`; `name` is `bar` or `trade`.
#[must_use]
pub fn latest_of_one<T>(name: &str, symbol: &Symbol, parts: &[Part<T>], write: Write<T>) -> Vec<u8> {
    let mut out = begin(name);
    or_null(&mut out, parts.first().and_then(|part| part.records.first()), write);
    out.extend_from_slice(b",\"symbol\":");
    text(&mut out, symbol.as_str());
    edges(&mut out, parts);
    out.push(b'}');
    out
}

/// What is known of one symbol now.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Whose.
    pub symbol: Symbol,
    /// The newest trade.
    pub trade: Option<TradeRow>,
    /// The newest minute.
    pub minute: Option<BarRow>,
    /// The newest day.
    pub day: Option<BarRow>,
    /// The day before it that has bars.
    pub previous_day: Option<BarRow>,
    /// Where the symbol's bars end.
    pub edge: Option<Edge>,
    /// Whether no outage can have taken a trade or bar since the newest day began.
    pub complete: bool,
}

/// `{"symbol":…,"latestTrade":…,"latestQuote":null,"minuteBar":…,"dailyBar":…,"prevDailyBar":…}`: quotes are not stored.
pub fn snapshot(out: &mut Vec<u8>, snapshot: &Snapshot) {
    out.extend_from_slice(b"{\"symbol\":");
    text(out, snapshot.symbol.as_str());
    out.extend_from_slice(b",\"latestTrade\":");
    or_null(out, snapshot.trade.as_ref(), trade);
    out.extend_from_slice(b",\"latestQuote\":null");
    for (key, row) in
        [("minuteBar", &snapshot.minute), ("dailyBar", &snapshot.day), ("prevDailyBar", &snapshot.previous_day)]
    {
        out.push(b',');
        text(out, key);
        out.push(b':');
        or_null(out, row.as_ref(), bar);
    }
    if let Some(edge) = &snapshot.edge {
        out.extend_from_slice(b",\"as_of\":");
        super::as_of(out, edge);
    }
    out.push(b'}');
}

/// `{"t":…,"o":…,"h":…,"l":…,"c":…,"v":…,"n":…,"vw":…}`
pub fn bar(out: &mut Vec<u8>, bar: &BarRow) {
    out.extend_from_slice(b"{\"t\":");
    time(out, bar.start_ns());
    number(out, ",\"o\":", bar.open);
    number(out, ",\"h\":", bar.high);
    number(out, ",\"l\":", bar.low);
    number(out, ",\"c\":", bar.close);
    number(out, ",\"v\":", bar.volume);
    match bar.trade_count {
        Some(count) => integer(out, ",\"n\":", count),
        None => out.extend_from_slice(b",\"n\":null"),
    }
    number(out, ",\"vw\":", bar.vwap.unwrap_or(f64::NAN));
    out.push(b'}');
}

/// `{"t":…,"x":…,"p":…,"s":…,"c":[…],"i":…,"z":…}`; an id that is no whole number has no place in this shape.
pub fn trade(out: &mut Vec<u8>, trade: &TradeRow) {
    out.extend_from_slice(b"{\"t\":");
    time(out, trade.ts_ns);
    out.extend_from_slice(b",\"x\":");
    text(out, &trade.exchange);
    number(out, ",\"p\":", trade.price);
    number(out, ",\"s\":", trade.size);
    out.extend_from_slice(b",\"c\":");
    let conditions: Vec<&str> = trade.conditions.as_deref().map(|list| list.split(',').collect()).unwrap_or_default();
    super::list(out, &conditions, |out, code| text(out, code));
    out.extend_from_slice(b",\"i\":");
    match trade.trade_id.parse::<i128>() {
        Ok(id) => integer(out, "", id),
        Err(_) => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"z\":");
    text_or_null(out, trade.tape.as_deref());
    out.push(b'}');
}

fn begin(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    out.push(b'{');
    text(&mut out, name);
    out.push(b':');
    out
}

fn end<T>(mut out: Vec<u8>, page: &Page<T>, token: Option<&str>) -> Vec<u8> {
    out.extend_from_slice(b",\"next_page_token\":");
    text_or_null(&mut out, token);
    edges(&mut out, &page.parts);
    out.push(b'}');
    out
}

fn edges<T>(out: &mut Vec<u8>, parts: &[Part<T>]) {
    let known: Vec<_> = parts.iter().filter_map(|part| Some((&part.symbol, part.edge.as_ref()?))).collect();
    out.extend_from_slice(b",\"as_of\":");
    map(out, &known, |out, (symbol, edge)| keyed(out, symbol, |out| super::as_of(out, edge)));
}

fn or_null<T>(out: &mut Vec<u8>, value: Option<&T>, write: Write<T>) {
    match value {
        Some(value) => write(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

/// RFC 3339 in UTC with as many digits as are needed.
fn time(out: &mut Vec<u8>, ts_ns: i64) {
    let moment = Timestamp::from_nanosecond(i128::from(ts_ns)).unwrap_or_default();
    let _ = write!(out, "\"{moment}\""); // a Vec takes every write
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trade_keeps_its_nanoseconds_its_blank_condition_and_its_large_id() {
        let row = TradeRow {
            ts_ns: 1_717_421_400_083_540_958,
            price: 162.92,
            size: 3.0,
            exchange: "K".to_owned(),
            trade_id: "3447222699101865076".to_owned(),
            conditions: Some(" ,7".to_owned()),
            tape: Some("C".to_owned()),
        };
        let mut out = Vec::new();
        trade(&mut out, &row);
        let json = r#"{"t":"2024-06-03T13:30:00.083540958Z","x":"K","p":162.92,"s":3,"c":[" ","7"],"i":3447222699101865076,"z":"C"}"#;
        assert_eq!(String::from_utf8(out).unwrap(), json);
        let mut out = Vec::new();
        trade(&mut out, &TradeRow { trade_id: "kafka:0-7".to_owned(), conditions: None, tape: None, ..row });
        assert!(String::from_utf8(out).unwrap().ends_with(r#""c":[],"i":null,"z":null}"#));
    }
}
