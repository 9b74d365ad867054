//! Who may ask, for what, and how often.

use actix_web::dev::ServiceRequest;
use actix_web::http::Uri;
use actix_web::http::uri::PathAndQuery;
use service::web::access::{self, Access, AccessConfig};
use service::web::client_address::TrustedProxies;
use service::web::{routes, without_token};

use crate::problem::Problem;
use crate::rate::{Allowance, Caller, Exceeded, Rate};

/// What everybody may read: it says how the service is and how it is used.
const OPEN_TO_ALL: [&str; 4] = ["/", "/health", "/metrics", "/openapi.json"];

/// The rules.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Keys and tokens.
    pub access: AccessConfig,
    /// Proxies that say whose request they pass on.
    pub proxies: TrustedProxies,
    /// Requests a minute from one caller; 0 for any number.
    pub requests_per_minute: u32,
}

/// Applies the rules to every request.
#[derive(Debug)]
pub struct Admission {
    access: Access,
    proxies: TrustedProxies,
    rate: Rate,
}

impl Admission {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        Self {
            access: Access::new(&rules.access),
            proxies: rules.proxies.clone(),
            rate: Rate::new(rules.requests_per_minute),
        }
    }

    /// Admits a request, and returns what its caller may still ask; `None` when that is not limited. Takes the token out of the query,
    /// and narrows a query about all symbols to those that the token covers.
    ///
    /// # Errors
    /// 401 without a valid key or token where one is needed, 403 for what a token does not cover, 429 beyond the limit.
    pub fn admit(&self, request: &mut ServiceRequest, now_s: i64) -> Result<Option<Allowance>, Problem> {
        let path = request.path();
        if OPEN_TO_ALL.contains(&path) || path == "/docs" || path.starts_with("/docs/") {
            return Ok(None);
        }
        let header = |name: &'static str| request.headers().get(name)?.to_str().ok();
        let given = access::credential(header, request.uri().query());
        let grant = self.access.admit_lenient(given.as_deref())?;
        let caller = match grant.caller {
            access::Caller::Key(key) => Caller::Key(key),
            access::Caller::Token | access::Caller::Anonymous => self.address(request),
        };
        let allowance =
            self.rate.count(caller, now_s).map_err(|Exceeded(allowance)| Problem::too_many(allowance, now_s))?;
        let query = without_token(request.query_string());
        let query = routes::check(&grant.scope, path, &query)?.unwrap_or(query);
        if query != request.query_string() {
            let asked = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
            let mut parts = request.uri().clone().into_parts();
            parts.path_and_query = PathAndQuery::try_from(asked).ok();
            if let Ok(uri) = Uri::from_parts(parts) {
                request.head_mut().uri = uri;
            }
        }
        Ok(allowance)
    }

    fn address(&self, request: &ServiceRequest) -> Caller {
        let values = |name: &'static str| request.headers().get_all(name).map(|value| value.as_bytes());
        request.peer_addr().map_or(Caller::Others, |peer| Caller::Address(self.proxies.client(peer.ip(), values)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use service::web::access::Claims;
    use service::{Secret, Vars};

    const KEY: &str = "a key of this test";

    fn rules(required: bool, requests_per_minute: u32) -> Rules {
        let mut access = Vars::from_pairs(&[]).load(AccessConfig::from_vars).unwrap();
        access.required = required;
        access.keys = vec![Secret::new(KEY)];
        access.signing_key = Some(Secret::new("a signing key that both services have"));
        let proxies = Vars::from_pairs(&[("TRUSTED_PROXIES", "192.0.2.9")]);
        Rules { access, proxies: proxies.load(TrustedProxies::from_vars).unwrap(), requests_per_minute }
    }

    fn admission(required: bool, requests_per_minute: u32) -> Admission {
        Admission::new(&rules(required, requests_per_minute))
    }

    fn request(path: &str, header: (&str, &str)) -> ServiceRequest {
        let peer = "192.0.2.1:5000".parse().unwrap();
        TestRequest::get().uri(path).peer_addr(peer).insert_header((header.0, header.1)).to_srv_request()
    }

    #[test]
    fn a_key_is_asked_for_where_it_is_needed_and_found_in_three_places() {
        let admission = admission(true, 0);
        let bearer = format!("Bearer {KEY}");
        for header in [("authorization", bearer.as_str()), ("x-api-key", KEY), ("apca-api-key-id", KEY)] {
            assert!(admission.admit(&mut request("/bars/AAPL", header), 0).is_ok(), "{header:?}");
        }
        for header in
            [("accept", "*/*"), ("x-api-key", "a key of this tesT"), ("x-api-key", ""), ("authorization", KEY)]
        {
            assert!(admission.admit(&mut request("/bars/AAPL", header), 0).is_err(), "{header:?}");
        }
        for path in ["/", "/health", "/metrics", "/docs/index.html", "/openapi.json"] {
            assert!(admission.admit(&mut request(path, ("accept", "*/*")), 0).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_key_has_a_count_of_its_own() {
        let admission = admission(false, 1);
        let ask = |header| admission.admit(&mut request("/bars/AAPL", header), 61);
        assert_eq!(ask(("accept", "*/*")).unwrap(), Some(Allowance { limit: 1, remaining: 0, reset_s: 120 }));
        assert_eq!(ask(("accept", "*/*")).unwrap_err().allowance().unwrap().reset_s, 120);
        assert!(ask(("x-api-key", KEY)).is_ok());
    }

    #[test]
    fn behind_a_trusted_proxy_each_client_has_a_count_of_its_own_and_a_stranger_cannot_choose_one() {
        let admission = admission(false, 1);
        let ask = |peer: &str, client: &'static str| {
            let request = TestRequest::get().uri("/bars/AAPL").peer_addr(format!("{peer}:5000").parse().unwrap());
            let mut request = request.insert_header(("x-forwarded-for", client)).to_srv_request();
            admission.admit(&mut request, 61).is_ok()
        };
        assert!(ask("192.0.2.9", "198.51.100.1") && ask("192.0.2.9", "198.51.100.2"));
        assert!(!ask("192.0.2.9", "1.1.1.1, 198.51.100.1"), "what the client claims does not count");
        assert!(ask("192.0.2.1", "198.51.100.3") && !ask("192.0.2.1", "198.51.100.4"), "not a trusted proxy");
    }

    #[test]
    fn a_token_of_the_gateway_opens_what_it_covers_and_is_taken_out_of_the_query() {
        let admission = admission(true, 0);
        let gateway = Access::new(&rules(true, 0).access);
        let claims = Claims { symbols: Some(vec!["AAPL".to_owned(), "MSFT".to_owned()]), ..Claims::default() };
        let (token, _) = gateway.issue(claims, None);
        let mut one = request(&format!("/bars/AAPL?limit=5&token={token}"), ("accept", "*/*"));
        assert!(admission.admit(&mut one, 0).is_ok());
        assert_eq!(one.query_string(), "limit=5");
        let bearer = format!("Bearer {token}");
        let header = ("authorization", bearer.as_str());
        assert_eq!(admission.admit(&mut request("/bars/TSLA", header), 0).unwrap_err().status(), 403);
        let mut all = request("/bars/latest", header);
        assert!(admission.admit(&mut all, 0).is_ok());
        assert_eq!((all.path(), all.query_string()), ("/bars/latest", "symbols=AAPL%2CMSFT"));
    }
}
