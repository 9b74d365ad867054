//! Bytes to records. Each field is read on its own, from the JSON as it stands, so that an error names the field and no float rounds an
//! amount.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::financial_metric::FinancialMetric;
use crate::invalid::Invalid;
use crate::sale::Sale;
use crate::stream::Stream;
use crate::user_event::UserEvent;

/// Largest record, in bytes: the longest texts in their longest JSON spelling, with room for fields that are not ours.
pub const BYTES_MAX: usize = 64 << 10;

/// A record of any stream. Its JSON holds our fields only, in a fixed order, and leaves absent ones out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Record {
    /// Of [`Stream::Sales`].
    Sale(Box<Sale>),
    /// Of [`Stream::UserEvents`].
    UserEvent(Box<UserEvent>),
    /// Of [`Stream::FinancialMetrics`].
    FinancialMetric(Box<FinancialMetric>),
}

/// Reads a payload of `stream`. `now_ms`: our clock, in Unix milliseconds. Fields that are not ours are left out.
///
/// # Errors
/// For a payload that breaks any rule; nothing is ever changed to fit.
pub fn decode(stream: Stream, payload: &[u8], now_ms: i64) -> Result<Record, Invalid> {
    if payload.len() > BYTES_MAX {
        return Err(Invalid::TooLong { bytes: payload.len(), max: BYTES_MAX });
    }
    let json = std::str::from_utf8(payload).map_err(|error| Invalid::shape(&error))?;
    Ok(match stream {
        Stream::Sales => Record::Sale(Sale::read(json, now_ms)?.into()),
        Stream::UserEvents => Record::UserEvent(UserEvent::read(json, now_ms)?.into()),
        Stream::FinancialMetrics => Record::FinancialMetric(FinancialMetric::read(json, now_ms)?.into()),
    })
}

/// The fields of an object, each still as it stands. An array is no record, although serde would take one for the fields in their order.
pub(crate) fn fields<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Invalid> {
    if !json.trim_start().starts_with('{') {
        return Err(Invalid::shape(&"expected a JSON object"));
    }
    serde_json::from_str(json).map_err(|error| Invalid::shape(&error))
}

/// A field that is a text.
pub(crate) fn text(field: &'static str, json: &RawValue) -> Result<String, Invalid> {
    serde_json::from_str(json.get()).map_err(|_| Invalid::value(field, json.get(), "is not a text"))
}

/// A field that is a whole number.
pub(crate) fn whole_number(field: &'static str, json: &RawValue) -> Result<i64, Invalid> {
    json.get().parse().map_err(|_| Invalid::value(field, json.get(), "is not a whole number"))
}
