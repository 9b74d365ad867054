//! The rules that every decoder keeps, driven through whole frames: what is required, what may be missing, what is out of bounds.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use producer::alpaca::control::Control;
use producer::alpaca::{self, Encoding};
use producer::event::{Element, Event, Skip};
use producer::feed::Frame;
use producer::finnhub::{self, occurrences::Occurrences};
use producer::massive;
use serde_json::{Value, json};

fn events(frame: Frame<'_>, encoding: Encoding) -> Vec<Event> {
    let mut events = Vec::new();
    alpaca::frame::decode_frame(frame, encoding, &mut |element| match element {
        Element::Event(event) => events.push(event),
        Element::Control(control) => panic!("{control:?}"),
    });
    events
}

/// The one event of a frame with one element, read as JSON and as msgpack: both must say the same.
fn event(element: &Value) -> Event {
    let both = [
        events(Frame::Text(&json!([element]).to_string()), Encoding::Json),
        events(Frame::Binary(&rmp_serde::to_vec_named(&json!([element])).unwrap()), Encoding::Msgpack),
    ];
    for events in &both {
        assert_eq!(events.len(), 1, "{element}: {events:?}");
    }
    let [[as_json], [as_msgpack]] = [&both[0][..], &both[1][..]].map(|events| [events[0].clone()]);
    match (&as_json, &as_msgpack) {
        (Event::Skipped(one), Event::Skipped(other)) => assert_eq!(one.reason(), other.reason(), "{element}"),
        _ => assert_eq!(as_json, as_msgpack, "{element}"),
    }
    as_json
}

fn is_skipped(element: &Value) -> bool {
    matches!(event(element), Event::Skipped(_))
}

fn trade() -> Value {
    json!({"T": "t", "S": "AAPL", "i": 628, "x": "K", "p": 162.92, "s": 3, "c": ["@", "F"], "z": "C", "t": "2023-04-06T11:54:26.8Z"})
}

fn bar() -> Value {
    json!({"T": "b", "S": "SPY", "o": 3.5, "h": 4, "l": 3, "c": 3.5, "v": 100, "n": 7, "vw": 3.4, "t": "2021-02-22T19:15:00Z"})
}

fn correction() -> Value {
    json!({"T": "c", "S": "EEM", "x": "M", "oi": 1, "op": 39.1, "os": 44, "oc": [" "], "ci": 2, "cp": 39.2, "cs": 44, "cc": [" "],
        "z": "B", "t": "2023-04-06T14:25:06.5Z"})
}

fn cancel() -> Value {
    json!({"T": "x", "S": "GOOGL", "i": 465, "x": "D", "p": 105.31, "s": 300, "a": "C", "z": "C", "t": "2023-04-06T13:15:42Z"})
}

fn with(element: &Value, name: &str, value: Value) -> Value {
    let mut changed = element.clone();
    changed[name] = value;
    changed
}

#[test]
fn what_is_required_must_be_there_and_of_its_kind() {
    let elements: [(Value, &[&str]); 4] = [
        (trade(), &["S", "p", "s", "t"]),
        (bar(), &["S", "o", "h", "l", "c", "v", "t"]),
        (correction(), &["S", "x", "op", "os", "cp", "cs", "t"]),
        (cancel(), &["S", "p", "s", "t"]),
    ];
    for (element, required) in elements {
        assert!(!is_skipped(&element), "{element} is good");
        for name in required {
            let mut without = element.clone();
            without.as_object_mut().unwrap().remove(*name);
            assert!(is_skipped(&without), "{without} without {name}");
            for wrong in [Value::Null, json!([1]), json!({"a": 1}), json!(true)] {
                assert!(is_skipped(&with(&element, name, wrong.clone())), "{element} with {wrong} as {name}");
            }
        }
        for name in required.iter().filter(|name| element[**name].is_number()) {
            assert!(
                is_skipped(&with(&element, name, json!("1"))),
                "a number inside a text is of the wrong kind: {name}"
            );
        }
    }
}

