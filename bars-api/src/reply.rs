//! What goes back to a client, before it becomes an HTTP response.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use bytes::Bytes;

use crate::remembered::Weighed;

/// JSON.
pub const JSON: &str = "application/json";
/// Says `false` where the answer touches an outage whose records have not been fetched, else `true`.
pub const COMPLETE: &str = "x-complete";

/// A body and what is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The body.
    pub body: Bytes,
    /// Headers beside the usual ones.
    pub headers: Arc<[(&'static str, String)]>,
    /// Whether nothing that is still to come belongs into it, and how long anybody may keep it unasked.
    pub closed: Option<Closed>,
}

/// An answer about a time that is over: only a correction, or the healing of an outage, can change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Stands for the body and its headers.
    pub content: u64,
    /// For how long it need not be asked for again, in seconds; 0 where it must be.
    pub keep_s: u32,
}

impl Answer {
    /// A body made of records, and whether none of them can be missing.
    #[must_use]
    pub fn of_records(body: Vec<u8>, complete: bool) -> Self {
        Self::with_headers(body, complete, [])
    }

    /// The same with further headers.
    #[must_use]
    pub fn with_headers(
        body: Vec<u8>,
        complete: bool,
        headers: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        let complete = (COMPLETE, complete.to_string());
        Self { body: body.into(), headers: [complete].into_iter().chain(headers).collect(), closed: None }
    }
}

/// From then on the tape reports nothing of a range any more: the latest reports come a quarter of an hour after the fact.
const SETTLED_AFTER_MS: i64 = 20 * 60_000;
/// How long an answer may be kept once its range is settled, and once it is days old and what was to be repaired has been.
const KEEP_SETTLED_S: u32 = 60;
const OLD_AFTER_MS: i64 = 4 * 24 * 3_600_000;
const KEEP_OLD_S: u32 = 86_400;

impl Answer {
    /// The same, known to be about a time that ended `age_ms` before the newest bar. What may have a hole is asked for again each time.
    #[must_use]
    pub fn closed(mut self, age_ms: i64, complete: bool) -> Self {
        let keep_s = match age_ms {
            _ if !complete => 0,
            OLD_AFTER_MS.. => KEEP_OLD_S,
            SETTLED_AFTER_MS.. => KEEP_SETTLED_S,
            _ => 0,
        };
        let mut hasher = DefaultHasher::new();
        (&self.body, &self.headers).hash(&mut hasher);
        self.closed = Some(Closed { content: hasher.finish(), keep_s });
        self
    }
}

impl Weighed for Answer {
    fn bytes(&self) -> usize {
        const HEADER_BYTES: usize = 256;
        self.body.len() + self.headers.iter().map(|(_, value)| value.len() + HEADER_BYTES).sum::<usize>()
    }
}

impl From<Vec<u8>> for Answer {
    fn from(body: Vec<u8>) -> Self {
        Self { body: body.into(), headers: Arc::default(), closed: None }
    }
}
