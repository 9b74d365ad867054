//! A frame into its elements. Frames are objects; trades lie in their `data`.

use std::borrow::Cow;

use market::{Source, Trade};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::feeds::event::{self, Event, Skip};
use crate::feeds::fields::{Codes, Millis};
use crate::feeds::occurrences::Occurrences;
use crate::feeds::protocol::Frame;
use crate::feeds::raw::json::nested_too_deep;
use crate::feeds::raw::{Json, Raw as _};

use super::symbol::from_wire;

/// Part of the conversation.
#[derive(Debug, PartialEq)]
pub enum Control {
    /// A sign of life, about once a minute.
    Ping,
    /// Finnhub's own words.
    Error(String),
}

/// What one element is.
pub type Element = event::Element<Control>;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    msg: serde_json::Value,
}

#[derive(Deserialize)]
struct WireTrade<'a> {
    #[serde(rename = "s", borrow)]
    symbol: Cow<'a, str>,
    #[serde(rename = "p")]
    price: f64,
    #[serde(rename = "v")]
    size: f64,
    #[serde(rename = "t")]
    time: Millis,
    #[serde(rename = "c")]
    conditions: Option<Codes>,
}

/// Takes a frame apart and hands each element to `each`, in order.
pub fn decode_frame(frame: Frame<'_>, occurrences: &mut Occurrences, each: &mut dyn FnMut(Element)) {
    if let Err(skip) = decode(frame.bytes(), occurrences, each) {
        each(Element::skipped(skip));
    }
}

