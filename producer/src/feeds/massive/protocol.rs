//! The conversation with Massive's stream: welcome, authentication, one acknowledgement for each thing subscribed, then records.

use std::collections::VecDeque;
use std::time::Duration;

use market::{Bar, Source, Symbol};
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
    /// Names of channels: `T` trades, `Q` quotes, `AM` minute bars.
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
            Event::Bar(bar) => {
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
mod tests {
    use super::*;

    fn massive(symbols: Option<&[&str]>) -> Massive {
        Massive::new(MassiveSettings {
            url: "wss://socket.massive.com/stocks".to_owned(),
            rest_url: String::new(),
            key: Secret::new("k"),
            symbols: symbols.map(|all| all.iter().map(|text| Symbol::new(text).unwrap()).collect()),
            symbols_max: None,
            channels: vec!["T".to_owned(), "AM".to_owned()],
        })
    }

    fn hear(massive: &mut Massive, status: &str, message: &str) -> Step {
        let frame = format!(r#"[{{"ev":"status","status":"{status}","message":"{message}"}}]"#);
        massive.frame(Frame::Text(&frame), &mut |event| panic!("{event:?}"))
    }

    fn sent(step: &Step) -> Vec<&str> {
        let texts = step.send.iter().map(|message| match message {
            Outgoing::Text(text) => text.as_str(),
            Outgoing::Binary(_) => panic!("not a text"),
        });
        texts.collect()
    }

    fn streaming() -> Massive {
        let mut massive = massive(Some(&["BRK.B"]));
        hear(&mut massive, "connected", "Connected Successfully");
        hear(&mut massive, "auth_success", "authenticated");
        hear(&mut massive, "success", "subscribed to: T.BRK.B");
        assert_eq!(massive.awaits().unwrap().what, "the answer to the subscription");
        hear(&mut massive, "success", "subscribed to: AM.BRK.B");
        assert_eq!(massive.awaits(), None);
        massive
    }

    #[test]
    fn the_conversation_goes_from_welcome_to_stream() {
        let mut massive = massive(Some(&["AAPL", "BRK.B"]));
        let step = hear(&mut massive, "connected", "Connected Successfully");
        assert_eq!(sent(&step), [r#"{"action":"auth","params":"k"}"#]);
        assert!(!format!("{step:?}").contains("\"k\""), "keys do not show");
        let step = hear(&mut massive, "auth_success", "authenticated");
        assert_eq!(sent(&step), [r#"{"action":"subscribe","params":"T.AAPL,T.BRK.B,AM.AAPL,AM.BRK.B"}"#]);
        hear(&mut massive, "success", "subscribed to: T.AAPL,T.BRK.B,AM.AAPL,AM.BRK.B");
        assert_eq!(massive.awaits(), None);
    }

    #[test]
    fn all_symbols_are_a_star_and_many_go_in_several_messages() {
        assert_eq!(lists(&massive(None).settings.channels, None), ["T.*,AM.*"]);
        let names: Vec<String> = (0..8000).map(|at| format!("SYM{at}")).collect();
        let symbols: Vec<Symbol> = names.iter().map(|name| Symbol::new(name).unwrap()).collect();
        let lists = lists(&massive(None).settings.channels, Some(&symbols));
        assert!(lists.len() > 1 && lists.iter().all(|list| list.len() <= LIST_BYTES_MAX));
        assert_eq!(lists.iter().map(|list| items(list)).sum::<usize>(), 16_000);
    }

    #[test]
    fn every_status_has_its_remedy() {
        let connecting = || {
            let mut massive = massive(None);
            hear(&mut massive, "connected", "");
            massive
        };
        assert!(
            matches!(hear(&mut connecting(), "auth_failed", "").next, Next::Fatal(text) if text.contains("MASSIVE_API_KEY"))
        );
        assert!(
            matches!(hear(&mut connecting(), "not_authorized", "").next, Next::Fatal(text) if text.contains("plan"))
        );
        assert!(matches!(hear(&mut connecting(), "auth_timeout", "").next, Next::Reconnect(_)));
        for status in ["error", "brand_new", "success"] {
            assert_eq!(hear(&mut connecting(), status, "").next, Next::GoOn, "{status}");
            assert_eq!(hear(&mut streaming(), status, "").next, Next::GoOn, "{status}");
        }
        assert_eq!(hear(&mut streaming(), "not_authorized", "").next, Next::GoOn);
        assert!(matches!(hear(&mut streaming(), "auth_failed", "").next, Next::Fatal(_)));
        for mut massive in [connecting(), streaming()] {
            assert!(matches!(hear(&mut massive, "max_connections", "").next, Next::ReconnectLater(_)));
        }
        assert!(matches!(hear(&mut massive(None), "auth_success", "").next, Next::Reconnect(_)), "no welcome");
    }

    #[test]
    fn a_probe_takes_turns_and_its_trades_stay_out() {
        let mut massive = streaming();
        assert_eq!(sent(&massive.probe()), [r#"{"action":"subscribe","params":"T.ZVZZT"}"#]);
        assert_eq!(massive.awaits().unwrap().what, "a sign of life");
        hear(&mut massive, "success", "subscribed to: T.ZVZZT");
        assert_eq!(massive.awaits(), None);
        assert_eq!(sent(&massive.probe()), [r#"{"action":"unsubscribe","params":"T.ZVZZT"}"#]);
        let trade = r#"[{"ev":"T","sym":"ZVZZT","p":1,"s":1,"t":1536036818784}]"#;
        massive.frame(Frame::Text(trade), &mut |event| assert_eq!(event, Event::Other("probe")));
        assert_eq!(massive.awaits(), None, "any frame is a sign of life");
    }

    #[test]
    fn a_bar_that_is_sent_again_counts_up() {
        let mut massive = streaming();
        let mut revisions = Vec::new();
        for volume in [1, 2] {
            let frame = format!(
                r#"[{{"ev":"AM","sym":"A","v":{volume},"o":1,"c":1,"h":1,"l":1,"s":1610144640000,"e":1610144700000}}]"#
            );
            massive.frame(Frame::Text(&frame), &mut |event| match event {
                Event::Bar(bar) => revisions.push((bar.volume, bar.revision)),
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(revisions, [(1.0, 0), (2.0, 1)]);
    }
}
