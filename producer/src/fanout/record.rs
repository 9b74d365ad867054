//! A record as both paths see it: encoded once, with what they need to know to pass it on.

use bytes::Bytes;
use market::Symbol;

use crate::feeds::protocol::Feed;

/// The streams that records travel in; each has its channel, and all but quotes their topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Trades.
    Trades,
    /// Bars.
    Bars,
    /// Quotes, hot only.
    Quotes,
    /// Outages; their key is the feed's name.
    Gaps,
    /// Trades that do not hold as they were reported.
    Corrections,
    /// What a feed does not carry, or carries again; hot only.
    Status,
    /// Bars of minutes that still run; hot only, on the channel of bars.
    FormingBars,
    /// What the producer says that it sent; for the audit, cold only.
    Sent,
}

impl Stream {
    /// All of them, in the order of their numbers, which are also written to disk.
    pub const ALL: [Self; 8] = [
        Self::Trades,
        Self::Bars,
        Self::Quotes,
        Self::Gaps,
        Self::Corrections,
        Self::Status,
        Self::FormingBars,
        Self::Sent,
    ];

    /// Its name, for metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trades => "trades",
            Self::Bars => "bars",
            Self::Quotes => "quotes",
            Self::Gaps => "gaps",
            Self::Corrections => "corrections",
            Self::Status => "status",
            Self::FormingBars => "forming_bars",
            Self::Sent => "sent",
        }
    }

    /// Whether its records go to Redis only: they are of no use later.
    #[must_use]
    pub fn is_hot_only(self) -> bool {
        matches!(self, Self::Quotes | Self::Status | Self::FormingBars)
    }
}

/// One encoded record. Cloning it copies no data.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Where it belongs.
    pub stream: Stream,
    /// Who reported it; `None` when it comes from disk, where that is no matter any more.
    pub feed: Option<Feed>,
    /// Its Kafka key.
    pub symbol: Symbol,
    /// Its stamp, Unix nanoseconds; 0 when it has none of its own.
    pub ts_ns: i64,
    /// Feed time at which it arrived, Unix nanoseconds: once it is safe, the feed is known up to there. `None` when it says nothing about
    /// that. Never a stamp, because one may be wrong.
    pub heard_ns: Option<i64>,
    /// Its number in its symbol and stream of this run; 0 where it has none.
    pub seq: u64,
    /// JSON.
    pub json: Bytes,
}

/// The lanes of the cold path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// What happens now. It goes first.
    Live,
    /// What is fetched from a history. It waits.
    Past,
}

impl Encoded {
    /// The lane it travels in: a record that no stream has brought comes from a history. A gap is news, whoever announces it, and so is a
    /// report of what was sent.
    #[must_use]
    pub fn lane(&self) -> Lane {
        if self.feed.is_some() || matches!(self.stream, Stream::Gaps | Stream::Sent) { Lane::Live } else { Lane::Past }
    }
}
