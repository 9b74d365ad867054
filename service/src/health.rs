//! Which part of a service works, since when, and what is wrong with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

/// How a part is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Works.
    Ok,
    /// Works with less than it should; the service goes on.
    Degraded,
    /// Does not work; the service is not ready.
    Down,
}

/// The state of all parts of one service. Clones share it.
#[derive(Clone, Debug)]
pub struct Health {
    service: &'static str,
    parts: Arc<Mutex<BTreeMap<&'static str, State>>>,
}

#[derive(Clone, Debug, Serialize)]
struct State {
    status: Status,
    since: Timestamp,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

/// What `/health` answers.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The worst of all parts.
    pub status: Status,
    /// The service's name.
    pub service: &'static str,
    /// The service's version.
    pub version: &'static str,
    parts: BTreeMap<&'static str, State>,
}

/// What `/health/ready` answers: the parts that do not work, by name only. The names are stable; the reasons are on `/health`.
#[derive(Debug, Serialize)]
pub struct Readiness {
    /// Whether the service can do its work.
    pub ready: bool,
    /// Parts that are down, in alphabetical order.
    pub down: Vec<&'static str>,
}

/// What `/health/live` answers.
#[derive(Debug, Serialize)]
pub struct Liveness {
    live: bool,
}

impl Default for Liveness {
    fn default() -> Self {
        Self { live: true }
    }
}

impl Report {
    /// The short form for whoever only wants to know whether to send work.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let down = self.parts.iter().filter(|(_, state)| state.status == Status::Down).map(|(name, _)| *name);
        Readiness { ready: self.status != Status::Down, down: down.collect() }
    }

    /// 200 where the service is ready (also while degraded), else 503.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        if self.status == Status::Down { 503 } else { 200 }
    }
}

impl Health {
    /// A service with no parts yet.
    #[must_use]
    pub fn new(service: &'static str) -> Self {
        Self { service, parts: Arc::default() }
    }

    /// Adds a part, down until it says otherwise, and returns its handle.
    #[must_use]
    pub fn part(&self, name: &'static str) -> Part {
        let part = Part { name, health: self.clone() };
        part.down(STARTING);
        part
    }

    /// Everything as it stands.
    #[must_use]
    pub fn report(&self) -> Report {
        let parts = self.lock().clone();
        let status = parts.values().map(|state| state.status).max().unwrap_or(Status::Ok);
        Report { status, service: self.service, version: env!("CARGO_PKG_VERSION"), parts }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner) // a report is better than a second panic
    }
}

/// What a part says of itself before it has tried anything.
const STARTING: &str = "starting";

/// One part's handle. A change of status is logged once and dated; repeating the same status is free of noise.
#[derive(Clone, Debug)]
pub struct Part {
    name: &'static str,
    health: Health,
}

impl Part {
    /// It works.
    pub fn ok(&self) {
        self.set(Status::Ok, String::new());
    }

    /// It works, and stands by: `detail` says for whom.
    pub fn standby(&self, detail: impl Into<String>) {
        self.set(Status::Ok, detail.into());
    }

    /// It works with less than it should.
    pub fn degraded(&self, detail: impl Into<String>) {
        self.set(Status::Degraded, detail.into());
    }

    /// It does not work.
    pub fn down(&self, detail: impl Into<String>) {
        self.set(Status::Down, detail.into());
    }

    /// Its status now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.health.lock().get(self.name).map_or(Status::Down, |state| state.status)
    }

    fn set(&self, status: Status, detail: String) {
        let told = {
            let mut parts = self.health.lock();
            match parts.get_mut(self.name) {
                Some(state) if state.status == status => {
                    // What keeps a part from coming up at all is as much news as what takes it down.
                    let before = std::mem::replace(&mut state.detail, detail.clone());
                    before == STARTING
                }
                before => {
                    let known = before.is_some();
                    parts.insert(self.name, State { status, since: Timestamp::now(), detail: detail.clone() });
                    known || status == Status::Ok
                }
            }
        };
        match status {
            _ if !told => {}
            Status::Ok => tracing::info!(part = self.name, "up"),
            Status::Degraded => tracing::warn!(part = self.name, detail, "degraded"),
            Status::Down => tracing::warn!(part = self.name, detail, "down"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_part_decides_and_a_repeat_keeps_its_date() {
        let health = Health::new("test");
        let (kafka, redis) = (health.part("kafka"), health.part("redis"));
        assert_eq!(health.report().http_status(), 503);
        kafka.ok();
        redis.degraded("slow");
        let report = health.report();
        assert_eq!((report.status, report.http_status()), (Status::Degraded, 200));
        let since = report.parts["redis"].since;
        redis.degraded("slower");
        let state = health.report().parts["redis"].clone();
        assert_eq!((state.since, state.detail.as_str()), (since, "slower"));
        assert!(health.report().readiness().ready);
        kafka.down("no broker answers");
        assert_eq!((health.report().readiness().ready, health.report().readiness().down), (false, vec!["kafka"]));
        assert_eq!(health.report().http_status(), 503);
    }
}