#[test]
fn what_is_optional_may_be_missing_or_null_but_not_of_another_kind() {
    for (element, optional) in
        [(trade(), &["i", "x", "c", "z"][..]), (bar(), &["n", "vw"]), (cancel(), &["i", "x", "a"])]
    {
        for name in optional {
            let mut without = element.clone();
            without.as_object_mut().unwrap().remove(*name);
            assert!(!is_skipped(&without), "{without} without {name}");
            assert!(!is_skipped(&with(&element, name, Value::Null)), "{element} with null as {name}");
            assert!(is_skipped(&with(&element, name, json!({"a": 1}))), "{element} with an object as {name}");
        }
        let more = with(&element, "brand_new", json!({"deep": [1, {"er": null}]}));
        assert_eq!(event(&more), event(&element), "unknown fields are passed over");
    }
}

#[test]
fn values_out_of_bounds_cost_their_element() {
    for (name, bad) in [("p", json!(0)), ("p", json!(-1)), ("p", json!(1e10)), ("s", json!(0)), ("s", json!(1e16))] {
        assert!(is_skipped(&with(&trade(), name, bad.clone())), "{name} {bad}");
    }
    for (name, bad) in [("o", json!(0)), ("v", json!(-1)), ("v", json!(1e19)), ("n", json!(-1)), ("vw", json!(0))] {
        assert!(is_skipped(&with(&bar(), name, bad.clone())), "{name} {bad}");
    }
    let quiet = with(&with(&bar(), "v", json!(0)), "vw", json!(0));
    assert!(matches!(event(&quiet), Event::Bar(bar) if bar.vwap.is_none()), "no volume, no average");
    let odd = with(&with(&bar(), "h", json!(1)), "l", json!(9));
    assert!(
        matches!(event(&odd), Event::Bar(_)),
        "prices are not checked against each other: each follows its own trades"
    );
    for symbol in ["", " ", "TOO-LONG-TOO-LONG-TOO-LONG-TOO-LO", "é", "A\u{0}"] {
        assert!(is_skipped(&with(&trade(), "S", json!(symbol))), "{symbol:?}");
    }
    for symbol in ["BRK.B", "BTC/USD", "aapl"] {
        assert!(
            matches!(event(&with(&trade(), "S", json!(symbol))), Event::Trade(trade) if trade.symbol.as_str() == symbol)
        );
    }
    for name in ["x", "z"] {
        assert!(is_skipped(&with(&trade(), name, json!("\u{0}"))), "PostgreSQL keeps no NUL");
    }
    assert!(is_skipped(&with(&trade(), "c", json!(["\u{0}"]))), "PostgreSQL keeps no NUL");
}

#[test]
fn ids_are_kept_to_the_last_digit_and_times_to_the_nanosecond() {
    for id in [json!(i64::MIN), json!(-1), json!(0), json!(3_447_222_699_101_865_076_u64), json!(u64::MAX)] {
        let Event::Trade(trade) = event(&with(&trade(), "i", id.clone())) else { panic!("{id}") };
        assert_eq!(trade.trade_id.as_deref(), Some(id.to_string().as_str()));
    }
    assert!(is_skipped(&with(&trade(), "i", json!(1.5))), "a fraction is no id");
    for (text, ns) in [
        ("2023-04-06T11:54:26Z", 0),
        ("2023-04-06T11:54:26.838232225Z", 838_232_225),
        ("2023-04-06T07:54:26.1234567899-04:00", 123_456_789),
    ] {
        let Event::Trade(trade) = event(&with(&trade(), "t", json!(text))) else { panic!("{text}") };
        assert_eq!(trade.ts_ns, 1_680_782_066_000_000_000 + ns, "{text}");
    }
    for text in ["0001-01-01T00:00:00Z", "2023-04-06", "2023-04-06T25:00:00Z", "1680782066"] {
        assert!(is_skipped(&with(&trade(), "t", json!(text))), "{text}");
    }
}

