//! Records to and from the JSON that Redis, Kafka and the browser see. Nothing else in the house knows this format.
//!
//! Encoding writes into a caller's buffer and allocates nothing; each record is encoded once and its bytes shared. Decoding
//! checks every limit again, because a topic is a door that anybody can write to. Unknown fields are ignored, absent ones are left
//! out (never `null`), numbers are printed in the shortest form that reads back equal.

mod correction;
mod scan;

use std::borrow::Cow;

use compact_str::CompactString;
use serde::{Deserialize, Deserializer};

use crate::NS_PER_MS;
use crate::record::{Bar, Conditions, Position, Quote, Side, Trade};
use crate::reject::Reject;
use crate::symbol::{Source, Symbol};

pub use correction::{decode_correction, encode_correction};

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Not JSON, or a field is missing or has the wrong type; the text names it.
    #[error("not a record: {0}")]
    Json(#[from] serde_json::Error),
    /// A value breaks a limit.
    #[error(transparent)]
    Reject(#[from] Reject),
    /// `timestamp_ns` is not an integer in a string.
    #[error("timestamp_ns must be Unix nanoseconds as a string of digits")]
    TimestampNs,
    /// Neither `timestamp_ns` nor `timestamp`.
    #[error("missing field `timestamp_ns` or `timestamp`")]
    NoTimestamp,
}

/// Appends a trade as one JSON object. A record that never was in the live stream, such as a backfilled one, has no position.
pub fn encode_trade(trade: &Trade, position: impl Into<Option<Position>>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"symbol\":");
    push_text(out, trade.symbol.as_str());
    push_number(out, ",\"price\":", trade.price);
    push_number(out, ",\"size\":", trade.size);
    push_time(out, trade.ts_ns);
    push_optional(out, ",\"trade_id\":", trade.trade_id.as_deref());
    push_optional(out, ",\"exchange\":", trade.exchange.as_deref());
    push_list(out, ",\"conditions\":", &trade.conditions);
    push_optional(out, ",\"tape\":", trade.tape.as_deref());
    push_origin(out, &trade.source, position.into());
}

/// Appends a bar as one JSON object; its position as in [`encode_trade`].
pub fn encode_bar(bar: &Bar, position: impl Into<Option<Position>>, out: &mut Vec<u8>) {
    use std::io::Write as _;

    out.extend_from_slice(b"{\"symbol\":");
    push_text(out, bar.symbol.as_str());
    let _ = write!(out, ",\"timeframe\":\"{}\"", bar.timeframe); // a Vec takes every write
    push_number(out, ",\"open\":", bar.open);
    push_number(out, ",\"high\":", bar.high);
    push_number(out, ",\"low\":", bar.low);
    push_number(out, ",\"close\":", bar.close);
    push_number(out, ",\"volume\":", bar.volume);
    if let Some(count) = bar.trade_count {
        push_integer(out, ",\"trade_count\":", count);
    }
    if let Some(vwap) = bar.vwap {
        push_number(out, ",\"vwap\":", vwap);
    }
    push_integer(out, ",\"timestamp\":", bar.start_ms);
    out.extend_from_slice(if bar.is_final { b",\"final\":true" } else { b",\"final\":false" });
    push_integer(out, ",\"revision\":", bar.revision);
    push_origin(out, &bar.source, position.into());
}

/// Appends a quote as one JSON object: `bid`, `bid_size`, `bid_exchange`, `ask`, `ask_size`, `ask_exchange`. A side that nobody
/// quotes is left out.
pub fn encode_quote(quote: &Quote, position: impl Into<Option<Position>>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"symbol\":");
    push_text(out, quote.symbol.as_str());
    push_side(out, [",\"bid\":", ",\"bid_size\":", ",\"bid_exchange\":"], &quote.bid);
    push_side(out, [",\"ask\":", ",\"ask_size\":", ",\"ask_exchange\":"], &quote.ask);
    push_time(out, quote.ts_ns);
    push_list(out, ",\"conditions\":", &quote.conditions);
    push_optional(out, ",\"tape\":", quote.tape.as_deref());
    push_origin(out, &quote.source, position.into());
}

fn push_side(out: &mut Vec<u8>, [price, size, exchange]: [&str; 3], side: &Side) {
    if side.price > 0.0 {
        push_number(out, price, side.price);
        push_number(out, size, side.size);
        push_optional(out, exchange, side.exchange.as_deref());
    }
}

fn push_time(out: &mut Vec<u8>, ts_ns: i64) {
    push_integer(out, ",\"timestamp\":", ts_ns.div_euclid(NS_PER_MS));
    push_integer(out, ",\"timestamp_ns\":\"", ts_ns);
    out.push(b'"');
}

/// Writes the fields that every record ends with, and the closing brace.
fn push_origin(out: &mut Vec<u8>, source: &Source, position: Option<Position>) {
    out.extend_from_slice(b",\"source\":\"");
    out.extend_from_slice(source.as_str().as_bytes());
    out.push(b'"');
    if let Some(position) = position {
        push_integer(out, ",\"epoch\":", position.epoch);
        push_integer(out, ",\"seq\":", position.seq);
    }
    out.push(b'}');
}

