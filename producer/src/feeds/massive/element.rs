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
        Some("AM") => raw.parse().and_then(|bar: WireBar<'_>| bar.into_event(Timeframe::MINUTE)),
        Some("A") => raw.parse().and_then(|bar: WireBar<'_>| bar.into_event(Timeframe::SECOND)),
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
    let bar = first_version(symbol, Timeframe::MINUTE, t, [o, h, l, c], v, vw)?;
    Ok(Event::Bar(Bar { trade_count: n, revision: 1, ..bar }))
}

/// A bar whose interval is over, the first version of it. `prices`: open, high, low, close.
fn first_version(
    symbol: &str,
    timeframe: Timeframe,
    start: Millis,
    [open, high, low, close]: [f64; 4],
    volume: f64,
    vwap: Option<f64>,
) -> Result<Bar, Skip> {
    let start_ms = start.0;
    if timeframe.start_of(start_ms) != start_ms {
        return Err(Reject::Unaligned.into());
    }
    let bar = Bar {
        symbol: from_wire(symbol)?,
        timeframe,
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
    fn into_event(self, timeframe: Timeframe) -> Result<Event, Skip> {
        let decimal = self.decimal_volume.and_then(|volume| volume.0);
        let volume = decimal.or(self.volume).ok_or_else(|| Skip::Field("missing field `v`".to_owned()))?;
        let prices = [self.open, self.high, self.low, self.close];
        first_version(&self.symbol, timeframe, self.start, prices, volume, self.vwap).map(Event::Bar)
    }
}

#[cfg(test)]
mod tests;
