//! One element of a frame into an event: Massive's field names and types live here and nowhere else.

use std::borrow::Cow;

use compact_str::{CompactString, format_compact};
use market::record::TRADE_ID_BYTES_MAX;
use market::{Bar, NS_PER_MS, Quote, Reject, Side, Source, Timeframe, Trade};
use serde::Deserialize;

use crate::feeds::event::{self, Event, Skip};
use crate::feeds::fields::{Codes, Decimal, Millis};
use crate::feeds::raw::{Json, Raw as _};

use super::codes::{exchange, tape};
use super::symbol::from_wire;

/// A `status` message.
#[derive(Debug, PartialEq)]
pub struct Status {
    /// Its word, such as `auth_success`.
    pub status: String,
    /// Massive's own words.
    pub message: String,
}

/// What one element is.
pub type Element = event::Element<Status>;

/// Reads one element.
#[must_use]
pub fn decode(raw: Json<'_>) -> Element {
    if !raw.is_object() {
        return Element::skipped(Skip::NotAnObject);
    }
    let event = match raw.text_field("ev").as_deref() {
        Some("T") => raw.parse().and_then(WireTrade::into_event),
        Some("Q") => raw.parse().and_then(WireQuote::into_event),
        Some("AM") => raw.parse().and_then(WireBar::into_event),
        Some("A") => Ok(Event::Other("second_bar")),
        Some("LULD") => Ok(Event::Other("luld")),
        Some("NOI") => Ok(Event::Other("imbalance")),
        Some("FMV") => Ok(Event::Other("fair_value")),
        Some("status") => return status(raw).map_or_else(Element::skipped, Element::Control),
        Some(other) => Err(Skip::UnknownType(other.chars().take(32).collect())),
        None => Err(Skip::Field("missing field `ev`".to_owned())),
    };
    Element::Event(event.unwrap_or_else(Event::Skipped))
}

fn status(raw: Json<'_>) -> Result<Status, Skip> {
    #[derive(Deserialize)]
    struct Wire {
        #[serde(default)]
        status: serde_json::Value,
        #[serde(default)]
        message: serde_json::Value,
    }
    let wire: Wire = raw.parse()?;
    let text = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Ok(Status { status: text(wire.status), message: text(wire.message) })
}

#[derive(Deserialize)]
struct WireTrade<'a> {
    #[serde(rename = "sym", borrow)]
    symbol: Cow<'a, str>,
    #[serde(rename = "i", borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(rename = "x")]
    exchange: Option<u64>,
    #[serde(rename = "p")]
    price: f64,
    /// Whole shares.
    #[serde(rename = "s")]
    size: Option<f64>,
    /// Shares with their fraction, as text.
    #[serde(rename = "ds")]
    decimal_size: Option<Decimal>,
    #[serde(rename = "c")]
    conditions: Option<Numbers>,
    #[serde(rename = "t")]
    time: Millis,
    #[serde(rename = "z")]
    tape: Option<u64>,
    /// FINRA facility that took the report: part of a trade's identity.
    #[serde(rename = "trfi")]
    facility: Option<u64>,
    // Read only because a field of the wrong kind makes the whole element doubtful; so in the others below.
    #[serde(rename = "q")]
    _sequence: Option<i64>,
    #[serde(rename = "trft")]
    _facility_time: Option<i64>,
}

impl WireTrade<'_> {
    fn into_event(self) -> Result<Event, Skip> {
        let decimal = self.decimal_size.and_then(|size| size.0).filter(|size| *size > 0.0);
        let size = decimal.or(self.size).ok_or_else(|| Skip::Field("missing field `s`".to_owned()))?;
        let trade = Trade {
            symbol: from_wire(&self.symbol)?,
            price: self.price,
            size,
            ts_ns: self.time.ns(),
            trade_id: self.id.map(|id| identity(&id, self.facility)).transpose()?,
            exchange: self.exchange.map(exchange),
            conditions: self.conditions.unwrap_or_default().texts(),
            tape: self.tape.map(tape),
            source: Source::massive(),
        };
        Ok(Event::Trade(trade.checked()?))
    }
}

/// Reads a trade of the REST history, which names its fields in full and tells nanoseconds. The stream tells milliseconds: only cut to
/// those both are one trade. A trade that was corrected or cancelled since then is [`Event::Other`].
///
/// # Errors
/// Why it is none.
pub fn rest_trade(symbol: &str, raw: &str) -> Result<Event, Skip> {
    let wire: RestTrade<'_> = Json(raw).parse()?;
    if !matches!(wire.correction, None | Some(0 | HOLDS)) {
        return Ok(Event::Other("void_trade"));
    }
    let time = Millis::new(wire.sip_timestamp.div_euclid(NS_PER_MS));
    let stream = WireTrade {
        symbol: Cow::Borrowed(symbol),
        id: wire.id,
        exchange: wire.exchange,
        price: wire.price,
        size: wire.size,
        decimal_size: wire.decimal_size,
        conditions: wire.conditions,
        time: time.ok_or_else(|| Skip::Field("`sip_timestamp` is no time in Unix nanoseconds".to_owned()))?,
        tape: wire.tape,
        facility: wire.trf_id,
        _sequence: None,
        _facility_time: None,
    };
    stream.into_event()
}

/// The correction indicator of a trade that took the place of another: it holds.
const HOLDS: u64 = 12;

#[derive(Deserialize)]
struct RestTrade<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    exchange: Option<u64>,
    price: f64,
    size: Option<f64>,
    decimal_size: Option<Decimal>,
    conditions: Option<Numbers>,
    correction: Option<u64>,
    sip_timestamp: i64,
    tape: Option<u64>,
    trf_id: Option<u64>,
}

