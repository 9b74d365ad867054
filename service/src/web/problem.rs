//! The one shape of errors: `application/problem+json` (RFC 9457) with the id of the request.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::access::Denied;
use super::admission::Refused;

/// The content type.
pub const CONTENT_TYPE: &str = "application/problem+json";
/// How much of a caller's own text an error repeats, in characters.
const ECHO_CHARS_MAX: usize = 64;

/// Why a request was not answered. Inner details go to the log; a client only ever sees its own words again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What happened, in a few words.
    pub title: Cow<'static, str>,
    /// What happened and what to do about it.
    pub detail: String,
    /// The parameter that is wrong.
    pub parameter: Option<String>,
    /// What a client should wait before it asks again, in seconds.
    pub retry_after_s: Option<u32>,
}

/// The body of an error. Dialects that expect further members add them.
#[derive(Debug, Serialize)]
pub struct Body<'a, More = ()> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    #[serde(flatten)]
    more: More,
    request_id: &'a str,
}

impl Problem {
    /// An error with a sentence that says what to do.
    #[must_use]
    pub fn new(status: u16, title: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self { status, title: title.into(), detail: detail.into(), parameter: None, retry_after_s: None }
    }

    /// 400: a parameter is wrong.
    #[must_use]
    pub fn bad(name: &str, what: impl fmt::Display) -> Self {
        let detail = format!("{}: {what}", echo(name));
        Self { parameter: Some(echo(name)), ..Self::new(400, "Bad request", detail) }
    }

    /// 401: what the caller brought does not open this door.
    #[must_use]
    pub fn denied(denied: Denied) -> Self {
        Self::new(401, "Unauthorized", denied.to_string())
    }

    /// 403: the caller's token does not cover what it asked for.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(403, "Forbidden", detail)
    }

    /// Adds what the client should wait, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The body as bytes. `more` holds further members of a dialect; `()` where there are none.
    pub fn body<More: Serialize>(&self, request_id: &str, more: More) -> Vec<u8> {
        let body = Body {
            r#type: "about:blank",
            title: &self.title,
            status: self.status,
            detail: &self.detail,
            parameter: self.parameter.as_deref(),
            more,
            request_id,
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// Headers that belong to it, beside the content type and `Cache-Control: no-store`.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let wait = self.retry_after_s.map(|seconds| ("retry-after", seconds.to_string()));
        let ask = (self.status == 401).then(|| ("www-authenticate", "Bearer".to_owned()));
        wait.into_iter().chain(ask)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let problem = match refused {
            Refused::Full => Self::new(503, "Service full", refused.to_string()),
            Refused::Address | Refused::Rate => Self::new(429, "Too many requests", refused.to_string()),
        };
        problem.retry_after(refused.retry_after_s())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.title, self.detail)
    }
}

/// A caller's text, cut so that an error stays short.
#[must_use]
pub fn echo(text: &str) -> String {
    match text.char_indices().nth(ECHO_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_problem_has_one_shape_and_room_for_the_members_of_a_dialect() {
        let problem = Problem::bad("limit", "must be a number");
        let body: Value = serde_json::from_slice(&problem.body("id-1", ())).unwrap();
        let expected = json!({
            "type": "about:blank", "title": "Bad request", "status": 400,
            "detail": "limit: must be a number", "parameter": "limit", "request_id": "id-1",
        });
        assert_eq!(body, expected);
        let more: Value = serde_json::from_slice(&problem.body("id-1", json!({"code": 7}))).unwrap();
        assert_eq!(more["code"], 7);
    }

    #[test]
    fn a_long_text_is_cut_where_it_is_repeated() {
        assert_eq!(echo(&"ä".repeat(1000)).chars().count(), 65);
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let problem = Problem::from(Refused::Full);
        assert_eq!(problem.status, 503);
        assert_eq!(problem.headers().next().unwrap().0, "retry-after");
    }
}
