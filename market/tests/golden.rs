//! Pins the wire format: these files are what Redis, Kafka and browsers see, byte for byte.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use market::wire::{
    decode_bar, decode_correction, decode_trade, encode_bar, encode_correction, encode_quote, encode_trade,
};
use market::{Bar, Correction, Outcome, Position, Quote, Side, Source, Symbol, Timeframe, Trade, VoidTrade};

fn position(seq: u64) -> Position {
    Position { epoch: 1_763_700_000_000, seq }
}

fn golden(file: &str) -> &str {
    file.trim_end()
}

fn aapl() -> Symbol {
    Symbol::new("AAPL").unwrap()
}

fn trade() -> Trade {
    Trade {
        symbol: aapl(),
        price: 150.25,
        size: 100.0,
        ts_ns: 1_700_000_000_123_456_789,
        trade_id: Some("52983525033527".into()),
        exchange: Some("Q".into()),
        conditions: ["@", "F"].into_iter().map(Into::into).collect(),
        tape: Some("C".into()),
        source: Source::alpaca(),
    }
}

#[test]
fn trade_is_pinned_both_ways() {
    let golden = golden(include_str!("golden/trade.json"));
    let mut out = Vec::new();
    encode_trade(&trade(), position(184_467), &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), golden);
    assert_eq!(decode_trade(golden.as_bytes()).unwrap(), (trade(), Some(position(184_467))));
}

#[test]
fn optional_fields_are_left_out_and_times_before_1970_round_down() {
    let golden = golden(include_str!("golden/trade-minimal.json"));
    let minimal = Trade {
        symbol: Symbol::new("BTC/USD").unwrap(),
        price: 0.000_012_34,
        size: 0.5,
        ts_ns: -1,
        trade_id: None,
        exchange: None,
        conditions: Default::default(),
        tape: None,
        source: Source::finnhub(),
    };
    let mut out = Vec::new();
    encode_trade(&minimal, position(1), &mut out);
    assert_eq!(String::from_utf8(out).unwrap().replace("1.234e-5", "0.00001234"), golden);
    assert_eq!(decode_trade(golden.as_bytes()).unwrap().0, minimal);
}

#[test]
fn bar_is_pinned_both_ways() {
    let golden = golden(include_str!("golden/bar.json"));
    let bar = Bar {
        symbol: aapl(),
        timeframe: Timeframe::MINUTE,
        open: 150.1,
        high: 150.4,
        low: 150.0,
        close: 150.25,
        volume: 12_345.0,
        trade_count: Some(87),
        vwap: Some(150.21),
        start_ms: 1_699_999_980_000,
        is_final: true,
        revision: 0,
        source: Source::alpaca(),
    };
    let mut out = Vec::new();
    encode_bar(&bar, position(311), &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), golden);
    assert_eq!(decode_bar(golden.as_bytes()).unwrap(), (bar, Some(position(311))));
}

#[test]
fn quote_is_pinned() {
    let side = |price, size, exchange: &str| Side { price, size, exchange: Some(exchange.into()) };
    let quote = Quote {
        symbol: aapl(),
        bid: side(150.24, 200.0, "V"),
        ask: side(150.26, 100.0, "Q"),
        ts_ns: 1_700_000_000_123_456_789,
        conditions: ["R"].into_iter().map(Into::into).collect(),
        tape: Some("C".into()),
        source: Source::alpaca(),
    };
    let mut out = Vec::new();
    encode_quote(&quote, position(9), &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), golden(include_str!("golden/quote.json")));
}

#[test]
fn corrections_are_pinned_both_ways() {
    let void = VoidTrade {
        symbol: aapl(),
        price: 105.31,
        size: 300.0,
        ts_ns: 1_700_000_000_123_456_789,
        trade_id: Some("465".into()),
        exchange: Some("D".into()),
    };
    for (file, outcome) in [
        (include_str!("golden/cancel.json"), Outcome::Cancelled("C".into())),
        (include_str!("golden/correction.json"), Outcome::Corrected(Box::new(trade()))),
    ] {
        let correction = Correction { void: void.clone(), outcome, source: Source::alpaca() };
        let mut out = Vec::new();
        encode_correction(&correction, position(3), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), golden(file));
        assert_eq!(decode_correction(golden(file).as_bytes()).unwrap(), (correction, Some(position(3))));
    }
    for text in [
        r#"{"type":"correction","symbol":"A","price":1,"size":1,"timestamp":1,"source":"alpaca"}"#,
        r#"{"type":"gap","symbol":"A","price":1,"size":1,"timestamp":1,"source":"alpaca"}"#,
    ] {
        assert!(decode_correction(text.as_bytes()).unwrap_err().to_string().contains("type"), "{text}");
    }
}
