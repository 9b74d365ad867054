//! The golden files are what programs send and what clients get; each broken variant of them is rejected with a sentence.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use business::{Invalid, Record, Stream, decode};
use proptest::prelude::*;
use serde_json::{Value, json};

/// 29 November 2026, in Unix milliseconds.
const NOW_MS: i64 = 1_795_953_700_000;

fn golden(stream: Stream) -> Vec<&'static str> {
    let text = match stream {
        Stream::Sales => include_str!("../golden/sales.json"),
        Stream::UserEvents => include_str!("../golden/user_events.json"),
        Stream::FinancialMetrics => include_str!("../golden/financial_metrics.json"),
    };
    text.lines().collect()
}

fn read(stream: Stream, json: &Value) -> Result<Record, Invalid> {
    decode(stream, json.to_string().as_bytes(), NOW_MS)
}

/// The first golden record of a stream with one field changed.
fn changed(stream: Stream, field: &str, value: &Value) -> Value {
    let mut json: Value = serde_json::from_str(golden(stream)[0]).unwrap();
    json[field] = value.clone();
    json
}

#[test]
fn golden_records_are_written_as_they_were_read() {
    for stream in Stream::ALL {
        for line in golden(stream) {
            let record = decode(stream, line.as_bytes(), NOW_MS).unwrap();
            assert_eq!(serde_json::to_string(&record).unwrap(), line);
        }
    }
}

#[test]
fn fields_of_others_are_left_out_and_null_is_an_absent_option() {
    let mut json = changed(Stream::Sales, "region", &Value::Null);
    json["note"] = json!({ "of": ["anybody"] });
    let Record::Sale(sale) = read(Stream::Sales, &json).unwrap() else { panic!("a sale") };
    assert_eq!(sale.region, None);
    assert!(!serde_json::to_string(&sale).unwrap().contains("anybody"));
}

#[test]
fn every_broken_rule_is_named_with_field_and_value() {
    let long = "x".repeat(65);
    for (stream, field, value, expected) in [
        (
            Stream::Sales,
            "amount",
            json!(1349.71),
            "amount: `1349.71` is not quantity × unit_price (3 × 449.90 = 1349.70)",
        ),
        (Stream::Sales, "amount", json!("1e3"), "amount: `1e3` is not an amount"),
        (Stream::Sales, "amount", json!(true), "amount: `true` is not an amount"),
        (Stream::Sales, "unit_price", json!(449.901), "unit_price: `449.901` has more than two decimals"),
        (Stream::Sales, "unit_price", json!(-1), "unit_price: `-1.00` is negative"),
        (Stream::Sales, "cost", json!(-0.01), "cost: `-0.01` is negative"),
        (Stream::Sales, "quantity", json!(-3), "quantity: `-3` is not a quantity"),
        (Stream::Sales, "quantity", json!(0), "quantity: `0` is not a quantity"),
        (Stream::Sales, "quantity", json!(1.5), "quantity: `1.5` is not a quantity"),
        (Stream::Sales, "currency", json!("XYZ"), "currency: `XYZ` is not a currency"),
        (Stream::Sales, "id", json!(long), "has 65 characters (at most 64 are allowed)"),
        (Stream::Sales, "id", json!(""), "id: `` is empty"),
        (Stream::Sales, "id", json!(7), "id: `7` is not a text"),
        (Stream::Sales, "id", Value::Null, "id: `null` is not a text"),
        (Stream::Sales, "timestamp", json!("1795953600000"), "timestamp: `\"1795953600000\"` is not a whole number"),
        (Stream::Sales, "timestamp", json!("x".repeat(60_000)), "is not a whole number"),
        (Stream::Sales, "customer", json!(["a"]), "customer: `[\"a\"]` is not a text"),
        (Stream::Sales, "product", json!("a\u{0}b"), "contains a control character"),
        (Stream::Sales, "timestamp", json!(NOW_MS + 366 * 86_400_000), "more than a day in the future"),
        (Stream::Sales, "timestamp", json!(NOW_MS / 1000), "are these seconds?"),
        (Stream::UserEvents, "country", json!("XX"), "country: `XX` is not a country"),
        (Stream::UserEvents, "event_type", json!("page view"), "is not an event type"),
        (Stream::UserEvents, "user_id", json!(" "), "user_id: ` ` is empty"),
        (Stream::FinancialMetrics, "period", json!("2026-13"), "period: `2026-13` is not a month"),
        (Stream::FinancialMetrics, "period", json!("2026-1"), "is not a month"),
        (Stream::FinancialMetrics, "budget", json!("99999999999999999"), "is too large"),
    ] {
        let error = read(stream, &changed(stream, field, &value)).unwrap_err().to_string();
        assert!(error.contains(expected), "{stream} {field}={value}: {error}");
        assert!(error.chars().count() < 300, "{error}");
    }
    let by_position = br#"["a",1795953600000,"p",null,null,null,1,"1.00","1.00",null,"USD"]"#;
    for payload in [&by_position[..], b"[]", b"null", b"7", b"\"text\"", b""] {
        let error = decode(Stream::Sales, payload, NOW_MS).unwrap_err().to_string();
        assert!(error.ends_with("expected a JSON object"), "{error}");
    }
    for stream in Stream::ALL {
        let whole: Value = serde_json::from_str(golden(stream)[0]).unwrap();
        let mut without = whole.clone();
        without.as_object_mut().unwrap().remove("id");
        assert!(read(stream, &without).unwrap_err().to_string().contains("missing field `id`"));
        let twice = whole.to_string().replacen('{', r#"{"id":"other","#, 1);
        assert!(decode(stream, twice.as_bytes(), NOW_MS).unwrap_err().to_string().contains("duplicate field `id`"));
    }
    let large = changed(Stream::Sales, "product", &json!("x".repeat(1 << 20)));
    assert!(matches!(read(Stream::Sales, &large), Err(Invalid::TooLong { .. })));
    assert!(decode(Stream::Sales, b"\xff\xfe", NOW_MS).is_err());
}

proptest! {
    #[test]
    fn a_sale_holds_only_if_its_amount_is_exact(quantity in 1i64..2_000, price in 0i64..10_000_000, off in -3i64..=3) {
        let cents = |cents: i64| format!("{}.{:02}", cents / 100, cents % 100);
        let mut json = changed(Stream::Sales, "quantity", &json!(quantity));
        json["unit_price"] = json!(cents(price));
        let amount = quantity * price + off;
        prop_assume!(amount >= 0);
        json["amount"] = json!(cents(amount));
        prop_assert_eq!(read(Stream::Sales, &json).is_ok(), off == 0);
    }

    #[test]
    fn whatever_comes_nothing_panics_and_what_is_accepted_reads_back_equal(
        which in 0usize..3, line in 0usize..2, at in 0usize..400, byte in any::<u8>(), cut in 0usize..400,
    ) {
        let stream = Stream::ALL[which];
        let lines = golden(stream);
        let mut bytes = lines[line % lines.len()].as_bytes().to_vec();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(length - if cut % 5 == 0 { cut % length } else { 0 });
        if let Ok(record) = decode(stream, &bytes, NOW_MS) {
            let written = serde_json::to_vec(&record).unwrap();
            prop_assert_eq!(decode(stream, &written, NOW_MS).unwrap(), record);
        }
    }
}
