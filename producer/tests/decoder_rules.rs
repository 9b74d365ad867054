//! The rules that every decoder keeps, driven through whole frames: what is required, what may be missing, what is out of bounds.
//! ARCHITECTURE.md lists rule by rule which test proves it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use producer::feeds::alpaca::control::Control;
use producer::feeds::alpaca::{self, Encoding};
use producer::feeds::event::{Element, Event, Skip};
use producer::feeds::finnhub;
use producer::feeds::massive;
use producer::feeds::occurrences::Occurrences;
use producer::feeds::protocol::Frame;
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

fn quote() -> Value {
    json!({"T": "q", "S": "AMD", "bx": "U", "bp": 87.66, "bs": 1, "ax": "Q", "ap": 87.68, "as": 4, "c": ["R"], "z": "C",
        "t": "2023-04-06T13:15:42.5Z"})
}

/// What Massive's decoder makes of a frame with this one element.
fn massive_event(element: &Value) -> Event {
    let mut events = Vec::new();
    massive::frame::decode_frame(Frame::Text(&json!([element]).to_string()), &mut |element| match element {
        Element::Event(event) => events.push(event),
        Element::Control(status) => panic!("{status:?}"),
    });
    assert_eq!(events.len(), 1, "{element}: {events:?}");
    events.remove(0)
}

/// What Finnhub's decoder makes of a frame with this one trade.
fn finnhub_event(trade: &Value) -> Event {
    let frame = json!({"type": "trade", "data": [trade]}).to_string();
    let mut events = Vec::new();
    finnhub::frame::decode_frame(Frame::Text(&frame), &mut Occurrences::default(), &mut |element| match element {
        Element::Event(event) => events.push(event),
        Element::Control(control) => panic!("{control:?}"),
    });
    assert_eq!(events.len(), 1, "{trade}: {events:?}");
    events.remove(0)
}

fn massive_trade() -> Value {
    json!({"ev": "T", "sym": "MSFT", "x": 4, "i": "12345", "z": 3, "p": 114.125, "s": 100, "ds": "100.0", "c": [0, 12],
        "t": 1_536_036_818_784_i64, "q": 3_681_328, "trfi": 201, "trft": 1_536_036_818_790_i64})
}

fn massive_quote() -> Value {
    json!({"ev": "Q", "sym": "MSFT", "bx": 4, "bp": 114.125, "bs": 100, "ax": 7, "ap": 114.128, "as": 160, "c": 0, "i": [604],
        "t": 1_536_036_818_784_i64, "q": 50_385_480, "z": 3})
}

fn massive_bar() -> Value {
    json!({"ev": "AM", "sym": "GTE", "v": 4110, "dv": "4110.0", "av": 9_470_157, "dav": "9470157.0", "op": 0.4372, "vw": 0.4488,
        "o": 0.4488, "c": 0.4486, "h": 0.4489, "l": 0.4486, "a": 0.4352, "z": 685, "s": 1_610_144_640_000_i64,
        "e": 1_610_144_700_000_i64, "otc": true})
}

fn massive_second() -> Value {
    with(&with(&massive_bar(), "ev", "A".into()), "e", 1_610_144_641_000_i64.into())
}

fn finnhub_trade() -> Value {
    json!({"s": "AAPL", "p": 129.58, "t": 1_672_348_887_666_i64, "v": 1, "c": ["1", "24"]})
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
    for (element, optional) in [
        (trade(), &["i", "x", "c", "z", "u"][..]),
        (quote(), &["bx", "ax", "c", "z"]),
        (bar(), &["n", "vw"]),
        (correction(), &["oi", "oc", "ci", "cc", "z"]),
        (cancel(), &["i", "x", "a", "z"]),
    ] {
        check_optional(&element, optional, event);
    }
    for name in ["n", "vw"] {
        assert!(is_skipped(&with(&bar(), name, json!("7"))), "a number inside a text is of the wrong kind: {name}");
    }
    for (element, name) in [(trade(), "z"), (trade(), "x"), (cancel(), "z"), (cancel(), "a"), (correction(), "z")] {
        assert!(is_skipped(&with(&element, name, json!(7))), "a number is no text: {element} with 7 as {name}");
    }
    assert!(is_skipped(&with(&correction(), "oc", json!([7]))), "nor is it a condition");
}

