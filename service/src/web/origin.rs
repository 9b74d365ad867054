//! Which web pages may ask from a browser: `FRONTEND_URL`.

use std::str::FromStr;

use crate::Vars;

/// One entry of `FRONTEND_URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// `*`: every page.
    Any,
    /// One origin: scheme, host and port.
    Exact(String),
    /// `http://localhost:*`: scheme and host, with a colon; any port.
    AnyPort(String),
}

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "not an origin";
        if text == "*" {
            return Ok(Self::Any);
        }
        let (scheme, host) = text.split_once("://").ok_or(SHAPE)?;
        let host = host.trim_end_matches('/');
        let (name, any_port) = host.strip_suffix(":*").map_or((host, false), |name| (name, true));
        if !matches!(scheme, "http" | "https") || name.is_empty() || name.contains(['/', '*', '@', '?', '#']) {
            return Err(SHAPE);
        }
        let origin = format!("{scheme}://{name}").to_ascii_lowercase();
        Ok(if any_port { Self::AnyPort(format!("{origin}:")) } else { Self::Exact(origin) })
    }
}

impl Origin {
    fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == origin,
            Self::AnyPort(before) => {
                let port = origin.strip_prefix(before.as_str());
                // A browser leaves the scheme's own port out.
                before.strip_suffix(':') == Some(origin) || port.is_some_and(|port| port.parse::<u16>().is_ok())
            }
        }
    }
}

/// The allow-list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<Origin>);

impl Origins {
    /// Reads `FRONTEND_URL`.
    pub fn from_vars(vars: &mut Vars) -> Self {
        Self(vars.read_list(
            "FRONTEND_URL",
            "http://localhost:3000,http://localhost:5173",
            "origins such as https://app.example.com or http://localhost:*, or * for every page",
        ))
    }

    /// Reads entries.
    ///
    /// # Errors
    /// For a text that is not an origin.
    pub fn of<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Self, &'static str> {
        list.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether every page may ask.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.contains(&Origin::Any)
    }

    /// Whether a page from `origin` may ask a service that was reached under `host`. A page that the service serves itself always may.
    #[must_use]
    pub fn allow(&self, origin: &str, host: Option<&str>) -> bool {
        let origin = origin.to_ascii_lowercase();
        let same =
            origin.split_once("://").is_some_and(|(_, from)| host.is_some_and(|host| host.eq_ignore_ascii_case(from)));
        same || self.0.iter().any(|allowed| allowed.allows(&origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_and_own_pages_are_welcome_and_no_others() {
        let origins = Origins::of(["https://App.example.com/", "http://localhost:3000"]).unwrap();
        assert!(origins.allow("https://app.example.com", None));
        assert!(origins.allow("http://gateway:5000", Some("gateway:5000")), "same origin");
        for origin in
            ["http://app.example.com", "https://app.example.com.evil.net", "null", "http://localhost:30000", ""]
        {
            assert!(!origins.allow(origin, Some("gateway:5000")), "{origin}");
        }
        assert!(Origins::of(["*"]).unwrap().allow("null", None));
    }

    #[test]
    fn any_port_of_a_host_may_be_allowed_and_nothing_that_only_looks_like_it() {
        let origins = Origins::of(["http://localhost:*"]).unwrap();
        for origin in ["http://localhost:4209", "http://localhost", "http://LOCALHOST:80"] {
            assert!(origins.allow(origin, None), "{origin}");
        }
        for origin in [
            "https://localhost:4209",
            "http://localhost:4209.evil.net",
            "http://localhost.evil.net",
            "http://localhost:",
            "http://localhost:x",
            "http://localhost:4209@evil.net",
            "http://localhost:99999",
        ] {
            assert!(!origins.allow(origin, None), "{origin}");
        }
    }

    #[test]
    fn what_is_no_origin_is_rejected() {
        for text in ["localhost:3000", "ftp://a", "http://", "http://a/b", "http://*.a", "http://a@b", "", "http://:*"]
        {
            assert!(Origins::of([text]).is_err(), "{text}");
        }
    }
}
