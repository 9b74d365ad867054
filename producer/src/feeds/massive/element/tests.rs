use super::*;

fn event(raw: &str) -> Event {
    match decode(Json(raw)) {
        Element::Event(event) => event,
        Element::Control(status) => panic!("{status:?} is no event"),
    }
}

fn trade(extra: &str) -> Trade {
    let raw = format!(
        r#"{{"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"c":[0,12],"t":1536036818784,"q":3681328{extra}}}"#
    );
    match event(&raw) {
        Event::Trade(trade) => trade,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_trade_of_the_history_is_the_one_that_the_stream_sent() {
    let live = event(
        r#"{"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"c":[0,12],"t":1536036818784,"trfi":201}"#,
    );
    let past = r#"{"conditions":[0,12],"exchange":4,"id":"12345","participant_timestamp":1536036818783111111,
        "price":114.125,"sequence_number":7,"sip_timestamp":1536036818784222333,"size":100,"tape":3,"trf_id":201"#;
    assert_eq!(rest_trade("MSFT", &format!("{past}}}")), Ok(live.clone()));
    assert_eq!(rest_trade("MSFT", &format!(r#"{past},"correction":12}}"#)), Ok(live));
    for void in [1, 7, 8] {
        let raw = format!(r#"{past},"correction":{void}}}"#);
        assert_eq!(rest_trade("MSFT", &raw), Ok(Event::Other("void_trade")));
    }
    assert!(rest_trade("MSFT", r#"{"price":1,"size":1,"sip_timestamp":5}"#).is_err());
    assert!(rest_trade("MSFT", r#"{"price":1,"size":1}"#).is_err());
}

#[test]
fn a_bar_of_the_history_counts_its_trades() {
    let raw = r#"{"v":4110,"vw":0.4488,"o":0.4488,"c":0.4486,"h":0.4489,"l":0.4486,"t":1610144640000,"n":12}"#;
    let Ok(Event::Bar(bar)) = rest_bar("GTE", raw) else { panic!("no bar") };
    assert_eq!((bar.start_ms, bar.volume, bar.trade_count), (1_610_144_640_000, 4110.0, Some(12)));
    assert!(rest_bar("GTE", &raw.replace("1610144640000", "1610144640001")).is_err(), "not a minute's start");
}

#[test]
fn a_trade_keeps_every_field_and_speaks_in_letters() {
    let trade = trade(r#","s":100"#);
    assert_eq!((trade.symbol.as_str(), trade.price, trade.ts_ns), ("MSFT", 114.125, 1_536_036_818_784_000_000));
    assert_eq!((trade.exchange.as_deref(), trade.tape.as_deref()), (Some("D"), Some("C")));
    assert_eq!(
        (trade.trade_id.as_deref(), trade.conditions.as_slice()),
        (Some("12345"), &["0", "12"].map(Into::into)[..])
    );
}

#[test]
fn the_size_is_the_decimal_one_where_that_is_valid() {
    for (extra, size) in [
        (r#","s":0,"ds":"0.25""#, 0.25),
        (r#","s":100,"ds":"100.0""#, 100.0),
        (r#","s":7,"ds":"inf""#, 7.0),
        (r#","s":7,"ds":"""#, 7.0),
        (r#","s":7,"ds":"0""#, 7.0),
        (r#","ds":"3""#, 3.0),
    ] {
        assert_eq!(trade(extra).size, size, "{extra}");
    }
}

#[test]
fn the_facility_is_part_of_the_id() {
    assert_eq!(trade(r#","s":1,"trfi":202,"trft":1536036818790"#).trade_id.as_deref(), Some("12345/202"));
    assert_eq!(trade(r#","s":1,"trfi":0"#).trade_id.as_deref(), Some("12345"));
}

#[test]
fn a_bar_has_its_own_vwap_and_no_count() {
    let raw = r#"{"ev":"AM","sym":"GTE","v":4110,"dv":"4110.5","av":9470157,"op":0.4372,"vw":0.4488,"o":0.4488,"c":0.4486,"h":0.4489,"l":0.4486,"a":0.4352,"z":685,"s":1610144640000,"e":1610144700000}"#;
    let Event::Bar(bar) = event(raw) else { panic!("not a bar") };
    assert_eq!((bar.volume, bar.vwap, bar.trade_count), (4110.5, Some(0.4488), None));
    assert_eq!((bar.start_ms, bar.is_final), (1_610_144_640_000, true));
}

#[test]
fn an_aggregate_of_a_second_is_a_bar_of_one_second() {
    let aggregate = |start: i64, end: i64| {
        event(&format!(
            r#"{{"ev":"A","sym":"SPCE","v":200,"av":8642007,"op":25.66,"vw":25.3981,"o":25.39,"c":25.38,"h":25.4,"l":25.38,"a":25.3714,"z":50,"s":{start},"e":{end}}}"#
        ))
    };
    let Event::Bar(bar) = aggregate(1_610_144_868_000, 1_610_144_869_000) else { panic!("not a bar") };
    assert_eq!((bar.timeframe, bar.is_final, bar.revision), (Timeframe::SECOND, true, 0));
    assert_eq!((bar.start_ms, bar.open, bar.high, bar.low, bar.close), (1_610_144_868_000, 25.39, 25.4, 25.38, 25.38));
    assert_eq!((bar.volume, bar.vwap), (200.0, Some(25.3981)));
    assert_eq!(aggregate(1_610_144_868_001, 1_610_144_869_000), Event::Skipped(Skip::Reject(Reject::Unaligned)));
}

#[test]
fn a_quote_may_leave_zeros_out() {
    let raw =
        r#"{"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"c":0,"i":[604],"t":1536036818784,"q":50385480,"z":3}"#;
    let Event::Quote(quote) = event(raw) else { panic!("not a quote") };
    assert_eq!((quote.bid.price, quote.ask.price, quote.conditions.as_slice()), (114.125, 0.0, &["0".into()][..]));
}

#[test]
fn each_bad_element_is_one_skip_with_its_reason() {
    for (raw, wanted) in [
        (r#"{"ev":"T","sym":"A","p":1,"t":1536036818784}"#, "bad_field"),
        (r#"{"ev":"T","sym":"A","p":1,"s":1,"t":1536036818}"#, "bad_field"),
        (r#"{"ev":"T","sym":"A","p":1,"s":1,"i":7,"t":1536036818784}"#, "bad_field"),
        (r#"{"ev":"T","sym":"A","p":1,"s":1,"c":["x"],"t":1536036818784}"#, "bad_field"),
        (r#"{"ev":"T","sym":"A","p":1,"s":0,"t":1536036818784}"#, "out_of_limits"),
        (r#"{"ev":"AM","sym":"A","o":1,"h":1,"l":1,"c":1,"v":1,"s":1610144640001}"#, "out_of_limits"),
        (r#"{"ev":"??"}"#, "unknown_type"),
        (r#"{"sym":"A"}"#, "bad_field"),
        ("7", "not_an_object"),
    ] {
        let Event::Skipped(skip) = event(raw) else { panic!("{raw} was taken") };
        assert_eq!(skip.reason(), wanted, "{raw}");
    }
    let long = format!(r#"{{"ev":"T","sym":"A","p":1,"s":1,"i":"{}","t":1536036818784}}"#, "1".repeat(65));
    assert_eq!(event(&long), Event::Skipped(Skip::Reject(Reject::TradeId)));
}