#[test]
fn numbers_may_have_exponents_and_nothing_may_be_infinite() {
    let raw = |price: &str| {
        let text = format!(r#"[{{"T":"t","S":"AAPL","p":{price},"s":1,"t":"2023-04-06T11:54:26Z"}}]"#);
        events(Frame::Text(&text), Encoding::Json).remove(0)
    };
    assert!(matches!(raw("1.2655e2"), Event::Trade(trade) if trade.price == 126.55));
    assert!(matches!(raw("0.1"), Event::Trade(trade) if trade.price == 0.1), "never through a smaller float");
    for price in ["NaN", "Infinity", "1e999", "-"] {
        assert!(matches!(raw(price), Event::Skipped(_)), "{price}");
    }
}

#[test]
fn broken_frames_are_one_skip_and_never_more() {
    let good = trade().to_string();
    let deep = format!("[{}{}]", "[".repeat(40), "]".repeat(40));
    for broken in ["", "7", "{}", "null", "[", &good, &format!("[{good}] x"), &format!("[{good}][]"), &deep] {
        let events = events(Frame::Text(broken), Encoding::Json);
        assert!(matches!(events.last(), Some(Event::Skipped(Skip::Frame(_)))), "{broken}: {events:?}");
    }
    assert_eq!(events(Frame::Text("[]"), Encoding::Json), []);
    let mixed = format!(r#"[{good},7,{{"T":"zz"}},{{}},{good}]"#);
    let kinds: Vec<bool> =
        events(Frame::Text(&mixed), Encoding::Json).iter().map(|event| matches!(event, Event::Trade(_))).collect();
    assert_eq!(kinds, [true, false, false, false, true], "one bad element costs no other");
    let twice = format!(r#"[{{"S":"MSFT",{}]"#, &good[1..]);
    assert_eq!(events(Frame::Text(&twice), Encoding::Json).len(), 1, "a key that comes twice does no harm");
    for rubbish in [&[][..], &[0xc1], &[0xdd, 0xff, 0xff, 0xff, 0xff], &[0x91, 0xdb, 0x7f, 0xff, 0xff, 0xff]] {
        let events = events(Frame::Binary(rubbish), Encoding::Msgpack);
        assert!(matches!(events.as_slice(), [Event::Skipped(Skip::Frame(_))]), "{rubbish:?}: {events:?}");
    }
}

#[test]
fn the_other_feeds_take_frames_of_their_own_shape_only() {
    let mut skipped = Vec::new();
    let mut note = |skip: bool| skipped.push(skip);
    for frame in ["[]", "7", "", r#"{"type":"brand new"}"#, r#"{"data":[]}"#] {
        let mut all = true;
        let mut count = 0;
        finnhub::frame::decode_frame(Frame::Text(frame), &mut Occurrences::default(), &mut |element| {
            count += 1;
            all &= matches!(element, Element::Event(Event::Skipped(_)));
        });
        note(all && count == 1);
    }
    for frame in ["{}", "7", "", r#"[{"ev":"brand new"}]"#] {
        let mut all = true;
        let mut count = 0;
        massive::frame::decode_frame(Frame::Text(frame), &mut |element| {
            count += 1;
            all &= matches!(element, Element::Event(Event::Skipped(_)));
        });
        note(all && count == 1);
    }
    assert_eq!(skipped, [true; 9]);
}

#[test]
fn an_acknowledgement_may_leave_lists_out_and_bring_new_ones() {
    let text = r#"[{"T":"subscription","trades":["AAPL"],"bars":null,"imbalances":["X"],"brand_new":{"a":1}}]"#;
    let mut controls = Vec::new();
    alpaca::frame::decode_frame(Frame::Text(text), Encoding::Json, &mut |element| match element {
        Element::Control(control) => controls.push(control),
        Element::Event(event) => panic!("{event:?}"),
    });
    let [Control::Subscription(set)] = controls.as_slice() else { panic!("{controls:?}") };
    assert_eq!((set.trades.as_slice(), set.quotes.len(), set.bars.len()), (&["AAPL".to_owned()][..], 0, 0));
}
