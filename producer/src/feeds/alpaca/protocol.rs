//! The conversation with Alpaca's stream: welcome, authentication, subscription, then records.

use std::collections::VecDeque;
use std::time::Duration;

use market::{Bar, Source, Symbol};
use serde_json::{Value, json};
use service::Secret;

use crate::demand::Wishes;
use crate::demand::roster::{Change, Refusal, Roster, fitting};
use crate::feeds::event::Event;
use crate::feeds::protocol::{Awaited, Endpoint, Feed, Frame, Next, Outgoing, Protocol, Step};
use crate::feeds::revisions::Revisions;

use super::control::{Carried, Control, Subscriptions};
use super::element::Element;
use super::errors::{Remedy, advice_while_retrying, remedy};
use super::frame::{Encoding, decode_frame};
use super::settings::{AlpacaSettings, Authentication};

/// How long the server may take for each answer; what Alpaca's own clients allow.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// A server that has sent nothing for this long is asked for a sign of life.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long the first record may take: with trades or quotes, and where only bars are subscribed.
const FIRST_RECORD_WITHIN: Duration = Duration::from_secs(30);
const FIRST_BAR_WITHIN: Duration = Duration::from_secs(150);
/// A late trade may change a bar for this many minutes after it began.
const REVISED_MINUTES: usize = 4;
/// Longest message that is sent; more symbols go into further messages.
const MESSAGE_BYTES_MAX: usize = 32 * 1024;
/// A person is shown so many characters of a message that was refused.
const SHOWN_MAX: usize = 200;
/// Bytes around each symbol in a message: two quotes and a comma.
const SYMBOL_OVERHEAD: usize = 3;

/// The state of one connection.
#[derive(Debug)]
pub struct Alpaca {
    settings: AlpacaSettings,
    phase: Phase,
    step: u32,
    authenticated_again: bool,
    unsent: VecDeque<Value>,
    /// The beginning of the subscription that was sent last, for people; empty before the first.
    sent: String,
    /// Answers owed to probes; the server answers in the order of the questions.
    probes_owed: u32,
    /// What is subscribed and what should be; `None` where everything is.
    roster: Option<Roster>,
    revisions: Revisions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Welcome,
    Authentication,
    Subscription,
    Streaming,
    /// Records stream, and the answer to a probe is owed.
    Probing,
    /// Records stream, and the answer to a change of the subscription is owed.
    Changing,
}