fn check_optional(element: &Value, optional: &[&str], decode: fn(&Value) -> Event) {
    let is_skipped = |element: &Value| matches!(decode(element), Event::Skipped(_));
    assert!(!is_skipped(element), "{element} is good");
    for name in optional {
        let mut without = element.clone();
        without.as_object_mut().unwrap().remove(*name);
        assert!(!is_skipped(&without), "{without} without {name}");
        assert!(!is_skipped(&with(element, name, Value::Null)), "{element} with null as {name}");
        assert!(is_skipped(&with(element, name, json!({"a": 1}))), "{element} with an object as {name}");
    }
    let more = with(element, "brand_new", json!({"deep": [1, {"er": null}]}));
    assert_eq!(decode(&more), decode(element), "unknown fields are passed over");
}

#[test]
fn the_other_feeds_keep_the_same_rules_for_their_fields() {
    type Decode = fn(&Value) -> Event;
    const BAR_REQUIRED: &[&str] = &["sym", "o", "h", "l", "c", "s"];
    const BAR_OPTIONAL: &[&str] = &["dv", "av", "dav", "op", "vw", "a", "z", "e", "otc"];
    let elements: [(Value, Decode, &[&str], &[&str]); 5] = [
        (massive_trade(), massive_event, &["sym", "p", "t"], &["x", "i", "z", "ds", "c", "q", "trfi", "trft"]),
        (massive_quote(), massive_event, &["sym", "t"], &["bx", "bp", "bs", "ax", "ap", "as", "c", "i", "q", "z"]),
        (massive_bar(), massive_event, BAR_REQUIRED, BAR_OPTIONAL),
        (massive_second(), massive_event, BAR_REQUIRED, BAR_OPTIONAL),
        (finnhub_trade(), finnhub_event, &["s", "p", "t", "v"], &["c"]),
    ];
    for (element, decode, required, optional) in elements {
        let is_skipped = |element: &Value| matches!(decode(element), Event::Skipped(_));
        check_optional(&element, optional, decode);
        for name in required {
            for wrong in [Value::Null, json!([1]), json!({"a": 1}), json!(true)] {
                assert!(is_skipped(&with(&element, name, wrong.clone())), "{element} with {wrong} as {name}");
            }
            let mut without = element.clone();
            without.as_object_mut().unwrap().remove(*name);
            assert!(is_skipped(&without), "{without} without {name}");
            if element[*name].is_number() {
                assert!(is_skipped(&with(&element, name, json!("1"))), "a number inside a text: {name}");
            }
        }
    }
    for (element, decimal, plain) in [(massive_trade(), "ds", "s"), (massive_bar(), "dv", "v")] {
        let neither = with(&with(&element, decimal, Value::Null), plain, Value::Null);
        assert!(matches!(massive_event(&neither), Event::Skipped(_)), "one of {decimal} and {plain} must be there");
        assert!(matches!(massive_event(&with(&element, plain, json!("1"))), Event::Skipped(_)), "{plain} is no text");
    }
}

#[test]
fn one_bad_element_costs_no_other_of_any_feed() {
    let mut kinds = Vec::new();
    let mut note = |event: &Event| kinds.push(matches!(event, Event::Trade(_)));
    let frame = json!([massive_trade(), {"ev": "T"}, 7, {"ev": "zz"}, massive_trade()]).to_string();
    massive::frame::decode_frame(Frame::Binary(frame.as_bytes()), &mut |element| match element {
        Element::Event(event) => note(&event),
        Element::Control(status) => panic!("{status:?}"),
    });
    let frame = json!({"type": "trade", "data": [finnhub_trade(), {"s": 7}, 7, {}, finnhub_trade()]}).to_string();
    finnhub::frame::decode_frame(Frame::Binary(frame.as_bytes()), &mut Occurrences::default(), &mut |element| {
        match element {
            Element::Event(event) => note(&event),
            Element::Control(control) => panic!("{control:?}"),
        }
    });
    assert_eq!(kinds, [true, false, false, false, true, true, false, false, false, true]);
}

