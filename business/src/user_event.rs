//! What users did.

use serde::{Deserialize, Serialize};

use crate::instant::Instant;
use crate::invalid::Invalid;
use crate::text::{Country, EventType, Id, Name};

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
struct Raw {
    id: String,
    timestamp: i64,
    event_type: String,
    user_id: String,
    session_id: Option<String>,
    page: Option<String>,
    country: Option<String>,
    device: Option<String>,
}

impl UserEvent {
    /// Reads an event. `now_ms`: our clock, in Unix milliseconds.
    pub(crate) fn read(json: &str, now_ms: i64) -> Result<Self, Invalid> {
        let raw: Raw = serde_json::from_str(json).map_err(|error| Invalid::Shape(error.to_string()))?;
        Ok(Self {
            id: Id::new("id", raw.id)?,
            timestamp: Instant::new("timestamp", raw.timestamp, now_ms)?,
            event_type: EventType::new("event_type", raw.event_type)?,
            user_id: Id::new("user_id", raw.user_id)?,
            session_id: raw.session_id.map(|text| Id::new("session_id", text)).transpose()?,
            page: raw.page.map(|text| Name::new("page", text)).transpose()?,
            country: raw.country.map(|text| Country::new("country", text)).transpose()?,
            device: raw.device.map(|text| Name::new("device", text)).transpose()?,
        })
    }
}
