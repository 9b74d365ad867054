//! Bytes to records.

use serde::Serialize;

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
    let json = std::str::from_utf8(payload).map_err(|error| Invalid::Shape(error.to_string()))?;
    Ok(match stream {
        Stream::Sales => Record::Sale(Sale::read(json, now_ms)?.into()),
        Stream::UserEvents => Record::UserEvent(UserEvent::read(json, now_ms)?.into()),
        Stream::FinancialMetrics => Record::FinancialMetric(FinancialMetric::read(json, now_ms)?.into()),
    })
}
