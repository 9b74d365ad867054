//! Where a connection's events go: into the pipeline, or into one of the tools for people.

use market::Availability;

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

    /// The connection is over.
    fn lost(&mut self, cause: &str);

    /// The connection was given up because nothing came: perhaps something was missed, perhaps there was nothing.
    fn doubted(&mut self, cause: &str) {
        self.lost(cause);
    }
}
