//! One element of a frame into an event, or a part of the conversation.

use market::Timeframe;

use crate::feeds::event::{self, Event, Skip};
use crate::feeds::raw::Raw;

use super::control::{self, Control};
use super::wire::{WireBar, WireCancel, WireCorrection, WireQuote, WireStatus, WireTrade, parse};

/// What one element is.
pub type Element = event::Element<Control>;

/// Reads one element.
pub fn decode<'a>(raw: impl Raw<'a>) -> Element {
    if !raw.is_object() {
        return Element::skipped(Skip::NotAnObject);
    }
    let event = match raw.text_field("T").as_deref() {
        Some("t") => parse::<WireTrade<'_>, _>(raw, WireTrade::into_event),
        Some("q") => parse::<WireQuote<'_>, _>(raw, WireQuote::into_event),
        Some("b") => parse::<WireBar<'_>, _>(raw, |bar| bar.into_event(Timeframe::MINUTE, true, 0)),
        // The revision is raised where the versions of a bar are counted; 1 only says "not the first".
        Some("u") => parse::<WireBar<'_>, _>(raw, |bar| bar.into_event(Timeframe::MINUTE, true, 1)),
        Some("d") => parse::<WireBar<'_>, _>(raw, |bar| bar.into_event(Timeframe::DAY, false, 0)),
        Some("c") => parse::<WireCorrection<'_>, _>(raw, WireCorrection::into_event),
        Some("x") => parse::<WireCancel<'_>, _>(raw, WireCancel::into_event),
        Some("s") => parse::<WireStatus<'_>, _>(raw, WireStatus::into_event),
        Some("l") => Ok(Event::Other("luld")),
        Some("i") => Ok(Event::Other("imbalance")),
        Some("n") => Ok(Event::Other("news")),
        Some(kind @ ("success" | "error" | "subscription")) => {
            return control::decode(raw, kind).map_or_else(Element::skipped, Element::Control);
        }
        Some(other) => Err(Skip::UnknownType(other.chars().take(32).collect())),
        None => Err(Skip::Field("missing field `T`".to_owned())),
    };
    Element::Event(event.unwrap_or_else(Event::Skipped))
}

#[cfg(test)]
mod tests {
    use market::Outcome;

    use super::*;
    use crate::feeds::raw::Json;

    fn event(raw: &str) -> Event {
        match decode(Json(raw)) {
            Element::Event(event) => event,
            Element::Control(control) => panic!("{control:?} is no event"),
        }
    }

    #[test]
    fn a_trade_keeps_every_field_exactly() {
        let Event::Trade(trade) = event(
            r#"{"T":"t","S":"AAPL","i":18446744073709551615,"x":"K","p":162.92,"s":3,"c":["@","F","T","I"],"z":"C","t":"2023-04-06T11:54:26.838232225Z","new":{"a":[{}]}}"#,
        ) else {
            panic!("not a trade")
        };
        assert_eq!(trade.trade_id.as_deref(), Some("18446744073709551615"));
        assert_eq!((trade.price, trade.size, trade.ts_ns), (162.92, 3.0, 1_680_782_066_838_232_225));
        assert_eq!(trade.conditions.as_slice(), ["@", "F", "T", "I"]);
        assert_eq!((trade.exchange.as_deref(), trade.tape.as_deref()), (Some("K"), Some("C")));
    }

