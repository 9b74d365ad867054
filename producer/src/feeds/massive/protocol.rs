//! The conversation with Massive's stream: welcome, authentication, one acknowledgement for each thing subscribed, then records.

use std::collections::VecDeque;
use std::time::Duration;

use market::{Bar, Source, Symbol, Timeframe};
use serde_json::json;
use service::Secret;

use crate::demand::Wishes;
use crate::demand::roster::{Change, Roster};
use crate::feeds::event::Event;
use crate::feeds::protocol::{Awaited, Endpoint, Feed, Frame, Next, Outgoing, Protocol, Step};
use crate::feeds::revisions::Revisions;

use super::element::{Element, Status};
use super::frame::decode_frame;
use super::symbol::to_wire;

/// How long the server may take for each answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A server that has sent nothing for this long is asked for a sign of life.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Longest list of things to subscribe in one message, in bytes.
const LIST_BYTES_MAX: usize = 32 * 1024 - 64;
/// A bar may be sent again for this many minutes.
const REVISED_MINUTES: usize = 16;
/// Statuses that have a counter of their own.
const STATUSES: [&str; 5] = ["auth_failed", "not_authorized", "auth_timeout", "max_connections", "error"];
/// What the probe subscribes and unsubscribes by turns: a test symbol of Nasdaq, so that nothing anybody wants is touched.
const PROBE: &str = "T.ZVZZT";
const PROBE_SYMBOL: &str = "ZVZZT";

