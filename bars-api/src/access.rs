//! Who may ask.

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderMap};
use service::Secret;

use crate::problem::Problem;
use crate::rate::{Allowance, Caller, Exceeded, Rate};

/// What everybody may read: it says how the service is and how it is used.
const OPEN_TO_ALL: [&str; 4] = ["/", "/health", "/metrics", "/openapi.json"];

/// The rules of the door.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whether a key is needed.
    pub key_required: bool,
    /// The keys that are good.
    pub keys: Vec<Secret>,
    /// Requests a minute from one caller; 0 for any number.
    pub requests_per_minute: u32,
}

/// Keeps the rules.
#[derive(Debug)]
pub struct Door {
    rules: Rules,
    rate: Rate,
}

impl Door {
    /// A door that nobody has come through yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        let rate = Rate::new(rules.requests_per_minute);
        Self { rules, rate }
    }

    /// Lets a request in, and says what its caller may still ask; `None` where that is not limited.
    ///
    /// # Errors
    /// 401 without a good key where one is needed, 429 beyond the limit.
    pub fn admit(&self, request: &ServiceRequest, now_s: i64) -> Result<Option<Allowance>, Problem> {
        let path = request.path();
        if OPEN_TO_ALL.contains(&path) || path == "/docs" || path.starts_with("/docs/") {
            return Ok(None);
        }
        let key = self.key_of(request.headers());
        if self.rules.key_required && key.is_none() {
            return Err(Problem::unauthorized());
        }
        let address = request.peer_addr().map(|peer| Caller::Address(peer.ip()));
        let caller = key.map(Caller::Key).or(address).unwrap_or(Caller::Others);
        self.rate.count(caller, now_s).map_err(|Exceeded(allowance)| Problem::too_many(allowance, now_s))
    }

    /// Looks where our own clients and Alpaca's put their key.
    fn key_of(&self, headers: &HeaderMap) -> Option<usize> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let bearer = text(header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
        let given = bearer.or_else(|| text("x-api-key")).or_else(|| text("apca-api-key-id"))?;
        self.rules.keys.iter().position(|key| same(key.expose().as_bytes(), given.trim().as_bytes()))
    }
}

/// Compares in a time that does not tell how much of a key was right.
fn same(key: &[u8], given: &[u8]) -> bool {
    key.len() == given.len() && key.iter().zip(given).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn door(key_required: bool, requests_per_minute: u32) -> Door {
        Door::new(Rules { key_required, keys: vec![Secret::new("swordfish")], requests_per_minute })
    }

    fn request(path: &str, header: (&str, &str)) -> ServiceRequest {
        let peer = "192.0.2.1:5000".parse().unwrap();
        TestRequest::get().uri(path).peer_addr(peer).insert_header((header.0, header.1)).to_srv_request()
    }

    #[test]
    fn a_key_is_asked_for_where_it_is_needed_and_found_in_three_places() {
        let door = door(true, 0);
        for header in
            [("authorization", "Bearer swordfish"), ("x-api-key", "swordfish"), ("apca-api-key-id", "swordfish")]
        {
            assert!(door.admit(&request("/bars/AAPL", header), 0).is_ok(), "{header:?}");
        }
        for header in [("accept", "*/*"), ("x-api-key", "swordfisH"), ("x-api-key", ""), ("authorization", "swordfish")]
        {
            assert!(door.admit(&request("/bars/AAPL", header), 0).is_err(), "{header:?}");
        }
        for path in ["/", "/health", "/metrics", "/docs/index.html", "/openapi.json"] {
            assert!(door.admit(&request(path, ("accept", "*/*")), 0).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_key_has_a_count_of_its_own() {
        let door = door(false, 1);
        let ask = |header| door.admit(&request("/bars/AAPL", header), 61);
        assert_eq!(ask(("accept", "*/*")).unwrap(), Some(Allowance { limit: 1, remaining: 0, reset_s: 120 }));
        assert_eq!(ask(("accept", "*/*")).unwrap_err().allowance().unwrap().reset_s, 120);
        assert!(ask(("x-api-key", "swordfish")).is_ok());
    }
}
