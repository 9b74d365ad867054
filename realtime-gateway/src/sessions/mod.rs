//! What waits for a client that broke off: its subscriptions, under a name that only it knows.

use std::collections::HashMap;
use std::time::Instant;

use market::Symbol;

use crate::subscriptions::contract::Options;

/// Most sessions that wait at once.
const SESSIONS_MAX: usize = 100_000;

/// Subscriptions of clients that broke off, by session id.
#[derive(Debug, Default)]
pub struct Sessions(HashMap<String, Session>);

#[derive(Debug)]
struct Session {
    symbols: Vec<(Symbol, Options)>,
    until: Instant,
}

impl Sessions {
    /// Keeps a client's subscriptions until `until`. If too many wait already, nothing is kept and the client starts anew.
    pub fn keep(&mut self, id: String, symbols: Vec<(Symbol, Options)>, until: Instant) {
        if self.0.len() < SESSIONS_MAX {
            self.0.insert(id, Session { symbols, until });
        }
    }

    /// The subscriptions that wait under `id`.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&[(Symbol, Options)]> {
        self.0.get(id).map(|session| session.symbols.as_slice())
    }

    /// Forgets a session that was resumed.
    pub fn remove(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// Forgets sessions whose time is over.
    pub fn expire(&mut self, now: Instant) {
        self.0.retain(|_, session| session.until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_session_waits_until_its_time_is_over() {
        let mut sessions = Sessions::default();
        let now = Instant::now();
        let subscriptions = vec![(Symbol::new("AAPL").unwrap(), Options::default())];
        sessions.keep("one".to_owned(), subscriptions.clone(), now + Duration::from_secs(2));
        sessions.expire(now + Duration::from_secs(1));
        assert_eq!(sessions.get("one"), Some(subscriptions.as_slice()));
        assert_eq!(sessions.get("another"), None);
        sessions.expire(now + Duration::from_secs(2));
        assert_eq!(sessions.get("one"), None);
    }
}
