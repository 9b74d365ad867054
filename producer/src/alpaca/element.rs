//! One element of a frame into an event: Alpaca's field names and types live here and nowhere else.

use std::borrow::Cow;

use compact_str::CompactString;
use market::{Bar, Correction, NS_PER_MS, Outcome, Quote, Reject, Side, Source, Symbol, Timeframe, Trade, VoidTrade};
use serde::Deserialize;
use serde::de::Deserializer;

use crate::event::{Event, Skip};
use crate::fields::{Codes, Id, Time};
use crate::raw::{Json, Raw};

use super::frame::Element;
use super::rest::Update;

/// Part of the conversation rather than of the market.
#[derive(Debug, PartialEq)]
pub enum Control {
    /// `connected`, `authenticated`, or something newer.
    Success(String),
    /// An error; a missing or mistyped code is `None`.
    Error {
        /// Number from Alpaca's table.
        code: Option<i64>,
        /// Alpaca's own words.
        message: String,
    },
    /// The whole set of subscriptions as the server sees it now.
    Subscription(Box<Subscriptions>),
}

/// The server's idea of what is subscribed; a missing list is empty.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Subscriptions {
    /// Symbols, or `*`.
    #[serde(deserialize_with = "null_is_empty")]
    pub trades: Vec<String>,
    /// Symbols, or `*`.
    #[serde(deserialize_with = "null_is_empty")]
    pub quotes: Vec<String>,
    /// Symbols, or `*`.
    #[serde(deserialize_with = "null_is_empty")]
    pub bars: Vec<String>,
    /// Symbols, or `*`.
    #[serde(rename = "updatedBars", deserialize_with = "null_is_empty")]
    pub updated_bars: Vec<String>,
    /// Symbols, or `*`.
    #[serde(rename = "dailyBars", deserialize_with = "null_is_empty")]
    pub daily_bars: Vec<String>,
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

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
        Some("s") => Ok(Event::Other("status")),
        Some("l") => Ok(Event::Other("luld")),
        Some("i") => Ok(Event::Other("imbalance")),
        Some("n") => Ok(Event::Other("news")),
        Some(kind @ ("success" | "error" | "subscription")) => {
            return control(raw, kind).map_or_else(Element::skipped, Element::Control);
        }
        Some(other) => Err(Skip::UnknownType(other.chars().take(32).collect())),
        None => Err(Skip::Field("missing field `T`".to_owned())),
    };
    Element::Event(event.unwrap_or_else(Event::Skipped))
}

fn parse<'a, W: Deserialize<'a>, E>(raw: impl Raw<'a>, make: impl FnOnce(W) -> Result<Event, E>) -> Result<Event, Skip>
where
    Skip: From<E>,
{
    Ok(make(raw.parse()?)?)
}

fn control<'a>(raw: impl Raw<'a>, kind: &str) -> Result<Control, Skip> {
    #[derive(Deserialize)]
    struct Wire {
        #[serde(default)]
        code: serde_json::Value,
        #[serde(default)]
        msg: serde_json::Value,
    }
    if kind == "subscription" {
        return raw.parse().map(Control::Subscription);
    }
    let wire: Wire = raw.parse()?;
    let message = wire.msg.as_str().unwrap_or_default().to_owned();
    Ok(match kind {
        "success" => Control::Success(message),
        _ => Control::Error { code: wire.code.as_i64(), message },
    })
}

/// Reads a trade of the REST history, which names the symbol once for all.
///
/// # Errors
/// Why it is none.
pub fn rest_trade(symbol: &str, raw: &str) -> Result<Event, Skip> {
    if Update::is_void(raw)? {
        return Ok(Event::Other("void_trade"));
    }
    parse::<WireTrade<'_>, _>(Json(raw), |wire| WireTrade { symbol: Cow::Borrowed(symbol), ..wire }.into_event())
}

/// Reads a one-minute bar of the REST history.
///
/// # Errors
/// Why it is none.
pub fn rest_bar(symbol: &str, raw: &str) -> Result<Event, Skip> {
    // History is what the market settled on: it is newer than the first version that the stream sent.
    parse::<WireBar<'_>, _>(Json(raw), |wire| {
        WireBar { symbol: Cow::Borrowed(symbol), ..wire }.into_event(Timeframe::MINUTE, true, 1)
    })
}

#[derive(Deserialize)]
pub(super) struct WireTrade<'a> {
    /// Absent in REST, which names it outside.
    #[serde(rename = "S", borrow, default)]
    pub(super) symbol: Cow<'a, str>,
    #[serde(rename = "i")]
    pub(super) id: Option<Id>,
    #[serde(rename = "x")]
    pub(super) exchange: Option<CompactString>,
    #[serde(rename = "p")]
    pub(super) price: f64,
    #[serde(rename = "s")]
    pub(super) size: f64,
    #[serde(rename = "c")]
    pub(super) conditions: Option<Codes>,
    #[serde(rename = "t")]
    pub(super) time: Time,
    #[serde(rename = "z")]
    pub(super) tape: Option<CompactString>,
}

impl WireTrade<'_> {
    pub(super) fn into_event(self) -> Result<Event, Reject> {
        let trade = Trade {
            symbol: Symbol::new(&self.symbol)?,
            price: self.price,
            size: self.size,
            ts_ns: self.time.0,
            trade_id: self.id.map(|id| id.0),
            exchange: self.exchange,
            conditions: self.conditions.unwrap_or_default().0,
            tape: self.tape,
            source: Source::alpaca(),
        };
        trade.checked().map(Event::Trade)
    }
}

