//! Alpaca's records as it writes them: its field names and types live here and nowhere else.

use std::borrow::Cow;

use compact_str::CompactString;
use market::{Bar, Correction, NS_PER_MS, Outcome, Quote, Reject, Side, Source, Symbol, Timeframe, Trade, VoidTrade};
use serde::Deserialize;

use crate::feeds::event::{Event, Skip};
use crate::feeds::fields::{Codes, Id, Time};
use crate::feeds::raw::Raw;

/// Reads a record of the form `W` and makes an event of it.
pub(super) fn parse<'a, W: Deserialize<'a>, E>(
    raw: impl Raw<'a>,
    make: impl FnOnce(W) -> Result<Event, E>,
) -> Result<Event, Skip>
where
    Skip: From<E>,
{
    Ok(make(raw.parse()?)?)
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
    /// What became of it since: `canceled` and `incorrect` make it void, `corrected` holds. REST says so, and perhaps the stream.
    #[serde(rename = "u")]
    pub(super) update: Option<CompactString>,
}

impl WireTrade<'_> {
    pub(super) fn into_event(self) -> Result<Event, Reject> {
        if matches!(self.update.as_deref(), Some("canceled" | "incorrect")) {
            return Ok(Event::Other("void_trade")); // it must not be stored as if it held
        }
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
pub(super) struct WireBar<'a> {
    #[serde(rename = "S", borrow, default)]
    pub(super) symbol: Cow<'a, str>,
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
    pub(super) fn into_event(self, timeframe: Timeframe, is_final: bool, revision: u32) -> Result<Event, Reject> {
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
pub(super) struct WireCorrection<'a> {
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
    /// Read only because a field of the wrong kind makes the whole element doubtful.
    #[serde(rename = "oc")]
    _original_conditions: Option<Codes>,
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
    pub(super) fn into_event(self) -> Result<Event, Reject> {
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
pub(super) struct WireStatus<'a> {
    #[serde(rename = "S", borrow)]
    symbol: Cow<'a, str>,
    #[serde(rename = "sc", borrow)]
    code: Option<Cow<'a, str>>,
}

impl WireStatus<'_> {
    pub(super) fn into_event(self) -> Result<Event, Reject> {
        let symbol = Symbol::new(&self.symbol)?;
        Ok(match self.code.as_deref() {
            Some("2" | "H" | "P" | "F") => Event::Halt(symbol, true),
            Some("3" | "T") => Event::Halt(symbol, false),
            _ => Event::Other("status"),
        })
    }
}

#[derive(Deserialize)]
pub(super) struct WireCancel<'a> {
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
    /// Read only because a field of the wrong kind makes the whole element doubtful.
    #[serde(rename = "z")]
    _tape: Option<CompactString>,
}

impl WireCancel<'_> {
    pub(super) fn into_event(self) -> Result<Event, Reject> {
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
