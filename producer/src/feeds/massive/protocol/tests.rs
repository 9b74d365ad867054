use super::*;

fn massive(symbols: Option<&[&str]>) -> Massive {
    Massive::new(MassiveSettings {
        url: "wss://socket.massive.com/stocks".to_owned(),
        rest_url: String::new(),
        key: Secret::new("k"),
        symbols: symbols.map(|all| all.iter().map(|text| Symbol::new(text).unwrap()).collect()),
        symbols_max: None,
        channels: vec!["T".to_owned(), "AM".to_owned()],
    })
}

fn hear(massive: &mut Massive, status: &str, message: &str) -> Step {
    let frame = format!(r#"[{{"ev":"status","status":"{status}","message":"{message}"}}]"#);
    massive.frame(Frame::Text(&frame), &mut |event| panic!("{event:?}"))
}

fn sent(step: &Step) -> Vec<&str> {
    let texts = step.send.iter().map(|message| match message {
        Outgoing::Text(text) => text.as_str(),
        Outgoing::Binary(_) => panic!("not a text"),
    });
    texts.collect()
}

fn streaming() -> Massive {
    let mut massive = massive(Some(&["BRK.B"]));
    hear(&mut massive, "connected", "Connected Successfully");
    hear(&mut massive, "auth_success", "authenticated");
    hear(&mut massive, "success", "subscribed to: T.BRK.B");
    assert_eq!(massive.awaits().unwrap().what, "the answer to the subscription");
    hear(&mut massive, "success", "subscribed to: AM.BRK.B");
    assert_eq!(massive.awaits(), None);
    massive
}

#[test]
fn the_conversation_goes_from_welcome_to_stream() {
    let mut massive = massive(Some(&["AAPL", "BRK.B"]));
    let step = hear(&mut massive, "connected", "Connected Successfully");
    assert_eq!(sent(&step), [r#"{"action":"auth","params":"k"}"#]);
    assert!(!format!("{step:?}").contains("\"k\""), "keys do not show");
    let step = hear(&mut massive, "auth_success", "authenticated");
    assert_eq!(sent(&step), [r#"{"action":"subscribe","params":"T.AAPL,T.BRK.B,AM.AAPL,AM.BRK.B"}"#]);
    hear(&mut massive, "success", "subscribed to: T.AAPL,T.BRK.B,AM.AAPL,AM.BRK.B");
    assert_eq!(massive.awaits(), None);
}

#[test]
fn all_symbols_are_a_star_and_many_go_in_several_messages() {
    assert_eq!(lists(&massive(None).settings.channels, None), ["T.*,AM.*"]);
    let names: Vec<String> = (0..8000).map(|at| format!("SYM{at}")).collect();
    let symbols: Vec<Symbol> = names.iter().map(|name| Symbol::new(name).unwrap()).collect();
    let lists = lists(&massive(None).settings.channels, Some(&symbols));
    assert!(lists.len() > 1 && lists.iter().all(|list| list.len() <= LIST_BYTES_MAX));
    assert_eq!(lists.iter().map(|list| items(list)).sum::<usize>(), 16_000);
}

#[test]
fn every_status_has_its_remedy() {
    let connecting = || {
        let mut massive = massive(None);
        hear(&mut massive, "connected", "");
        massive
    };
    assert!(
        matches!(hear(&mut connecting(), "auth_failed", "").next, Next::Fatal(text) if text.contains("MASSIVE_API_KEY"))
    );
    assert!(matches!(hear(&mut connecting(), "not_authorized", "").next, Next::Fatal(text) if text.contains("plan")));
    assert!(matches!(hear(&mut connecting(), "auth_timeout", "").next, Next::Reconnect(_)));
    for status in ["error", "brand_new", "success"] {
        assert_eq!(hear(&mut connecting(), status, "").next, Next::GoOn, "{status}");
        assert_eq!(hear(&mut streaming(), status, "").next, Next::GoOn, "{status}");
    }
    assert_eq!(hear(&mut streaming(), "not_authorized", "").next, Next::GoOn);
    assert!(matches!(hear(&mut streaming(), "auth_failed", "").next, Next::Fatal(_)));
    for mut massive in [connecting(), streaming()] {
        assert!(matches!(hear(&mut massive, "max_connections", "").next, Next::ReconnectLater(_)));
    }
    assert!(matches!(hear(&mut massive(None), "auth_success", "").next, Next::Reconnect(_)), "no welcome");
}

#[test]
fn a_probe_takes_turns_and_its_trades_stay_out() {
    let mut massive = streaming();
    assert_eq!(sent(&massive.probe()), [r#"{"action":"subscribe","params":"T.ZVZZT"}"#]);
    assert_eq!(massive.awaits().unwrap().what, "a sign of life");
    hear(&mut massive, "success", "subscribed to: T.ZVZZT");
    assert_eq!(massive.awaits(), None);
    assert_eq!(sent(&massive.probe()), [r#"{"action":"unsubscribe","params":"T.ZVZZT"}"#]);
    let trade = r#"[{"ev":"T","sym":"ZVZZT","p":1,"s":1,"t":1536036818784}]"#;
    massive.frame(Frame::Text(trade), &mut |event| assert_eq!(event, Event::Other("probe")));
    assert_eq!(massive.awaits(), None, "any frame is a sign of life");
}

#[test]
fn a_bar_that_is_sent_again_counts_up() {
    let mut massive = streaming();
    let mut revisions = Vec::new();
    for volume in [1, 2] {
        let frame = format!(
            r#"[{{"ev":"AM","sym":"A","v":{volume},"o":1,"c":1,"h":1,"l":1,"s":1610144640000,"e":1610144700000}}]"#
        );
        massive.frame(Frame::Text(&frame), &mut |event| match event {
            Event::Bar(bar) => revisions.push((bar.volume, bar.revision)),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(revisions, [(1.0, 0), (2.0, 1)]);
}

#[test]
fn a_bar_of_a_second_is_no_version_of_the_minute_that_begins_with_it() {
    let mut massive = streaming();
    let mut bars = Vec::new();
    for (kind, end) in [("A", 1_610_144_641_000_i64), ("AM", 1_610_144_700_000), ("A", 1_610_144_641_000)] {
        let frame =
            format!(r#"[{{"ev":"{kind}","sym":"A","v":1,"o":1,"c":1,"h":1,"l":1,"s":1610144640000,"e":{end}}}]"#);
        massive.frame(Frame::Text(&frame), &mut |event| match event {
            Event::Bar(bar) => bars.push((bar.timeframe, bar.revision)),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(bars, [(Timeframe::SECOND, 0), (Timeframe::MINUTE, 0), (Timeframe::SECOND, 0)]);
}
