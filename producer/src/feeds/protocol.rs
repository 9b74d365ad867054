//! What every feed has in common, seen without a socket: frames come in, events and answers go out.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use market::{Availability, Source};
use service::Secret;

use crate::demand::Wishes;
use crate::demand::roster::Roster;
use crate::feeds::event::Event;

/// The feeds that this program speaks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Feed {
    /// Alpaca's stock stream.
    Alpaca,
    /// Finnhub's trade stream.
    Finnhub,
    /// Massive's stock stream, formerly Polygon's.
    Massive,
}

impl Feed {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Alpaca, Self::Finnhub, Self::Massive];

    /// The name that its records carry.
    #[must_use]
    pub const fn source(self) -> Source {
        match self {
            Self::Alpaca => Source::alpaca(),
            Self::Finnhub => Source::finnhub(),
            Self::Massive => Source::massive(),
        }
    }

    /// Whether its history has the trades of today, so that gaps can be healed.
    #[must_use]
    pub const fn keeps_trades(self) -> bool {
        !matches!(self, Self::Finnhub)
    }

    /// The same name as text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alpaca => "alpaca",
            Self::Finnhub => "finnhub",
            Self::Massive => "massive",
        }
    }
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Feed {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|feed| feed.name() == text).ok_or("no such feed")
    }
}

/// One feed's side of the conversation. No I/O: [`crate::connection`] owns the socket and the clock.
pub trait Protocol: Send {
    /// Whose protocol this is.
    fn feed(&self) -> Feed;

    /// Where to connect. Called before each attempt.
    fn endpoint(&self) -> Endpoint;

    /// A new connection is up: forget the last one. What comes back is sent before anything is heard.
    fn connected(&mut self) -> Step;

    /// Takes one frame. Events go to `events` in order; what the conversation needs comes back.
    fn frame(&mut self, frame: Frame<'_>, events: &mut dyn FnMut(Event)) -> Step;

    /// Time passes, about once a second while a connection is up: `now_ms` is the wall clock in Unix milliseconds.
    fn tick(&mut self, _now_ms: i64, _events: &mut dyn FnMut(Event)) {}

    /// The wanted symbols have changed, or are repeated before a connection begins.
    fn want(&mut self, wishes: &Wishes) -> Step;

    /// What is subscribed and what should be, where the feed says which names it does not take.
    fn roster(&mut self) -> Option<&mut Roster> {
        None
    }

    /// How long the server may say nothing before [`Protocol::probe`] is asked what to do: a socket can stay open and deliver
    /// nothing for hours.
    fn silence_max(&self) -> Duration;

    /// The server has been silent for that long: a question that a living one answers at once, or the end of the connection.
    fn probe(&mut self) -> Step;

    /// How long the feed may take for its first record while the market is open.
    fn first_record_within(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// What the server owes next; `None` while records stream and nothing is owed.
    fn awaits(&self) -> Option<Awaited>;
}

/// A frame as the socket delivered it.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// UTF-8 text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

impl<'a> Frame<'a> {
    /// Its bytes, whichever kind it is.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// Something the server has to send before its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// For people: "the welcome".
    pub what: &'static str,
    /// Counts up with each thing awaited, so that two in a row differ.
    pub step: u32,
    /// How long the server may take.
    pub limit: Duration,
}

/// A stream's address and the secrets that go with it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `ws://` or `wss://`; may hold a token, so it is never logged.
    pub url: Secret,
    /// The same without secrets, for people.
    pub shown: String,
    /// HTTP headers of the handshake; they may hold keys.
    pub headers: Vec<(&'static str, Secret)>,
}

/// What a frame asks the connection to do.
#[derive(Debug, Default, PartialEq)]
pub struct Step {
    /// Messages to send, in order. They may hold keys.
    pub send: Vec<Outgoing>,
    /// What clients have to be told.
    pub news: Vec<Availability>,
    /// Whether the connection goes on.
    pub next: Next,
}

/// Whether a connection goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// It does.
    #[default]
    GoOn,
    /// Close it, wait, and connect again; the text says why.
    Reconnect(String),
    /// The same after a minute or more: the server has enough of this client.
    ReconnectLater(String),
    /// Stop for good; the text tells a person what to do.
    Fatal(String),
}

impl Step {
    /// Sends one message and goes on.
    #[must_use]
    pub fn send(message: Outgoing) -> Self {
        Self { send: vec![message], ..Self::default() }
    }

    /// Ends the connection.
    #[must_use]
    pub fn end(next: Next) -> Self {
        Self { next, ..Self::default() }
    }

    /// Adds what another element of the same frame asks for. A connection that is over stays over.
    pub fn and(&mut self, Self { send, news, next }: Self) {
        self.send.extend(send);
        self.news.extend(news);
        if self.next == Next::GoOn {
            self.next = next;
        }
    }
}

/// A message to the server. `Debug` does not show it, because it may hold keys.
#[derive(Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        };
        write!(f, "({bytes} bytes)")
    }
}
