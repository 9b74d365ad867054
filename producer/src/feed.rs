//! What every feed has in common, seen without a socket: frames come in, events and answers go out.

use std::fmt;
use std::time::Duration;

use market::Source;
use service::Secret;

use crate::event::Event;

/// One feed's side of the conversation. No I/O: [`crate::connection`] owns the socket and the clock.
pub trait Protocol: Send {
    /// The feed's name, which its records carry.
    fn source(&self) -> Source;

    /// Where to connect. Called before each attempt.
    fn endpoint(&self) -> Endpoint;

    /// A new connection is up: forget the last one.
    fn connected(&mut self);

    /// Takes one frame. Events go to `events` in order; what the conversation needs comes back.
    fn frame(&mut self, frame: Frame<'_>, events: &mut dyn FnMut(Event)) -> Step;

    /// A question that a living server answers at once. Asked where it has been silent for long; the answer is then awaited.
    fn probe(&mut self) -> Option<Outgoing>;

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

/// Something the server has to send before its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// For people: "the welcome".
    pub what: &'static str,
    /// Counts up with each thing awaited, so that two in a row are told apart.
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
}

/// What a frame asks the connection to do.
#[derive(Debug, Default, PartialEq)]
pub struct Step {
    /// Messages to send, in order. They may hold keys.
    pub send: Vec<Outgoing>,
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
    /// Stop for good; the text tells a person what to do.
    Fatal(String),
}

impl Step {
    /// Sends one message and goes on.
    #[must_use]
    pub fn send(message: Outgoing) -> Self {
        Self { send: vec![message], next: Next::GoOn }
    }

    /// Ends the connection.
    #[must_use]
    pub fn end(next: Next) -> Self {
        Self { send: Vec::new(), next }
    }
}

/// A message to the server. `Debug` does not show it, because it may hold keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing(pub String);

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}
