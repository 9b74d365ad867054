//! The conversation without a socket.

use super::*;

fn alpaca(symbols: Option<&[&str]>) -> Alpaca {
    Alpaca::new(AlpacaSettings {
        url: "ws://localhost/v2/iex".to_owned(),
        key: Secret::new("k"),
        secret: Secret::new("s"),
        symbols: symbols.map(|all| all.iter().map(|text| Symbol::new(text).unwrap()).collect()),
        encoding: Encoding::Json,
        authentication: Authentication::Message,
        rest_url: String::new(),
        symbols_max: None,
        channels: ["trades", "bars"].map(str::to_owned).to_vec(),
    })
}

fn text(message: &Outgoing) -> &str {
    match message {
        Outgoing::Text(text) => text,
        Outgoing::Binary(_) => panic!("not a text"),
    }
}

fn hear(alpaca: &mut Alpaca, frame: &str) -> Step {
    alpaca.frame(Frame::Text(frame), &mut |event| panic!("{event:?}"))
}

fn streaming() -> Alpaca {
    let mut alpaca = alpaca(Some(&["AAPL"]));
    hear(&mut alpaca, r#"[{"T":"success","msg":"connected"}]"#);
    hear(&mut alpaca, r#"[{"T":"success","msg":"authenticated"}]"#);
    hear(&mut alpaca, r#"[{"T":"subscription","trades":["AAPL"],"bars":["AAPL"]}]"#);
    assert_eq!(alpaca.awaits(), None);
    alpaca
}

fn error(alpaca: &mut Alpaca, code: u32) -> Next {
    hear(alpaca, &format!(r#"[{{"T":"error","code":{code},"msg":"words"}}]"#)).next
}

#[test]
fn the_conversation_goes_from_welcome_to_stream() {
    let mut alpaca = alpaca(Some(&["AAPL", "MSFT"]));
    assert_eq!(alpaca.awaits().unwrap().what, "the welcome");
    let step = hear(&mut alpaca, r#"[{"T":"success","msg":"connected"}]"#);
    assert_eq!(text(&step.send[0]), r#"{"action":"auth","key":"k","secret":"s"}"#);
    assert!(!format!("{step:?}").contains("\"k\""), "keys do not show");
    let step = hear(&mut alpaca, r#"[{"T":"success","msg":"authenticated"}]"#);
    assert_eq!(text(&step.send[0]), r#"{"action":"subscribe","bars":["AAPL","MSFT"],"trades":["AAPL","MSFT"]}"#);
    hear(&mut alpaca, r#"[{"T":"subscription","trades":["AAPL","MSFT"]}]"#);
    assert_eq!(alpaca.awaits(), None);
}

#[test]
fn msgpack_is_spoken_both_ways_and_keys_may_go_into_the_headers() {
    let mut alpaca = alpaca(Some(&["AAPL"]));
    alpaca.settings.encoding = Encoding::Msgpack;
    alpaca.settings.authentication = Authentication::Header;
    let names: Vec<_> = alpaca.endpoint().headers.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Content-Type", "APCA-API-KEY-ID", "APCA-API-SECRET-KEY"]);
    let mut hear = |message: Value| {
        let frame = rmp_serde::to_vec_named(&message).unwrap();
        alpaca.frame(Frame::Binary(&frame), &mut |event| panic!("{event:?}"))
    };
    assert_eq!(hear(json!([{"T": "success", "msg": "connected"}])), Step::default());
    let step = hear(json!([{"T": "success", "msg": "authenticated"}]));
    let Outgoing::Binary(bytes) = &step.send[0] else { panic!("not binary") };
    let wanted = json!({"action": "subscribe", "bars": ["AAPL"], "trades": ["AAPL"]});
    assert_eq!(rmp_serde::from_slice::<Value>(bytes).unwrap(), wanted);
    hear(json!([{"T": "subscription", "trades": ["AAPL"], "bars": ["AAPL"]}]));
    assert_eq!(alpaca.awaits(), None);
}

#[test]
fn a_first_message_that_is_no_welcome_ends_the_connection() {
    let mut alpaca = alpaca(None);
    assert!(matches!(hear(&mut alpaca, r#"[{"T":"success","msg":"hello"}]"#).next, Next::Reconnect(_)));
}

#[test]
fn many_symbols_go_in_several_messages_with_one_outstanding() {
    let names: Vec<String> = (0..6000).map(|at| format!("SYM{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut alpaca = alpaca(Some(&names));
    hear(&mut alpaca, r#"[{"T":"success","msg":"connected"}]"#);
    let mut step = hear(&mut alpaca, r#"[{"T":"success","msg":"authenticated"}]"#);
    let mut asked = 0;
    while let [message] = step.send.as_slice() {
        assert!(text(message).len() <= MESSAGE_BYTES_MAX);
        asked += text(message).matches("SYM").count();
        step = hear(&mut alpaca, r#"[{"T":"subscription","trades":["*"],"bars":["*"]}]"#);
    }
    assert_eq!((asked, alpaca.awaits()), (12_000, None));
}

#[test]
fn errors_while_connecting() {
    let connecting = || {
        let mut alpaca = alpaca(Some(&["AAPL"]));
        hear(&mut alpaca, r#"[{"T":"success","msg":"connected"}]"#);
        alpaca
    };
    assert!(matches!(error(&mut connecting(), 402), Next::Fatal(text) if text.contains("ALPACA_API_KEY")));
    let subscribing = || {
        let mut alpaca = connecting();
        hear(&mut alpaca, r#"[{"T":"success","msg":"authenticated"}]"#);
        alpaca
    };
    let Next::Fatal(text) = error(&mut subscribing(), 400) else { panic!("400 is fatal") };
    let words = [r#"{"action":"subscribe","bars":["AAPL"],"trades":["AAPL"]}"#, "check SUBSCRIBED_SYMBOLS"];
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
    let Next::Fatal(text) = error(&mut connecting(), 400) else { panic!("400 is fatal") };
    assert!(text.contains("to the authentication"), "{text}");
    assert!(matches!(error(&mut connecting(), 406), Next::Reconnect(_)));
    let mut twice = connecting();
    assert_eq!(error(&mut twice, 403), Next::GoOn);
    assert_eq!(twice.awaits().unwrap().what, "the answer to the subscription");
    let mut again = connecting();
    assert_eq!(error(&mut again, 401), Next::GoOn);
    assert!(matches!(error(&mut again, 401), Next::Fatal(_)));
}

#[test]
fn of_too_many_symbols_the_first_fit_and_the_rest_are_reported_unavailable() {
    const PLAN: usize = 30;
    let names: Vec<String> = (0..59).map(|at| format!("S{at:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut alpaca = alpaca(Some(&names));
    hear(&mut alpaca, r#"[{"T":"success","msg":"connected"}]"#);
    let mut step = hear(&mut alpaca, r#"[{"T":"success","msg":"authenticated"}]"#);
    let (mut carried, mut news, mut messages) = (Vec::<String>::new(), Vec::new(), 0);
    while let Some(message) = step.send.first() {
        messages += 1;
        assert!(messages < 30, "it comes to an end");
        let asked: Value = serde_json::from_str(text(message)).unwrap();
        let asked = asked["trades"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
        let all: Vec<String> = carried.iter().cloned().chain(asked).collect();
        step = if all.len() > PLAN {
            hear(&mut alpaca, r#"[{"T":"error","code":405,"msg":"symbol limit exceeded"}]"#)
        } else {
            carried = all;
            let answer = json!([{"T": "subscription", "trades": carried, "bars": carried}]);
            hear(&mut alpaca, &answer.to_string())
        };
        assert_eq!(step.next, Next::GoOn);
        news.append(&mut step.news);
    }
    assert_eq!(carried, names[..PLAN]);
    assert_eq!((news.len(), news[0].symbol()), (29, "S30"));
}

#[test]
fn one_frame_may_hold_several_things_and_what_follows_the_end_is_taken() {
    let mut alpaca = streaming();
    let trade = r#"{"T":"t","S":"AAPL","p":1,"s":1,"t":"2024-06-03T14:00:00Z"}"#;
    let frame =
        format!(r#"[{trade},{{"T":"success","msg":"news"}},{trade},{{"T":"error","code":500,"msg":""}},{trade}]"#);
    let mut trades = 0;
    let step = alpaca.frame(Frame::Text(&frame), &mut |event| trades += u32::from(matches!(event, Event::Trade(_))));
    assert!(matches!(step.next, Next::Reconnect(_)));
    assert_eq!(trades, 3);
}

#[test]
fn a_probe_that_is_refused_does_not_hold_up_what_is_wanted() {
    let mut alpaca = streaming();
    assert_eq!(alpaca.probe().send.len(), 1);
    assert_eq!(error(&mut alpaca, 400), Next::GoOn);
    let wish = |name| crate::demand::Wish { symbol: Symbol::new(name).unwrap(), asked: 1, idle: false };
    let step = alpaca.want(&["AAPL", "NVDA"].map(wish).into_iter().collect());
    assert_eq!(text(&step.send[0]), r#"{"action":"subscribe","bars":["NVDA"],"trades":["NVDA"]}"#);
}

#[test]
fn errors_while_streaming() {
    for code in [400, 403, 405, 410, 999] {
        assert_eq!(error(&mut streaming(), code), Next::GoOn, "{code}");
    }
    for code in [404, 406, 407, 500] {
        assert!(matches!(error(&mut streaming(), code), Next::Reconnect(_)), "{code}");
    }
    for code in [402, 409, 411] {
        assert!(matches!(error(&mut streaming(), code), Next::Fatal(_)), "{code}");
    }
}