/// What to subscribe, with which key.
#[derive(Clone, Debug)]
pub struct MassiveSettings {
    /// Stream address, e.g. `wss://socket.massive.com/stocks`.
    pub url: String,
    /// REST history, e.g. `https://api.massive.com`.
    pub rest_url: String,
    /// API key.
    pub key: Secret,
    /// Symbols; `None` asks for all (`*`).
    pub symbols: Option<Vec<Symbol>>,
    /// Most symbols that the plan carries; `None` sets no limit.
    pub symbols_max: Option<usize>,
    /// Names of channels: `T` trades, `Q` quotes, `AM` minute bars, `A` bars of a second.
    pub channels: Vec<String>,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Massive {
    settings: MassiveSettings,
    phase: Phase,
    step: u32,
    unsent: VecDeque<String>,
    /// What is subscribed and what should be; `None` where everything is.
    roster: Option<Roster>,
    probe_is_subscribed: bool,
    revisions: Revisions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Welcome,
    Authentication,
    /// So many acknowledgements are owed.
    Subscription(usize),
    Streaming,
    /// Records stream, and the answer to a probe is owed.
    Probing,
    /// Records stream, and so many acknowledgements of a change are owed.
    Changing(usize),
}

impl Massive {
    /// A conversation that has not begun.
    #[must_use]
    pub fn new(settings: MassiveSettings) -> Self {
        let roster = |symbols: &Vec<Symbol>| Roster::new(Source::massive(), symbols, settings.symbols_max);
        Self {
            roster: settings.symbols.as_ref().map(roster),
            settings,
            phase: Phase::Welcome,
            step: 0,
            unsent: VecDeque::new(),
            probe_is_subscribed: false,
            revisions: Revisions::new(REVISED_MINUTES),
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.step += 1;
    }

    fn status(&mut self, Status { status, message }: Status) -> Step {
        match (status.as_str(), self.phase) {
            ("connected", Phase::Welcome) => {
                self.enter(Phase::Authentication);
                let message = json!({"action": "auth", "params": self.settings.key.expose()});
                return Step::send(Outgoing::Text(message.to_string()));
            }
            ("auth_success", Phase::Authentication) => {
                let first = self.roster.as_ref().map(Roster::first);
                self.unsent = lists(&self.settings.channels, first);
                return self.subscribe_next();
            }
            ("success", _) if message.contains(PROBE) => return Step::default(),
            ("success", Phase::Subscription(owed)) => return self.acknowledged(owed, &message),
            ("success", Phase::Changing(owed)) => return self.change_acknowledged(owed, &message),
            ("connected" | "auth_success" | "success", _) => return Step::default(),
            _ => {}
        }
        let known = STATUSES.into_iter().find(|known| *known == status).unwrap_or("unknown");
        metrics::counter!("producer_feed_errors_total", "code" => known).increment(1);
        let said = format!("Massive says {status} ({message})");
        let streaming = matches!(self.phase, Phase::Streaming | Phase::Probing | Phase::Changing(_));
        Step::end(match status.as_str() {
            "auth_failed" => Next::Fatal(format!("{said}: check MASSIVE_API_KEY")),
            "not_authorized" if !streaming => Next::Fatal(format!(
                "{said}: the plan does not include this stream; choose another in MASSIVE_WS_URL or shorten MASSIVE_CHANNELS"
            )),
            "auth_timeout" => Next::Reconnect(said),
            // It comes after a successful subscription too, so only a long wait keeps this from becoming a loop.
            "max_connections" => Next::ReconnectLater(said),
            _ => {
                tracing::warn!(status, message, "Massive refuses a request; the stream goes on");
                Next::GoOn
            }
        })
    }

    /// One list is outstanding at a time; the last acknowledgement begins the stream.
    fn subscribe_next(&mut self) -> Step {
        let Some(list) = self.unsent.pop_front() else {
            self.enter(Phase::Streaming);
            let Some(roster) = &mut self.roster else { return Step::default() };
            roster.begun(|_| true);
            return Step { news: roster.news(), ..Step::default() };
        };
        self.enter(Phase::Subscription(items(&list)));
        Step::send(Outgoing::Text(json!({"action": "subscribe", "params": list}).to_string()))
    }

    /// "subscribed to: T.AAPL", one for each thing, or perhaps several in one message.
    fn acknowledged(&mut self, owed: usize, message: &str) -> Step {
        match owed.saturating_sub(items(message)) {
            0 => self.subscribe_next(),
            owed => {
                self.enter(Phase::Subscription(owed));
                Step::default()
            }
        }
    }

    /// Asks for the next change of the subscription, where there is one and nothing else is owed.
    fn change(&mut self) -> Step {
        let channels = &self.settings.channels;
        let room = LIST_BYTES_MAX / channels.len().max(1);
        let overhead = 2 + channels.iter().map(String::len).max().unwrap_or_default(); // dot and comma
        let Phase::Streaming = self.phase else { return Step::default() };
        let Some(change) = self.roster.as_mut().and_then(|roster| roster.next(room, overhead)) else {
            return Step::default();
        };
        let (action, symbols) = match &change {
            Change::Subscribe(symbols) => ("subscribe", symbols),
            Change::Unsubscribe(symbols) => ("unsubscribe", symbols),
        };
        let Some(list) = lists(channels, Some(symbols)).pop_front() else { return Step::default() };
        self.enter(Phase::Changing(items(&list)));
        Step::send(Outgoing::Text(json!({"action": action, "params": list}).to_string()))
    }

    fn change_acknowledged(&mut self, owed: usize, message: &str) -> Step {
        let owed = owed.saturating_sub(items(message));
        if owed > 0 {
            self.enter(Phase::Changing(owed));
            return Step::default();
        }
        self.enter(Phase::Streaming);
        let Some(roster) = &mut self.roster else { return Step::default() };
        roster.acknowledged(|_| true);
        Step { news: roster.news(), ..Step::default() }
    }

    fn event(&mut self, event: Event, events: &mut dyn FnMut(Event)) {
        match event {
            // Only minutes are sent again when a late trade changes them; a second may begin with its minute and is no version of it.
            Event::Bar(bar) if bar.timeframe == Timeframe::MINUTE => {
                let revision = self.revisions.next(bar.symbol, bar.start_ms, 0);
                events(Event::Bar(Bar { revision, ..bar }));
            }
            Event::Trade(trade) if trade.symbol.as_str() == PROBE_SYMBOL => events(Event::Other("probe")),
            event => events(event),
        }
    }
}

/// How many things a comma-separated list names.
fn items(list: &str) -> usize {
    list.split(',').count()
}

/// What to subscribe, in lists that are short enough; `None` asks for everything.
fn lists(channels: &[String], symbols: Option<&[Symbol]>) -> VecDeque<String> {
    let names = symbols.map_or_else(|| vec!["*".into()], |symbols| symbols.iter().map(to_wire).collect::<Vec<_>>());
    let mut lists = VecDeque::from([String::new()]);
    for channel in channels {
        for name in &names {
            let room = LIST_BYTES_MAX.saturating_sub(channel.len() + name.len() + 2);
            if lists.back().is_none_or(|list| list.len() > room) {
                lists.push_back(String::new());
            }
            if let Some(list) = lists.back_mut() {
                let comma = if list.is_empty() { "" } else { "," };
                list.extend([comma, channel, ".", name]);
            }
        }
    }
    lists.retain(|list| !list.is_empty());
    lists
}

impl Protocol for Massive {
    fn feed(&self) -> Feed {
        Feed::Massive
    }