/// Reads a minute bar of the REST history: what the market settled on, so newer than the first version that the stream sent.
///
/// # Errors
/// Why it is none.
pub fn rest_bar(symbol: &str, raw: &str) -> Result<Event, Skip> {
    #[derive(Deserialize)]
    struct RestBar {
        t: Millis,
        o: f64,
        h: f64,
        l: f64,
        c: f64,
        v: f64,
        vw: Option<f64>,
        n: Option<u64>,
    }
    let RestBar { t, o, h, l, c, v, vw, n } = Json(raw).parse()?;
    let bar = minute_bar(symbol, t, [o, h, l, c], v, vw)?;
    Ok(Event::Bar(Bar { trade_count: n, revision: 1, ..bar }))
}

/// A bar of one minute, the first version of it. `prices`: open, high, low, close.
fn minute_bar(
    symbol: &str,
    start: Millis,
    [open, high, low, close]: [f64; 4],
    volume: f64,
    vwap: Option<f64>,
) -> Result<Bar, Skip> {
    let start_ms = start.0;
    if Timeframe::MINUTE.start_of(start_ms) != start_ms {
        return Err(Reject::Unaligned.into());
    }
    let bar = Bar {
        symbol: from_wire(symbol)?,
        timeframe: Timeframe::MINUTE,
        open,
        high,
        low,
        close,
        volume,
        trade_count: None,
        vwap,
        start_ms,
        is_final: true,
        revision: 0, // raised where the versions of a bar are counted
        source: Source::massive(),
    };
    Ok(bar.checked()?)
}

/// The id as given, and behind a slash the facility where there is one: ids are counted for each facility.
fn identity(id: &str, facility: Option<u64>) -> Result<CompactString, Reject> {
    if id.len() > TRADE_ID_BYTES_MAX {
        return Err(Reject::TradeId);
    }
    Ok(match facility {
        None | Some(0) => CompactString::new(id),
        Some(facility) => format_compact!("{id}/{facility}"),
    })
}

/// Condition numbers: a list, or a single one.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Numbers {
    #[default]
    None,
    One(i64),
    Many(Vec<i64>),
}

impl Numbers {
    fn texts(self) -> market::Conditions {
        let text = |number: i64| CompactString::from(itoa::Buffer::new().format(number));
        match self {
            Self::None => Codes::default().0,
            Self::One(number) => [text(number)].into_iter().collect(),
            Self::Many(numbers) => numbers.into_iter().map(text).collect(),
        }
    }
}

/// Zeros may be left out of a quote: a side without a price is one that nobody quotes.
#[derive(Deserialize)]
struct WireQuote<'a> {
    #[serde(rename = "sym", borrow)]
    symbol: Cow<'a, str>,
    #[serde(rename = "bx")]
    bid_exchange: Option<u64>,
    #[serde(rename = "bp")]
    bid_price: Option<f64>,
    #[serde(rename = "bs")]
    bid_size: Option<f64>,
    #[serde(rename = "ax")]
    ask_exchange: Option<u64>,
    #[serde(rename = "ap")]
    ask_price: Option<f64>,
    #[serde(rename = "as")]
    ask_size: Option<f64>,
    #[serde(rename = "c")]
    conditions: Option<Numbers>,
    #[serde(rename = "t")]
    time: Millis,
    #[serde(rename = "z")]
    tape: Option<u64>,
    #[serde(rename = "i")]
    _indicators: Option<Numbers>,
    #[serde(rename = "q")]
    _sequence: Option<i64>,
}

impl WireQuote<'_> {
    fn into_event(self) -> Result<Event, Skip> {
        let side = |price: Option<f64>, size: Option<f64>, id: Option<u64>| Side {
            price: price.unwrap_or_default(),
            size: size.unwrap_or_default(),
            exchange: id.map(exchange),
        };
        let quote = Quote {
            symbol: from_wire(&self.symbol)?,
            bid: side(self.bid_price, self.bid_size, self.bid_exchange),
            ask: side(self.ask_price, self.ask_size, self.ask_exchange),
            ts_ns: self.time.ns(),
            conditions: self.conditions.unwrap_or_default().texts(),
            tape: self.tape.map(tape),
            source: Source::massive(),
        };
        Ok(Event::Quote(quote.checked()?))
    }
}

#[derive(Deserialize)]
struct WireBar<'a> {
    #[serde(rename = "sym", borrow)]
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
    volume: Option<f64>,
    #[serde(rename = "dv")]
    decimal_volume: Option<Decimal>,
    #[serde(rename = "vw")]
    vwap: Option<f64>,
    #[serde(rename = "s")]
    start: Millis,
    #[serde(rename = "e")]
    _end: Option<i64>,
    #[serde(rename = "av")]
    _day_volume: Option<f64>,
    #[serde(rename = "dav")]
    _decimal_day_volume: Option<Decimal>,
    #[serde(rename = "op")]
    _day_open: Option<f64>,
    #[serde(rename = "a")]
    _day_vwap: Option<f64>,
    #[serde(rename = "z")]
    _average_size: Option<f64>,
    #[serde(rename = "otc")]
    _over_the_counter: Option<bool>,
}

impl WireBar<'_> {
    fn into_event(self) -> Result<Event, Skip> {
        let decimal = self.decimal_volume.and_then(|volume| volume.0);
        let volume = decimal.or(self.volume).ok_or_else(|| Skip::Field("missing field `v`".to_owned()))?;
        let prices = [self.open, self.high, self.low, self.close];
        minute_bar(&self.symbol, self.start, prices, volume, self.vwap).map(Event::Bar)
    }
}

#[cfg(test)]
mod tests {
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
    fn a_quote_may_leave_zeros_out() {
        let raw = r#"{"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"c":0,"i":[604],"t":1536036818784,"q":50385480,"z":3}"#;
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
}