#[test]
fn values_out_of_bounds_cost_their_element() {
    for (name, bad) in [("p", json!(0)), ("p", json!(-1)), ("p", json!(1e10)), ("s", json!(0)), ("s", json!(1e16))] {
        assert!(is_skipped(&with(&trade(), name, bad.clone())), "{name} {bad}");
    }
    for (name, bad) in [("o", json!(0)), ("v", json!(-1)), ("v", json!(1e19)), ("n", json!(-1)), ("vw", json!(0))] {
        assert!(is_skipped(&with(&bar(), name, bad.clone())), "{name} {bad}");
    }
    for (name, most) in [("p", json!(1e9)), ("s", json!(1e15))] {
        assert!(!is_skipped(&with(&trade(), name, most.clone())), "{name} {most} is just possible");
    }
    assert!(!is_skipped(&with(&bar(), "v", json!(1e18))));
    for (element, names) in [(correction(), &["op", "os", "cp", "cs"][..]), (cancel(), &["p", "s"])] {
        for (name, bad) in names.iter().flat_map(|name| [json!(0), json!(-1), json!(1e16)].map(|bad| (name, bad))) {
            assert!(is_skipped(&with(&element, name, bad.clone())), "{element} with {bad} as {name}");
        }
    }
    for long_ago_or_ahead in ["1700-01-01T00:00:00Z", "2261-12-31T23:59:59Z"] {
        assert!(!is_skipped(&with(&trade(), "t", json!(long_ago_or_ahead))), "no clock is asked");
    }
    let quiet = with(&with(&bar(), "v", json!(0)), "vw", json!(0));
    assert!(matches!(event(&quiet), Event::Bar(bar) if bar.vwap.is_none()), "no volume, no average");
    let odd = with(&with(&bar(), "h", json!(1)), "l", json!(9));
    assert!(
        matches!(event(&odd), Event::Bar(_)),
        "prices are not checked against each other: each follows its own trades"
    );
    for symbol in ["", " ", "TOO-LONG-TOO-LONG-TOO-LONG-TOO-LO", "é", "A\u{0}", "A,B", "A B", "aapl"] {
        assert!(is_skipped(&with(&trade(), "S", json!(symbol))), "{symbol:?}");
    }
    for symbol in ["BRK.B", "BTC/USD", "BAC.PRB"] {
        assert!(
            matches!(event(&with(&trade(), "S", json!(symbol))), Event::Trade(trade) if trade.symbol.as_str() == symbol)
        );
    }
    for name in ["x", "z"] {
        assert!(is_skipped(&with(&trade(), name, json!("\u{0}"))), "PostgreSQL keeps no NUL");
    }
    assert!(is_skipped(&with(&trade(), "c", json!(["\u{0}"]))), "PostgreSQL keeps no NUL");
    for (element, name) in
        [(quote(), "z"), (quote(), "bx"), (correction(), "x"), (correction(), "z"), (cancel(), "x"), (cancel(), "a")]
    {
        assert!(is_skipped(&with(&element, name, json!("\u{0}"))), "{element} with NUL as {name}");
    }
    assert!(matches!(massive_event(&with(&massive_trade(), "i", json!("1\u{0}"))), Event::Skipped(_)));
    assert!(matches!(finnhub_event(&with(&finnhub_trade(), "c", json!(["\u{0}"]))), Event::Skipped(_)));
}