    fn endpoint(&self) -> Endpoint {
        let url = &self.settings.url;
        Endpoint { url: Secret::new(url), shown: url.clone(), headers: Vec::new() }
    }

    fn connected(&mut self) -> Step {
        self.unsent.clear();
        self.probe_is_subscribed = false;
        if let Some(roster) = &mut self.roster {
            roster.restart();
        }
        self.enter(Phase::Welcome);
        Step::default()
    }

    fn frame(&mut self, frame: Frame<'_>, events: &mut dyn FnMut(Event)) -> Step {
        if self.phase == Phase::Probing {
            self.enter(Phase::Streaming); // whatever it says, it lives
        }
        let mut step = Step::default();
        let mut elements = 0_u32;
        decode_frame(frame, &mut |element| {
            elements += 1;
            match element {
                Element::Event(event) => self.event(event, events),
                // The connection is over, but what arrived with its end counts all the same.
                Element::Control(_) if step.next != Next::GoOn => {}
                Element::Control(status) => step.and(self.status(status)),
            }
        });
        if self.phase == Phase::Welcome && elements > 0 && step.next == Next::GoOn {
            step.next = Next::Reconnect("the first message was not Massive's welcome: check MASSIVE_WS_URL".to_owned());
        }
        if step.next == Next::GoOn && self.roster.as_ref().is_some_and(Roster::is_pending) {
            step.and(self.change());
        }
        step
    }

    fn roster(&mut self) -> Option<&mut Roster> {
        self.roster.as_mut()
    }

    fn want(&mut self, wishes: &Wishes) -> Step {
        let Some(roster) = &mut self.roster else { return Step::default() };
        roster.want(wishes);
        let news = roster.news();
        Step { news, ..self.change() }
    }

    fn silence_max(&self) -> Duration {
        SILENCE_MAX
    }

    /// Subscribes or unsubscribes the test symbol: each is acknowledged.
    fn probe(&mut self) -> Step {
        let action = if self.probe_is_subscribed { "unsubscribe" } else { "subscribe" };
        self.probe_is_subscribed = !self.probe_is_subscribed;
        self.enter(Phase::Probing);
        Step::send(Outgoing::Text(json!({"action": action, "params": PROBE}).to_string()))
    }

    fn awaits(&self) -> Option<Awaited> {
        let what = match self.phase {
            Phase::Welcome => "the welcome",
            Phase::Authentication => "the answer to the authentication",
            Phase::Subscription(_) => "the answer to the subscription",
            Phase::Probing => "a sign of life",
            Phase::Changing(_) => "the answer to a change of the subscription",
            Phase::Streaming => return None,
        };
        Some(Awaited { what, step: self.step, limit: ANSWER_MAX })
    }
}

#[cfg(test)]
mod tests;
