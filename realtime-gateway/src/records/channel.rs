//! The streams of records that Redis carries, one channel each.

use std::fmt;
use std::str::FromStr;

use service::web::scope::{Stream, Streams};

/// One stream of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Channel {
    /// `trade` events.
    Trades,
    /// `bar` events.
    Bars,
    /// `quote` events.
    Quotes,
    /// `status` events about the feed: a gap that is over, symbols that the feed cannot carry, and the like.
    Status,
    /// `gap` events: an outage has begun.
    Gap,
    /// `healed` events: what an outage left out is in the history now.
    Healed,
    /// `missed` events: records of a symbol never reached this gateway.
    Missed,
    /// `bar` events of the minute that is still running (`"final":false`). Worth nothing once a newer one is there; never replayed.
    Forming,
}

impl Channel {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] =
        [Self::Trades, Self::Bars, Self::Quotes, Self::Status, Self::Gap, Self::Healed, Self::Missed, Self::Forming];

    /// Whether it tells of the feed itself, not of the market: nobody asks for such a stream, everybody who follows the symbol gets it.
    #[must_use]
    pub fn is_about_the_feed(self) -> bool {
        matches!(self, Self::Status | Self::Gap | Self::Healed | Self::Missed)
    }

    /// The event's name on the wire.
    #[must_use]
    pub fn event(self) -> &'static str {
        match self {
            Self::Trades => "trade",
            Self::Bars | Self::Forming => "bar",
            Self::Quotes => "quote",
            Self::Status => "status",
            Self::Gap => "gap",
            Self::Healed => "healed",
            Self::Missed => "missed",
        }
    }

    /// The stream's name in a subscribe request and as a metric label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trades => "trades",
            Self::Bars => "bars",
            Self::Quotes => "quotes",
            Self::Status => "status",
            Self::Gap => "gaps",
            Self::Healed => "heals",
            Self::Missed => "missed",
            Self::Forming => "forming_bars",
        }
    }

    /// Whether a newer record of the same symbol may take the place of an older one for a client that cannot keep up.
    #[must_use]
    pub fn conflates(self) -> bool {
        matches!(self, Self::Trades | Self::Quotes | Self::Forming)
    }
}

const fn bit(channel: Channel) -> u8 {
    1 << channel as u8
}

/// Any number of streams.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Channels(u8);

impl Channels {
    /// What tells of the feed itself.
    const FEED: Self = Self(bit(Channel::Status) | bit(Channel::Gap) | bit(Channel::Healed) | bit(Channel::Missed));

    /// Trades, bars and the state of their feed: what a subscription without `streams` gets.
    pub const USUAL: Self = Self(bit(Channel::Trades) | bit(Channel::Bars) | bit(Channel::Forming) | Self::FEED.0);

    /// All of them.
    pub const ALL: Self = Self(u8::MAX);

    /// These ones, and the state of their feed. With bars comes the one that is still forming.
    pub fn of(channels: impl IntoIterator<Item = Channel>) -> Self {
        let mut bits = channels.into_iter().fold(Self::FEED.0, |bits, channel| bits | bit(channel));
        if bits & bit(Channel::Bars) != 0 {
            bits |= bit(Channel::Forming);
        }
        Self(bits)
    }

    /// Whether `channel` is among them.
    #[must_use]
    pub fn has(self, channel: Channel) -> bool {
        self.0 & bit(channel) != 0
    }

    /// Those that a client can ask for.
    pub fn iter(self) -> impl Iterator<Item = Channel> {
        [Channel::Trades, Channel::Bars, Channel::Quotes].into_iter().filter(move |channel| self.has(*channel))
    }

    /// The streams that a scope covers, and the state of their feed.
    #[must_use]
    pub fn within(streams: Streams) -> Self {
        Self::of(streams.iter().map(Channel::from))
    }

    /// Whether there is more in it than the state of the feed.
    #[must_use]
    pub fn carries_market_data(self) -> bool {
        self.iter().next().is_some()
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Channel::name)).finish()
    }
}

impl FromStr for Channel {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(|stream: Stream| stream.into())
    }
}

impl From<Stream> for Channel {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Trades => Self::Trades,
            Stream::Bars => Self::Bars,
            Stream::Quotes => Self::Quotes,
        }
    }
}
