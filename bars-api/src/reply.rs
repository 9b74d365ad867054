//! What goes back to a client, before it becomes an HTTP response.

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
        Self { body: body.into(), headers: [complete].into_iter().chain(headers).collect() }
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
        Self { body: body.into(), headers: Arc::default() }
    }
}