fn push_integer(out: &mut Vec<u8>, key: &str, value: impl itoa::Integer) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `value` in the shortest form that reads back equal: `100`, not `100.0`.
fn push_number(out: &mut Vec<u8>, key: &str, value: f64) {
    /// 2^53: below it every whole `f64` is one exact integer.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < WHOLE_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        push_integer(out, key, value as i64);
    } else {
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    }
}

fn push_optional(out: &mut Vec<u8>, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        out.extend_from_slice(key.as_bytes());
        push_text(out, text);
    }
}

fn push_list(out: &mut Vec<u8>, key: &str, codes: &Conditions) {
    if codes.is_empty() {
        return;
    }
    out.extend_from_slice(key.as_bytes());
    for (at, code) in codes.iter().enumerate() {
        out.push(if at == 0 { b'[' } else { b',' });
        push_text(out, code);
    }
    out.push(b']');
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        let _ = serde_json::to_writer(out, text); // a Vec takes every write
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct WireTrade<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    price: f64,
    size: f64,
    timestamp: Option<i64>,
    #[serde(borrow)]
    timestamp_ns: Option<Cow<'a, str>>,
    trade_id: Option<CompactString>,
    exchange: Option<CompactString>,
    #[serde(default, deserialize_with = "conditions")]
    conditions: Conditions,
    tape: Option<CompactString>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    epoch: Option<i64>,
    seq: Option<u64>,
}

fn conditions<'de, D: Deserializer<'de>>(list: D) -> Result<Conditions, D::Error> {
    Vec::deserialize(list).map(Conditions::from_vec)
}

/// Reads a trade and its place in the live stream (absent where the writer gave none).
///
/// # Errors
/// [`WireError`], which names the field.
pub fn decode_trade(bytes: &[u8]) -> Result<(Trade, Option<Position>), WireError> {
    let wire = scan::trade(bytes).map_or_else(|| serde_json::from_slice(bytes), Ok)?;
    let trade = Trade {
        symbol: Symbol::stored(&wire.symbol)?,
        price: wire.price,
        size: wire.size,
        ts_ns: time_ns(wire.timestamp_ns.as_deref(), wire.timestamp)?,
        trade_id: wire.trade_id,
        exchange: wire.exchange,
        conditions: wire.conditions,
        tape: wire.tape,
        source: Source::new(&wire.source)?,
    };
    Ok((trade.checked()?, position(wire.epoch, wire.seq)))
}

#[derive(Deserialize)]
struct WireBar<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    timeframe: Cow<'a, str>,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
    trade_count: Option<u64>,
    vwap: Option<f64>,
    timestamp: i64,
    #[serde(rename = "final", default = "yes")]
    is_final: bool,
    #[serde(default)]
    revision: u32,
    #[serde(borrow)]
    source: Cow<'a, str>,
    epoch: Option<i64>,
    seq: Option<u64>,
}

fn yes() -> bool {
    true
}

/// Reads a bar and its place in the live stream (absent where the writer gave none).
///
/// # Errors
/// [`WireError`], which names the field.
pub fn decode_bar(bytes: &[u8]) -> Result<(Bar, Option<Position>), WireError> {
    let wire: WireBar<'_> = serde_json::from_slice(bytes)?;
    let bar = Bar {
        symbol: Symbol::stored(&wire.symbol)?,
        timeframe: wire.timeframe.parse()?,
        open: wire.open,
        high: wire.high,
        low: wire.low,
        close: wire.close,
        volume: wire.volume,
        trade_count: wire.trade_count,
        vwap: wire.vwap,
        start_ms: wire.timestamp,
        is_final: wire.is_final,
        revision: wire.revision,
        source: Source::new(&wire.source)?,
    };
    if bar.timeframe.start_of(bar.start_ms) != bar.start_ms {
        return Err(Reject::Unaligned.into());
    }
    Ok((bar.checked()?, position(wire.epoch, wire.seq)))
}

fn time_ns(timestamp_ns: Option<&str>, timestamp: Option<i64>) -> Result<i64, WireError> {
    match (timestamp_ns, timestamp) {
        (Some(text), _) => text.parse().map_err(|_| WireError::TimestampNs),
        (None, Some(ms)) => Ok(ms.checked_mul(NS_PER_MS).ok_or(Reject::Time)?),
        (None, None) => Err(WireError::NoTimestamp),
    }
}