    #[test]
    fn the_type_may_come_last_and_optional_fields_may_be_null() {
        let Event::Trade(trade) =
            event(r#"{"S":"BRK.B","p":1.2655e2,"s":0.5,"c":null,"i":null,"t":"2021-02-22T19:15:00Z","T":"t"}"#)
        else {
            panic!("not a trade")
        };
        assert_eq!((trade.price, trade.trade_id, trade.conditions.len()), (126.55, None, 0));
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named() {
        for (raw, word) in [
            (r#"{"T":"t","S":"A","p":"1","s":1,"t":"2021-02-22T19:15:00Z"}"#, "string"),
            (r#"{"T":"t","S":"A","p":1,"t":"2021-02-22T19:15:00Z"}"#, "`s`"),
            (r#"{"T":"t","S":"A","p":1,"s":1,"t":1}"#, "RFC 3339"),
            (r#"{"T":"t","S":"A","p":1,"s":1,"t":"0001-01-01T00:00:00Z"}"#, "RFC 3339"),
            (r#"{"T":"t","S":"A","p":1,"s":1,"i":1.5,"t":"2021-02-22T19:15:00Z"}"#, "integer id"),
            (r#"{"T":"t","S":"A","p":0,"s":1,"t":"2021-02-22T19:15:00Z"}"#, "price"),
            (r#"{"T":"t","S":"A","p":1,"s":-1,"t":"2021-02-22T19:15:00Z"}"#, "size"),
            (r#"{"T":"t","S":"","p":1,"s":1,"t":"2021-02-22T19:15:00Z"}"#, "symbol"),
            (r#"{"T":"t","S":"A","p":1,"s":1,"x":7,"t":"2021-02-22T19:15:00Z"}"#, "string"),
            (r#"{"T":"t","S":"A","p":1,"s":1,"x":"\u0000","t":"2021-02-22T19:15:00Z"}"#, "NUL"),
            (r#"{"T":"b","S":"A","o":1,"h":1,"l":1,"c":1,"v":1,"t":"2021-02-22T19:15:30Z"}"#, "start of an interval"),
            (r#"{"p":1}"#, "`T`"),
        ] {
            let Event::Skipped(skip) = event(raw) else { panic!("{raw} was taken") };
            assert!(skip.to_string().contains(word), "{raw}: {skip}");
        }
    }

    #[test]
    fn bars_of_three_kinds_differ_in_timeframe_finality_and_revision() {
        let of = |kind: &str, time: &str| {
            let raw = format!(
                r#"{{"T":"{kind}","S":"SPY","o":388.985,"h":389.13,"l":388.975,"c":389.12,"v":49378,"n":461,"vw":389.062639,"t":"{time}"}}"#
            );
            match event(&raw) {
                Event::Bar(bar) => (bar.timeframe.to_string(), bar.is_final, bar.revision),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(of("b", "2021-02-22T19:15:00Z"), ("1Min".to_owned(), true, 0));
        assert_eq!(of("u", "2021-02-22T19:15:00Z"), ("1Min".to_owned(), true, 1));
        assert_eq!(of("d", "2021-02-22T05:00:00Z"), ("1Day".to_owned(), false, 0));
    }

    #[test]
    fn corrections_and_cancels_name_the_void_trade() {
        let raw = r#"{"T":"c","S":"EEM","x":"M","oi":52983525033527,"op":39.1582,"os":440000,"oc":[" ","7"],"ci":52983525034326,"cp":39.1809,"cs":440000,"cc":[" ","7"],"z":"B","t":"2023-04-06T14:25:06.542305024Z"}"#;
        let Event::Correction(correction) = event(raw) else { panic!("not a correction") };
        assert_eq!(correction.void.trade_id.as_deref(), Some("52983525033527"));
        let Outcome::Corrected(trade) = correction.outcome else { panic!("not corrected") };
        assert_eq!((trade.price, trade.conditions[0].as_str()), (39.1809, " "));
        let raw = r#"{"T":"x","S":"GOOGL","i":465,"x":"D","p":105.31,"s":300,"a":"C","z":"C","t":"2023-04-06T13:15:42.83540958Z"}"#;
        let Event::Correction(cancel) = event(raw) else { panic!("not a cancel") };
        assert_eq!((cancel.void.trade_id.as_deref(), cancel.outcome), (Some("465"), Outcome::Cancelled("C".into())));
    }

    #[test]
    fn the_conversation_is_told_from_the_market() {
        let control = |raw: &str| match decode(Json(raw)) {
            Element::Control(control) => control,
            Element::Event(event) => panic!("{event:?}"),
        };
        assert_eq!(control(r#"{"T":"success","msg":"connected"}"#), Control::Success("connected".to_owned()));
        assert_eq!(
            control(r#"{"T":"error","code":"x","msg":7}"#),
            Control::Error { code: None, message: String::new() }
        );
        let Control::Subscription(set) = control(r#"{"T":"subscription","trades":["AAPL"],"quotes":null,"news":[]}"#)
        else {
            panic!("not a subscription")
        };
        assert_eq!((set.trades.as_slice(), set.quotes.len()), (["AAPL".to_owned()].as_slice(), 0));
    }
}