#[test]
fn ids_are_kept_to_the_last_digit_and_times_to_the_nanosecond() {
    for id in [json!(i64::MIN), json!(-1), json!(0), json!(3_447_222_699_101_865_076_u64), json!(u64::MAX)] {
        let Event::Trade(trade) = event(&with(&trade(), "i", id.clone())) else { panic!("{id}") };
        assert_eq!(trade.trade_id.as_deref(), Some(id.to_string().as_str()));
    }
    for (element, name) in [(trade(), "i"), (cancel(), "i"), (correction(), "oi"), (correction(), "ci")] {
        for no_id in [json!(1.5), json!(1e30), json!("1")] {
            assert!(is_skipped(&with(&element, name, no_id.clone())), "{no_id} is no id: {name}");
        }
    }
    for digits in ["18446744073709551616", "-9223372036854775809"] {
        let frame = format!("[{}]", trade().to_string().replace("628", digits));
        assert!(
            matches!(events(Frame::Text(&frame), Encoding::Json)[..], [Event::Skipped(_)]),
            "{digits} is too large"
        );
    }
    for (length, fits) in [(64, true), (65, false)] {
        let id = with(&with(&massive_trade(), "i", json!("7".repeat(length))), "trfi", Value::Null);
        assert_eq!(matches!(massive_event(&id), Event::Trade(_)), fits, "an id of {length} bytes");
    }
    for (text, ns) in [
        ("2023-04-06T11:54:26Z", 0),
        ("2023-04-06T11:54:26.838232225Z", 838_232_225),
        ("2023-04-06T07:54:26.1234567899-04:00", 123_456_789),
    ] {
        let Event::Trade(trade) = event(&with(&trade(), "t", json!(text))) else { panic!("{text}") };
        assert_eq!(trade.ts_ns, 1_680_782_066_000_000_000 + ns, "{text}");
    }
    for (ms, fits) in [
        (json!(100_000_000_000_i64), true),
        (json!(99_999_999_999_i64), false),
        (json!(1_672_348_887_666.5), false),
        (json!(9_300_000_000_000_i64), false),
    ] {
        let skipped = [
            massive_event(&with(&massive_trade(), "t", ms.clone())),
            massive_event(&with(&massive_quote(), "t", ms.clone())),
            finnhub_event(&with(&finnhub_trade(), "t", ms.clone())),
        ];
        let skipped = skipped.map(|event| matches!(event, Event::Skipped(_)));
        assert_eq!(skipped, [!fits; 3], "{ms} as Unix milliseconds");
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
fn thirty_two_levels_are_believed_and_no_more() {
    for (levels, fits) in [(30, true), (31, false)] {
        let nested = (0..levels).fold(json!(1), |inner, _| json!([inner])); // an array and an object are around it
        let element = with(&trade(), "brand_new", nested);
        let frame = json!([element]);
        for events in [
            events(Frame::Text(&frame.to_string()), Encoding::Json),
            events(Frame::Binary(&rmp_serde::to_vec_named(&frame).unwrap()), Encoding::Msgpack),
        ] {
            assert_eq!(matches!(events[..], [Event::Trade(_)]), fits, "{levels} levels: {events:?}");
            assert_eq!(matches!(events[..], [Event::Skipped(Skip::Frame(_))]), !fits, "{levels} levels: {events:?}");
        }
    }
}

#[test]
fn msgpack_numbers_come_in_every_width() {
    // 0xca and 0xcb are floats of four and eight bytes, 0xcd an integer of two.
    for (price, value) in
        [(&b"\xca\x3f\xc0\x00\x00"[..], 1.5), (b"\xcb\x3f\xf8\0\0\0\0\0\0", 1.5), (b"\xcd\x01\x00", 256.0)]
    {
        let mut frame = b"\x91\x85\xa1t\xd6\xff\x64\x2e\xb3\x12\xa1p".to_vec();
        frame.extend_from_slice(price);
        frame.extend_from_slice(b"\xa1s\x03\xa1S\xa4AAPL\xa1T\xa1t"); // the type may come last
        let events = events(Frame::Binary(&frame), Encoding::Msgpack);
        assert!(matches!(&events[..], [Event::Trade(trade)] if trade.price == value), "{events:?}");
    }
}

#[test]
fn a_trade_that_says_it_is_void_is_none() {
    for (update, holds) in [("corrected", true), ("canceled", false), ("incorrect", false)] {
        let event = event(&with(&trade(), "u", json!(update)));
        assert_eq!(matches!(event, Event::Trade(_)), holds, "{update}");
        assert_eq!(event == Event::Other("void_trade"), !holds, "{update}");
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
