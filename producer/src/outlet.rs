//! Where a connection's events go: into the pipeline, or into one of the tools for people.

use market::Availability;

use crate::event::Event;
use crate::fanout::Fanout;
use crate::feed::{Frame, Step};
use crate::gaps::Gaps;

/// Takes what one connection brings.
pub trait Outlet: Send {
    /// Waits until more can be taken: until then the socket is not read. Cancel safe.
    fn room(&self) -> impl Future<Output = ()> + Send;

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

/// The service's outlet: records to Redis and Kafka, outages to the account of gaps.
pub struct Pipeline {
    fanout: Fanout,
    gaps: Gaps,
}

impl Pipeline {
    /// Of one feed.
    #[must_use]
    pub fn new(fanout: Fanout, gaps: Gaps) -> Self {
        Self { fanout, gaps }
    }
}

impl Outlet for Pipeline {
    async fn room(&self) {
        self.fanout.room().await;
    }

    fn connected(&mut self) {
        self.fanout.connected();
    }

    fn frame(&mut self, _: Option<Frame<'_>>, decode: impl FnOnce(&mut dyn FnMut(Event)) -> Step) -> Step {
        let step = self.fanout.frame(decode);
        self.gaps.heard(self.fanout.clock());
        step
    }

    fn news(&mut self, news: &[Availability]) {
        self.fanout.tell(news);
    }

    fn lost(&mut self, cause: &str) {
        self.gaps.lost(self.fanout.clock(), cause);
    }

    fn doubted(&mut self, cause: &str) {
        self.gaps.doubted(self.fanout.clock(), cause);
    }
}
