//! What waits for a client that broke off: its subscriptions, under a name that only it knows.
//!
//! A client that comes back before anybody noticed the break finds its old connection still there: [`Sessions::holder`] names it, so that
//! it can be ended and its subscriptions taken over.

use std::collections::HashMap;
use std::time::Instant;

use market::Symbol;

use crate::subscriptions::contract::Options;

/// Most sessions that wait at once.
const SESSIONS_MAX: usize = 100_000;

/// Sessions by their id.
#[derive(Debug, Default)]
pub struct Sessions {
    waiting: HashMap<String, Session>,
    /// Clients that are connected, by the session that they would leave behind.
    connected: HashMap<String, u64>,
}

/// What a client that broke off left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The id by which it knew its connection.
    pub connection_id: String,
    /// What it followed.
    pub symbols: Vec<(Symbol, Options)>,
    /// Until when it waits.
    pub until: Instant,
}

impl Sessions {
    /// Notes which client would leave the session `id` behind.
    pub fn hold(&mut self, id: String, client: u64) {
        self.connected.insert(id, client);
    }

    /// The connected client that the session `id` belongs to.
    #[must_use]
    pub fn holder(&self, id: &str) -> Option<u64> {
        self.connected.get(id).copied()
    }

    /// Notes that `client` went.
    pub fn release(&mut self, id: &str, client: u64) {
        if self.connected.get(id) == Some(&client) {
            self.connected.remove(id);
        }
    }

    /// Keeps a session. If too many wait already, nothing is kept and the client starts anew.
    pub fn keep(&mut self, id: String, session: Session) {
        if self.waiting.len() < SESSIONS_MAX {
            self.waiting.insert(id, session);
        }
    }

    /// The session that waits under `id`.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Session> {
        self.waiting.get(id)
    }

    /// Takes a session out, because it is resumed.
    pub fn take(&mut self, id: &str) -> Option<Session> {
        self.waiting.remove(id)
    }

    /// Forgets sessions whose time is over.
    pub fn expire(&mut self, now: Instant) {
        self.waiting.retain(|_, session| session.until > now);
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
        let symbols = vec![(Symbol::new("AAPL").unwrap(), Options::default())];
        let session = Session { connection_id: "c".to_owned(), symbols, until: now + Duration::from_secs(2) };
        sessions.keep("one".to_owned(), session.clone());
        sessions.expire(now + Duration::from_secs(1));
        assert_eq!((sessions.get("one"), sessions.get("another")), (Some(&session), None));
        sessions.expire(now + Duration::from_secs(2));
        assert_eq!(sessions.get("one"), None);
    }

    #[test]
    fn only_the_client_that_holds_a_session_releases_it() {
        let mut sessions = Sessions::default();
        sessions.hold("one".to_owned(), 1);
        sessions.hold("one".to_owned(), 2);
        sessions.release("one", 1);
        assert_eq!(sessions.holder("one"), Some(2));
        sessions.release("one", 2);
        assert_eq!(sessions.holder("one"), None);
    }
}