impl Alpaca {
    /// A conversation that has not begun.
    #[must_use]
    pub fn new(settings: AlpacaSettings) -> Self {
        let roster = |symbols: &Vec<Symbol>| Roster::new(Source::alpaca(), symbols, settings.symbols_max);
        Self {
            roster: settings.symbols.as_ref().map(roster),
            probes_owed: 0,
            settings,
            phase: Phase::Welcome,
            step: 0,
            authenticated_again: false,
            unsent: VecDeque::new(),
            sent: String::new(),
            revisions: Revisions::new(REVISED_MINUTES),
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.step += 1;
    }

    fn control(&mut self, control: Control) -> Step {
        match (control, self.phase) {
            (Control::Success(message), Phase::Welcome) if message == "connected" => match self.settings.authentication
            {
                Authentication::Message => self.authenticate(),
                Authentication::Header => {
                    self.enter(Phase::Authentication); // the server says by itself whether the keys were good
                    Step::default()
                }
            },
            (Control::Success(message), Phase::Authentication) if message == "authenticated" => self.subscribe(),
            (Control::Success(message), _) => {
                metrics::counter!("producer_feed_notes_total").increment(1);
                tracing::debug!(message, "unexpected success message");
                Step::default()
            }
            (Control::Subscription(set), Phase::Subscription) => self.acknowledged(&set),
            (Control::Subscription(_), Phase::Welcome | Phase::Authentication) => Step::default(),
            (Control::Subscription(set), phase) => {
                if self.probes_owed > 0 {
                    self.probes_owed -= 1;
                } else if phase == Phase::Changing {
                    self.enter(Phase::Streaming);
                    return self.change_stands(&set);
                }
                self.carried(&set)
            }
            (Control::Error { code, message }, _) => self.error(code, &message),
        }
    }

    fn authenticate(&mut self) -> Step {
        self.enter(Phase::Authentication);
        let message =
            json!({"action": "auth", "key": self.settings.key.expose(), "secret": self.settings.secret.expose()});
        Step::send(self.outgoing(&message))
    }

    fn outgoing(&self, message: &Value) -> Outgoing {
        match self.settings.encoding {
            Encoding::Json => Outgoing::Text(message.to_string()),
            Encoding::Msgpack => Outgoing::Binary(rmp_serde::to_vec_named(message).unwrap_or_default()), // texts and lists always encode
        }
    }

    fn subscribe(&mut self) -> Step {
        let messages = match &self.roster {
            Some(roster) => self.subscriptions(roster.first()),
            None => vec![self.message("subscribe", &["*"])],
        };
        self.unsent = messages.into();
        self.next_subscription()
    }

    /// One message is outstanding at a time; the last acknowledgement begins the stream.
    fn next_subscription(&mut self) -> Step {
        match self.unsent.pop_front() {
            Some(message) => {
                self.enter(Phase::Subscription);
                self.sent = message.to_string().chars().take(SHOWN_MAX).collect();
                Step::send(self.outgoing(&message))
            }
            None => {
                self.enter(Phase::Streaming);
                Step::default()
            }
        }
    }

    fn acknowledged(&mut self, set: &Subscriptions) -> Step {
        if !self.unsent.is_empty() {
            return self.next_subscription();
        }
        let mut step = self.next_subscription();
        if let Some(roster) = &mut self.roster {
            let carried = Carried::new(set, &self.settings.channels);
            roster.begun(|symbol| carried.has(symbol));
            step.news = roster.news();
        }
        step
    }

    /// A change was acknowledged.
    fn change_stands(&mut self, set: &Subscriptions) -> Step {
        if let Some(roster) = &mut self.roster {
            let carried = Carried::new(set, &self.settings.channels);
            roster.acknowledged(|symbol| carried.has(symbol));
        }
        self.carried(set)
    }

    /// Every acknowledgement is the whole truth: a symbol that is not in it gets no data.
    fn carried(&mut self, set: &Subscriptions) -> Step {
        let mut step = Step::default();
        if let Some(roster) = &mut self.roster {
            let carried = Carried::new(set, &self.settings.channels);
            roster.carried(|symbol| carried.has(symbol));
            step.news = roster.news();
        }
        step
    }

    /// A change was refused as a whole; the stream goes on as it was.
    fn change_refused(&mut self, refusal: Refusal<'_>) -> Step {
        self.enter(Phase::Streaming);
        let mut step = Step::default();
        if let Some(roster) = &mut self.roster {
            roster.refused(refusal);
            step.news = roster.news();
        }
        step
    }

    /// Asks for the next change of the subscription, where there is one and nothing else is owed.
    fn change(&mut self) -> Step {
        if self.phase != Phase::Streaming || self.probes_owed > 0 {
            return Step::default();
        }
        let room = self.room();
        let Some(change) = self.roster.as_mut().and_then(|roster| roster.next(room, SYMBOL_OVERHEAD)) else {
            return Step::default();
        };
        let (action, symbols) = match &change {
            Change::Subscribe(symbols) => ("subscribe", symbols),
            Change::Unsubscribe(symbols) => ("unsubscribe", symbols),
        };
        let names: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
        let message = self.outgoing(&self.message(action, &names));
        self.enter(Phase::Changing);
        Step::send(message)
    }

    /// Bytes of symbols in one message: each channel names all of them.
    fn room(&self) -> usize {
        MESSAGE_BYTES_MAX / self.settings.channels.len().max(1) - 64
    }

    fn message(&self, action: &str, symbols: &[&str]) -> Value {
        let mut message = json!({"action": action});
        for channel in &self.settings.channels {
            message[channel] = json!(symbols);
        }
        message
    }

    /// The messages that subscribe these symbols, each short enough.
    fn subscriptions(&self, mut symbols: &[Symbol]) -> Vec<Value> {
        let mut messages = Vec::new();
        while !symbols.is_empty() {
            let (chunk, rest) = symbols.split_at(fitting(symbols, self.room(), SYMBOL_OVERHEAD));
            let names: Vec<&str> = chunk.iter().map(Symbol::as_str).collect();
            messages.push(self.message("subscribe", &names));
            symbols = rest;
        }
        messages
    }

    /// The message that an error may be the answer to. Keys are not shown.
    fn last_sent(&self) -> &str {
        if self.phase == Phase::Authentication { "the authentication" } else { &self.sent }
    }

    /// How much the first subscription asks for.
    fn asked(&self) -> String {
        match &self.roster {
            Some(roster) => format!("{} symbols", roster.first().len()),
            None => "all symbols".to_owned(),
        }
    }

    /// The plan carries fewer symbols than the settings name: asks for them in smaller groups, the first ones first, until it is full, and
    /// what does not fit is reported as unavailable. `false` where all symbols were asked for at once.
    fn begin_with_less(&mut self) -> bool {
        let Some(roster) = &mut self.roster else { return false };
        roster.first_refused();
        tracing::warn!(
            "the plan carries fewer symbols than SUBSCRIBED_SYMBOLS names; the first ones that fit are subscribed"
        );
        self.unsent.clear();
        self.enter(Phase::Streaming); // the changes that follow are made as while records stream
        true
    }

    fn error(&mut self, code: Option<i64>, message: &str) -> Step {
        let shown = code.map_or_else(|| "without a code".to_owned(), |code| code.to_string());
        metrics::counter!("producer_feed_errors_total", "code" => shown.clone()).increment(1);
        let streaming = matches!(self.phase, Phase::Streaming | Phase::Probing | Phase::Changing);
        let changing = self.phase == Phase::Changing;
        if code == Some(405) && self.phase == Phase::Subscription && self.begin_with_less() {
            return Step::default();
        }
        match remedy(code, streaming) {
            Remedy::Fatal(advice) => {
                let asked = match code {
                    Some(400 | 405 | 410) => format!(" to {}, with {} in all", self.last_sent(), self.asked()),
                    _ => String::new(),
                };
                Step::end(Next::Fatal(format!("Alpaca answers with error {shown} ({message}){asked}: {advice}")))
            }
            Remedy::Reconnect => {
                Step::end(Next::Reconnect(format!("Alpaca error {shown} ({message}){}", advice_while_retrying(code))))
            }
            Remedy::AlreadyAuthenticated if self.phase == Phase::Authentication => self.subscribe(),
            Remedy::AuthenticateAgain if !self.authenticated_again => {
                self.authenticated_again = true;
                self.authenticate()
            }
            Remedy::AuthenticateAgain => Step::end(Next::Fatal(format!(
                "Alpaca error {shown} ({message}) although authentication was sent twice: check ALPACA_API_KEY and ALPACA_API_SECRET"
            ))),
            Remedy::GoOn if changing && code == Some(405) => self.change_refused(Refusal::Limit),
            Remedy::GoOn if changing && matches!(code, Some(400 | 410)) => {
                self.change_refused(Refusal::Symbol(message))
            }
            Remedy::GoOn | Remedy::AlreadyAuthenticated => {
                self.probes_owed = self.probes_owed.saturating_sub(1); // an error is an answer too
                tracing::warn!(code = shown, message, "the feed refuses a request; the stream goes on");
                Step::default()
            }
        }
    }
}

impl Protocol for Alpaca {
    fn feed(&self) -> Feed {
        Feed::Alpaca
    }