fn decode(frame: &[u8], occurrences: &mut Occurrences, each: &mut dyn FnMut(Element)) -> Result<(), Skip> {
    let malformed = |what: &str| Skip::Frame(what.to_owned());
    if frame.is_empty() {
        return Err(malformed("it is empty"));
    }
    if nested_too_deep(frame) {
        return Err(malformed("it nests deeper than 32 levels"));
    }
    if !frame.trim_ascii_start().starts_with(b"{") {
        return Err(malformed("it is not an object"));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(frame).map_err(|error| match error.is_data() {
        true => Skip::Field(error.to_string()),
        false => malformed(&error.to_string()),
    })?;
    match envelope.kind.as_ref() {
        "trade" => {
            let data = envelope.data.ok_or_else(|| Skip::Field("missing field `data`".to_owned()))?;
            let elements: Vec<&RawValue> = Json(data.get()).parse()?;
            for raw in elements {
                each(Element::Event(trade(Json(raw.get()), occurrences).unwrap_or_else(Event::Skipped)));
            }
        }
        "ping" => each(Element::Control(Control::Ping)),
        "error" => each(Element::Control(Control::Error(envelope.msg.as_str().unwrap_or_default().to_owned()))),
        "news" => each(Element::Event(Event::Other("news"))),
        "pr" => each(Element::Event(Event::Other("press_release"))),
        other => return Err(Skip::UnknownType(other.chars().take(32).collect())),
    }
    Ok(())
}

fn trade(raw: Json<'_>, occurrences: &mut Occurrences) -> Result<Event, Skip> {
    if !raw.is_object() {
        return Err(Skip::NotAnObject);
    }
    let wire: WireTrade<'_> = raw.parse()?;
    if wire.size == 0.0 {
        return Ok(Event::Other("price_update"));
    }
    let trade = Trade {
        symbol: from_wire(&wire.symbol)?,
        price: wire.price,
        size: wire.size,
        ts_ns: wire.time.ns(),
        trade_id: None,
        exchange: None,
        conditions: wire.conditions.unwrap_or_default().0,
        tape: None,
        source: Source::finnhub(),
    };
    let trade = trade.checked()?;
    Ok(Event::Trade(occurrences.named(trade)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REAL: &str = r#"{"data":[{"c":["1","24","12"],"p":129.58,"s":"AAPL","t":1672348887666,"v":1},{"c":null,"p":129.58,"s":"AAPL","t":1672348887666,"v":1},{"p":16500.5,"s":"BINANCE:BTCUSDT","t":1672348887667,"v":0.001}],"type":"trade"}"#;

    fn elements(frame: &str) -> Vec<Element> {
        let mut elements = Vec::new();
        decode_frame(Frame::Text(frame), &mut Occurrences::default(), &mut |element| elements.push(element));
        elements
    }

    fn reason(element: &Element) -> &'static str {
        match element {
            Element::Event(Event::Skipped(skip)) => skip.reason(),
            _ => "none",
        }
    }

    #[test]
    fn a_real_frame_gives_its_trades_with_ids_of_their_own() {
        let trades: Vec<Trade> = elements(REAL)
            .into_iter()
            .map(|element| match element {
                Element::Event(Event::Trade(trade)) => trade,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!((trades[0].price, trades[0].size, trades[0].ts_ns), (129.58, 1.0, 1_672_348_887_666_000_000));
        assert_eq!(
            (trades[0].conditions.as_slice(), trades[1].conditions.len()),
            (&["1", "24", "12"].map(Into::into)[..], 0)
        );
        assert_eq!((trades[2].symbol.as_str(), trades[2].size), ("BINANCE:BTCUSDT", 0.001));
        assert_ne!(trades[0].trade_id, trades[1].trade_id);
    }

    #[test]
    fn pings_errors_and_price_updates_are_told_apart() {
        assert_eq!(elements(r#"{"type":"ping"}"#), [Element::Control(Control::Ping)]);
        let words = "Subscribing to too many symbols";
        assert_eq!(
            elements(&format!(r#"{{"type":"error","msg":"{words}"}}"#)),
            [Element::Control(Control::Error(words.to_owned()))]
        );
        let update = r#"{"type":"trade","data":[{"s":"A","p":1,"t":1672348887666,"v":0}]}"#;
        assert_eq!(elements(update), [Element::Event(Event::Other("price_update"))]);
    }

    #[test]
    fn each_bad_element_is_one_skip() {
        let with = |fields: &str| format!(r#"{{"type":"trade","data":[{{{fields}}}]}}"#);
        for (frame, wanted) in [
            (with(r#""s":"A","p":"1","t":1672348887666,"v":1"#), "bad_field"),
            (with(r#""s":"A","p":1,"t":1672348887,"v":1"#), "bad_field"),
            (with(r#""s":"A","p":1,"t":1672348887666.5,"v":1"#), "bad_field"),
            (with(r#""s":"A","p":1,"t":99999999999999999,"v":1"#), "bad_field"),
            (with(r#""s":"A","p":1,"v":1"#), "bad_field"),
            (with(r#""s":"A","p":-1,"t":1672348887666,"v":1"#), "out_of_limits"),
            (with(r#""s":"","p":1,"t":1672348887666,"v":1"#), "out_of_limits"),
            (r#"{"type":"trade","data":[7]}"#.to_owned(), "not_an_object"),
            (r#"{"type":"trade"}"#.to_owned(), "bad_field"),
            (r#"{"type":"trade","data":{}}"#.to_owned(), "bad_field"),
            (r#"{"type":"new"}"#.to_owned(), "unknown_type"),
            (r#"{"data":[]}"#.to_owned(), "bad_field"),
            (r#"["trade",[]]"#.to_owned(), "malformed_frame"),
            (r#"{"type":"ping"} x"#.to_owned(), "malformed_frame"),
            (String::new(), "malformed_frame"),
            (format!(r#"{{"type":"trade","data":{}{}}}"#, "[".repeat(40), "]".repeat(40)), "malformed_frame"),
        ] {
            let elements = elements(&frame);
            assert_eq!((elements.len(), reason(&elements[0])), (1, wanted), "{frame}");
        }
    }

    proptest! {
        #[test]
        fn no_broken_frame_makes_it_panic(at in 0_usize..190, byte in any::<u8>()) {
            let mut frame = REAL.as_bytes().to_vec();
            frame[at] = byte;
            let mut occurrences = Occurrences::default();
            decode_frame(Frame::Binary(&frame), &mut occurrences, &mut |_| {});
            decode_frame(Frame::Binary(&frame[..at]), &mut occurrences, &mut |_| {});
        }
    }
}
