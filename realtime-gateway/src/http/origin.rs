//! Which web pages may talk to this gateway.

use std::str::FromStr;

use axum::http::{HeaderMap, header};

/// One entry of `FRONTEND_URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `*`: everybody.
    Any,
    /// One origin: scheme, host and port.
    Exact(String),
}

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (scheme, host) = text.split_once("://").ok_or("not an origin")?;
        let host = host.trim_end_matches('/');
        if scheme.is_empty() || host.is_empty() || host.contains('/') {
            return Err("not an origin");
        }
        Ok(Self::Exact(format!("{scheme}://{host}").to_ascii_lowercase()))
    }
}

/// The allow-list.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<Origin>);

impl Origins {
    /// These origins; a page that the gateway itself serves is always welcome.
    #[must_use]
    pub fn new(list: Vec<Origin>) -> Self {
        Self(list)
    }

    /// Whether a page from `origin` may ask a gateway that was reached under `host`.
    #[must_use]
    pub fn allow(&self, origin: &str, host: Option<&str>) -> bool {
        let origin = origin.to_ascii_lowercase();
        let same =
            origin.split_once("://").is_some_and(|(_, from)| host.is_some_and(|host| host.eq_ignore_ascii_case(from)));
        same || self.0.iter().any(|allowed| match allowed {
            Origin::Any => true,
            Origin::Exact(exact) => *exact == origin,
        })
    }

    /// Whether a request may open a connection: programs send no `Origin` and are let in.
    #[must_use]
    pub fn allow_request(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.to_str().unwrap_or_default());
        text(header::ORIGIN).is_none_or(|origin| self.allow(origin, text(header::HOST)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_and_own_pages_are_welcome_and_no_others() {
        let list = ["https://App.example.com/", "http://localhost:3000"].map(|text| text.parse().unwrap());
        let origins = Origins::new(list.into());
        assert!(origins.allow("https://app.example.com", None));
        assert!(origins.allow("http://gateway:5000", Some("gateway:5000")), "same origin");
        for origin in
            ["http://app.example.com", "https://app.example.com.evil.net", "null", "http://localhost:30000", ""]
        {
            assert!(!origins.allow(origin, Some("gateway:5000")), "{origin}");
        }
        assert!(Origins::new(vec![Origin::Any]).allow("null", None));
    }
}