    fn endpoint(&self) -> Endpoint {
        let AlpacaSettings { url, key, secret, encoding, authentication, .. } = &self.settings;
        let mut headers = Vec::new();
        if *encoding == Encoding::Msgpack {
            headers.push(("Content-Type", Secret::new("application/msgpack")));
        }
        if *authentication == Authentication::Header {
            headers.extend([("APCA-API-KEY-ID", key.clone()), ("APCA-API-SECRET-KEY", secret.clone())]);
        }
        Endpoint { url: Secret::new(url), shown: url.clone(), headers }
    }

    fn connected(&mut self) -> Step {
        self.authenticated_again = false;
        self.unsent.clear();
        self.probes_owed = 0;
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
        decode_frame(frame, self.settings.encoding, &mut |element| {
            elements += 1;
            match element {
                Element::Event(Event::Bar(bar)) if bar.revision > 0 => {
                    let revision = self.revisions.next(bar.symbol, bar.start_ms, 1);
                    events(Event::Bar(Bar { revision, ..bar }));
                }
                Element::Event(event) => events(event),
                // The connection is over, but what arrived with its end counts all the same.
                Element::Control(_) if step.next != Next::GoOn => {}
                Element::Control(control) => step.and(self.control(control)),
            }
        });
        if self.phase == Phase::Welcome && elements > 0 && step.next == Next::GoOn {
            step.next =
                Next::Reconnect("the first message was not Alpaca's welcome: check ALPACA_DATA_WS_URL".to_owned());
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

    /// Asks for one symbol that is subscribed already: that changes nothing, and the server acknowledges it.
    fn probe(&mut self) -> Step {
        let known = self.roster.as_ref().map(|roster| roster.any().map(|symbol| symbol.to_string()));
        let names = known.map_or_else(|| vec!["*".to_owned()], |symbol| symbol.into_iter().collect());
        let Some(channel) = self.settings.channels.first() else { return Step::default() };
        let message = self.outgoing(&json!({"action": "subscribe", channel: names}));
        self.probes_owed += 1;
        self.enter(Phase::Probing);
        Step::send(message)
    }

    fn first_record_within(&self) -> Duration {
        let busy = self.settings.channels.iter().any(|channel| ["trades", "quotes"].contains(&channel.as_str()));
        if busy { FIRST_RECORD_WITHIN } else { FIRST_BAR_WITHIN }
    }

    fn awaits(&self) -> Option<Awaited> {
        let what = match self.phase {
            Phase::Welcome => "the welcome",
            Phase::Authentication => "the answer to the authentication",
            Phase::Subscription => "the answer to the subscription",
            Phase::Probing => "a sign of life",
            Phase::Changing => "the answer to a change of the subscription",
            Phase::Streaming => return None,
        };
        Some(Awaited { what, step: self.step, limit: ANSWER_MAX })
    }
}

#[cfg(test)]
mod tests;
