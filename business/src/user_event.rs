//! What users did.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::instant::Instant;
use crate::invalid::Invalid;
use crate::text::{Country, EventType, Id, Name};
use crate::wire;

/// One thing that a user did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserEvent {
    /// The sender's id; an event that comes twice is stored once.
    pub id: Id,
    /// When it happened.
    pub timestamp: Instant,
    /// What it was.
    pub event_type: EventType,
    /// Who it was.
    pub user_id: Id,
    /// The visit that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<Id>,
    /// The page that was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<Name>,
    /// Where the user is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<Country>,
    /// The kind of device, such as `mobile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Name>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    timestamp: &'a RawValue,
    event_type: &'a RawValue,
    user_id: &'a RawValue,
    session_id: Option<&'a RawValue>,
    page: Option<&'a RawValue>,
    country: Option<&'a RawValue>,
    device: Option<&'a RawValue>,
}

impl UserEvent {
    /// Reads an event. `now_ms`: our clock, in Unix milliseconds.
    pub(crate) fn read(json: &str, now_ms: i64) -> Result<Self, Invalid> {
        let raw: Raw<'_> = wire::fields(json)?;
        Ok(Self {
            id: Id::read("id", raw.id)?,
            timestamp: Instant::read("timestamp", raw.timestamp, now_ms)?,
            event_type: EventType::read("event_type", raw.event_type)?,
            user_id: Id::read("user_id", raw.user_id)?,
            session_id: raw.session_id.map(|json| Id::read("session_id", json)).transpose()?,
            page: raw.page.map(|json| Name::read("page", json)).transpose()?,
            country: raw.country.map(|json| Country::read("country", json)).transpose()?,
            device: raw.device.map(|json| Name::read("device", json)).transpose()?,
        })
    }
}
