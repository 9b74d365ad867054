//! Where a connection's events go: into the pipeline, or into one of the tools for people.

use market::{Availability, NS_PER_MS};

use super::steady::Steady;

use crate::feeds::event::Event;
use crate::feeds::protocol::{Frame, Step};

/// Takes what one connection brings.
pub trait Outlet: Send {
    /// A new connection is up.
    fn connected(&mut self);

    /// Takes the events of one frame, which `decode` sends. `raw` is `None` where they come from the passing of time.
    fn frame(&mut self, raw: Option<Frame<'_>>, decode: impl FnOnce(&mut dyn FnMut(Event)) -> Step) -> Step;

    /// Some of what is wanted cannot be had, or can again.
    fn news(&mut self, _news: &[Availability]) {}

    /// The subscription is acknowledged: what the feed sends from now on arrives.
    fn subscribed(&mut self) {}

    /// Time passes, about once a second while a connection is up.
    fn tick(&mut self) {}

    /// Whether nothing is missing at present, as far as anybody can know.
    fn is_complete(&self) -> bool {
        true
    }

    /// The feed's time in Unix milliseconds; the wall clock where nothing better is known.
    fn feed_ms(&self) -> i64 {
        Steady::default().now_ns() / NS_PER_MS
    }

    /// The feed answers and sends no records, which it should not. The connection may go on.
    fn silent(&mut self, _cause: &str) {}

    /// The connection is over.
    fn lost(&mut self, cause: &str);
}