fn position(epoch: Option<i64>, seq: Option<u64>) -> Option<Position> {
    Some(Position { epoch: epoch?, seq: seq? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeframe::Timeframe;
    use proptest::prelude::*;

    const POSITION: Position = Position { epoch: 1_763_700_000_000, seq: 7 };

    fn number(value: f64) -> String {
        let mut out = Vec::new();
        push_number(&mut out, "", value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_ordinary_trade_is_read_the_fast_way() {
        let golden = include_bytes!("../tests/golden/trade.json");
        let text = golden.trim_ascii();
        assert!(scan::trade(text).is_some(), "{}", String::from_utf8_lossy(text));
        for slow in ["{}", r#"{"symbol":"A","price":01,"#, ""] {
            assert_eq!(scan::trade(slow.as_bytes()), None);
        }
    }

    #[test]
    fn numbers_take_their_shortest_form() {
        for (value, text) in
            [(100.0, "100"), (150.25, "150.25"), (0.1, "0.1"), (1e15, "1000000000000000"), (0.0, "0"), (1e17, "1e17")]
        {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_refusal_names_the_field() {
        let error = |text: &str| decode_trade(text.as_bytes()).unwrap_err().to_string();
        assert!(error("{").contains("EOF"));
        assert!(error(r#"{"symbol":"A","price":1,"timestamp":1,"source":"alpaca"}"#).contains("size"));
        assert!(error(r#"{"symbol":"A","price":0,"size":1,"timestamp":1,"source":"alpaca"}"#).contains("price"));
        assert!(error(r#"{"symbol":"A","price":1,"size":1,"source":"alpaca"}"#).contains("timestamp"));
        assert!(
            error(r#"{"symbol":"A","price":1,"size":1,"timestamp_ns":"1.5","source":"alpaca"}"#)
                .contains("timestamp_ns")
        );
        assert!(error(r#"{"symbol":"A","price":"1","size":1,"timestamp":1,"source":"alpaca"}"#).contains("string"));
    }

    #[test]
    fn a_bar_that_starts_between_two_starts_is_refused() {
        let text = r#"{"symbol":"A","timeframe":"1Min","open":1,"high":1,"low":1,"close":1,"volume":1,"timestamp":61000,"source":"alpaca"}"#;
        assert!(decode_bar(text.as_bytes()).unwrap_err().to_string().contains("start of an interval"));
    }

    prop_compose! {
        fn trades()(
            symbol in "[ -~]{0,30}[!-~]", price in 1e-9_f64..1e9, size in 1e-9_f64..1e15, ts_ns in any::<i64>(),
            trade_id in prop::option::of("[^\0]{1,16}"), exchange in prop::option::of("[A-Z]"),
            conditions in prop::collection::vec("[^\0]{1,3}", 0..6), tape in prop::option::of("[A-C]"),
        ) -> Trade {
            Trade {
                symbol: Symbol::stored(&symbol).unwrap(), price, size, ts_ns,
                trade_id: trade_id.map(Into::into), exchange: exchange.map(Into::into),
                conditions: conditions.into_iter().map(Into::into).collect(), tape: tape.map(Into::into),
                source: Source::alpaca(),
            }
        }
    }

    proptest! {
        #[test]
        fn every_trade_reads_back_equal(trade in trades()) {
            let mut out = Vec::new();
            encode_trade(&trade, POSITION, &mut out);
            let (back, position) = decode_trade(&out).unwrap();
            prop_assert_eq!(back, trade);
            prop_assert_eq!(position, Some(POSITION));
        }

        #[test]
        fn the_fast_way_and_serde_read_the_same(
            trade in trades(), cents in 1_u64..10_000_000_000, places in 0_i32..5, size in 1_u32..1_000_000,
            positioned: bool, at in any::<prop::sample::Index>(), byte: u8,
        ) {
            #[expect(clippy::cast_precision_loss, reason = "any number will do")]
            let price = cents as f64 / 10_f64.powi(places);
            let ordinary = Trade { price, size: size.into(), ts_ns: trade.ts_ns.saturating_abs(), ..trade };
            let mut out = Vec::new();
            encode_trade(&ordinary, positioned.then_some(POSITION), &mut out);
            for _ in 0..2 {
                if let Some(fast) = scan::trade(&out) {
                    prop_assert_eq!(fast, serde_json::from_slice::<WireTrade<'_>>(&out).unwrap());
                }
                *at.get_mut(&mut out) = byte; // and once more with something wrong
            }
        }

        #[test]
        fn every_bar_reads_back_equal(
            prices in prop::array::uniform4(1e-9_f64..1e9), volume in 0_f64..1e18, minute in 0_i64..30_000_000,
            trade_count in prop::option::of(any::<u64>()), vwap in prop::option::of(1e-9_f64..1e9), is_final: bool, revision: u32,
        ) {
            let [open, high, low, close] = prices;
            let bar = Bar {
                symbol: Symbol::new("SPY").unwrap(), timeframe: Timeframe::MINUTE, open, high, low, close, volume, trade_count, vwap,
                start_ms: minute * crate::MS_PER_MINUTE, is_final, revision, source: Source::massive(),
            };
            let mut out = Vec::new();
            encode_bar(&bar, POSITION, &mut out);
            prop_assert_eq!(decode_bar(&out).unwrap(), (bar, Some(POSITION)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_trade(&bytes);
            let _ = decode_bar(&bytes);
        }
    }
}