#[derive(Deserialize)]
pub(super) struct WireQuote<'a> {
    #[serde(rename = "S", borrow)]
    pub(super) symbol: Cow<'a, str>,
    #[serde(rename = "bx")]
    pub(super) bid_exchange: Option<CompactString>,
    #[serde(rename = "bp")]
    pub(super) bid_price: f64,
    #[serde(rename = "bs")]
    pub(super) bid_size: f64,
    #[serde(rename = "ax")]
    pub(super) ask_exchange: Option<CompactString>,
    #[serde(rename = "ap")]
    pub(super) ask_price: f64,
    #[serde(rename = "as")]
    pub(super) ask_size: f64,
    #[serde(rename = "c")]
    pub(super) conditions: Option<Codes>,
    #[serde(rename = "t")]
    pub(super) time: Time,
    #[serde(rename = "z")]
    pub(super) tape: Option<CompactString>,
}

impl WireQuote<'_> {
    pub(super) fn into_event(self) -> Result<Event, Reject> {
        let quote = Quote {
            symbol: Symbol::new(&self.symbol)?,
            bid: Side { price: self.bid_price, size: self.bid_size, exchange: self.bid_exchange },
            ask: Side { price: self.ask_price, size: self.ask_size, exchange: self.ask_exchange },
            ts_ns: self.time.0,
            conditions: self.conditions.unwrap_or_default().0,
            tape: self.tape,
            source: Source::alpaca(),
        };
        quote.checked().map(Event::Quote)
    }
}

#[derive(Deserialize)]
struct WireBar<'a> {
    #[serde(rename = "S", borrow, default)]
    symbol: Cow<'a, str>,
    #[serde(rename = "o")]
    open: f64,
    #[serde(rename = "h")]
    high: f64,
    #[serde(rename = "l")]
    low: f64,
    #[serde(rename = "c")]
    close: f64,
    #[serde(rename = "v")]
    volume: f64,
    #[serde(rename = "n")]
    trade_count: Option<u64>,
    #[serde(rename = "vw")]
    vwap: Option<f64>,
    #[serde(rename = "t")]
    start: Time,
}

impl WireBar<'_> {
    fn into_event(self, timeframe: Timeframe, is_final: bool, revision: u32) -> Result<Event, Reject> {
        let start_ms = self.start.0.div_euclid(NS_PER_MS);
        let bar = Bar {
            symbol: Symbol::new(&self.symbol)?,
            timeframe,
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            volume: self.volume,
            trade_count: self.trade_count,
            vwap: self.vwap,
            start_ms,
            is_final,
            revision,
            source: Source::alpaca(),
        };
        if timeframe.start_of(start_ms) != start_ms || self.start.0 % NS_PER_MS != 0 {
            return Err(Reject::Unaligned);
        }
        bar.checked().map(Event::Bar)
    }
}

#[derive(Deserialize)]
struct WireCorrection<'a> {
    #[serde(rename = "S", borrow)]
    symbol: Cow<'a, str>,
    #[serde(rename = "x")]
    exchange: CompactString,
    #[serde(rename = "oi")]
    original_id: Option<Id>,
    #[serde(rename = "op")]
    original_price: f64,
    #[serde(rename = "os")]
    original_size: f64,
    #[serde(rename = "ci")]
    corrected_id: Option<Id>,
    #[serde(rename = "cp")]
    corrected_price: f64,
    #[serde(rename = "cs")]
    corrected_size: f64,
    #[serde(rename = "cc")]
    corrected_conditions: Option<Codes>,
    #[serde(rename = "t")]
    time: Time,
    #[serde(rename = "z")]
    tape: Option<CompactString>,
}

impl WireCorrection<'_> {
    fn into_event(self) -> Result<Event, Reject> {
        let symbol = Symbol::new(&self.symbol)?;
        let void = VoidTrade {
            symbol,
            exchange: Some(self.exchange.clone()),
            trade_id: self.original_id.map(|id| id.0),
            price: self.original_price,
            size: self.original_size,
            ts_ns: self.time.0,
        };
        let corrected = Trade {
            symbol,
            price: self.corrected_price,
            size: self.corrected_size,
            ts_ns: self.time.0,
            trade_id: self.corrected_id.map(|id| id.0),
            exchange: Some(self.exchange),
            conditions: self.corrected_conditions.unwrap_or_default().0,
            tape: self.tape,
            source: Source::alpaca(),
        };
        let outcome = Outcome::Corrected(Box::new(corrected));
        let correction = Correction { void, outcome, source: Source::alpaca() };
        Ok(Event::Correction(Box::new(correction.checked()?)))
    }
}

#[derive(Deserialize)]
struct WireCancel<'a> {
    #[serde(rename = "S", borrow)]
    symbol: Cow<'a, str>,
    #[serde(rename = "i")]
    id: Option<Id>,
    #[serde(rename = "x")]
    exchange: Option<CompactString>,
    #[serde(rename = "p")]
    price: f64,
    #[serde(rename = "s")]
    size: f64,
    #[serde(rename = "a")]
    action: Option<CompactString>,
    #[serde(rename = "t")]
    time: Time,
}

impl WireCancel<'_> {
    fn into_event(self) -> Result<Event, Reject> {
        let void = VoidTrade {
            symbol: Symbol::new(&self.symbol)?,
            exchange: self.exchange,
            trade_id: self.id.map(|id| id.0),
            price: self.price,
            size: self.size,
            ts_ns: self.time.0,
        };
        let outcome = Outcome::Cancelled(self.action.unwrap_or_default());
        let correction = Correction { void, outcome, source: Source::alpaca() };
        Ok(Event::Correction(Box::new(correction.checked()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
