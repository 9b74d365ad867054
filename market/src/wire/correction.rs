//! Corrections: `{"type":"cancel"|"correction", …the void trade…, "corrected":{…a trade…}}`.

use std::borrow::Cow;

use compact_str::CompactString;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    WireError, decode_trade, encode_trade, position, push_number, push_optional, push_origin, push_text, push_time,
    time_ns,
};
use crate::correction::{Correction, Outcome, VoidTrade};
use crate::record::Position;
use crate::reject::Reject;
use crate::symbol::{Source, Symbol};

/// Appends a correction as one JSON object; its position as in [`encode_trade`]. The corrected trade stands inside without a
/// position: it has one where it travels as a trade.
pub fn encode_correction(correction: &Correction, position: impl Into<Option<Position>>, out: &mut Vec<u8>) {
    let void = &correction.void;
    out.extend_from_slice(match &correction.outcome {
        Outcome::Cancelled(_) => b"{\"type\":\"cancel\",\"symbol\":",
        Outcome::Corrected(_) => b"{\"type\":\"correction\",\"symbol\":",
    });
    push_text(out, void.symbol.as_str());
    push_number(out, ",\"price\":", void.price);
    push_number(out, ",\"size\":", void.size);
    push_time(out, void.ts_ns);
    push_optional(out, ",\"trade_id\":", void.trade_id.as_deref());
    push_optional(out, ",\"exchange\":", void.exchange.as_deref());
    match &correction.outcome {
        Outcome::Cancelled(action) => push_optional(out, ",\"action\":", Some(action)),
        Outcome::Corrected(trade) => {
            out.extend_from_slice(b",\"corrected\":");
            encode_trade(trade, None, out);
        }
    }
    push_origin(out, &correction.source, position.into());
}

#[derive(Deserialize)]
struct WireCorrection<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    price: f64,
    size: f64,
    timestamp: Option<i64>,
    #[serde(borrow)]
    timestamp_ns: Option<Cow<'a, str>>,
    trade_id: Option<CompactString>,
    exchange: Option<CompactString>,
    action: Option<CompactString>,
    #[serde(borrow)]
    corrected: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    epoch: Option<i64>,
    seq: Option<u64>,
}

/// Reads a correction and its place in the live stream (absent where the writer gave none).
///
/// # Errors
/// [`WireError`], which names the field.
pub fn decode_correction(bytes: &[u8]) -> Result<(Correction, Option<Position>), WireError> {
    let wire: WireCorrection<'_> = serde_json::from_slice(bytes)?;
    let outcome = match (wire.kind.as_ref(), wire.corrected) {
        ("cancel", _) => Outcome::Cancelled(wire.action.unwrap_or_default()),
        ("correction", Some(trade)) => Outcome::Corrected(Box::new(decode_trade(trade.get().as_bytes())?.0)),
        _ => return Err(Reject::Correction.into()),
    };
    let void = VoidTrade {
        symbol: Symbol::stored(&wire.symbol)?,
        price: wire.price,
        size: wire.size,
        ts_ns: time_ns(wire.timestamp_ns.as_deref(), wire.timestamp)?,
        trade_id: wire.trade_id,
        exchange: wire.exchange,
    };
    let correction = Correction { void, outcome, source: Source::new(&wire.source)? };
    Ok((correction.checked()?, position(wire.epoch, wire.seq)))
}
