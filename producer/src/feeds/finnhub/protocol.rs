//! The conversation with Finnhub: one message for each symbol, and no answer to any of them.

use std::time::Duration;

use market::{Outcome, Source, Symbol};
use serde_json::json;
use service::Secret;

use crate::demand::Wishes;
use crate::demand::roster::{Change, Roster};
use crate::feeds::bars::MinuteBars;
use crate::feeds::event::Event;
use crate::feeds::occurrences::Occurrences;
use crate::feeds::protocol::{Awaited, Endpoint, Feed, Frame, Next, Outgoing, Protocol, Step};

use super::conditions::letters;
use super::frame::{Control, Element, decode_frame};
use super::symbol::to_wire;

/// Finnhub sends a ping about once a minute; two and a half minutes without one are a dead connection.
const SILENCE_MAX: Duration = Duration::from_secs(150);

/// What to subscribe, with which key.
#[derive(Clone, Debug)]
pub struct FinnhubSettings {
    /// Stream address without the key, e.g. `wss://ws.finnhub.io`.
    pub url: String,
    /// REST history, e.g. `https://finnhub.io/api/v1`.
    pub rest_url: String,
    /// API key.
    pub key: Secret,
    /// Symbols, the important ones first: a plan takes only so many.
    pub symbols: Vec<Symbol>,
    /// Most symbols that the plan carries; `None` leaves it to the server to say so.
    pub symbols_max: Option<usize>,
}

/// The state of one connection, and what it has learned about the plan.
#[derive(Debug)]
pub struct Finnhub {
    settings: FinnhubSettings,
    /// What is subscribed and what should be.
    roster: Roster,
    occurrences: Occurrences,
    bars: MinuteBars,
}

impl Finnhub {
    /// A conversation that has not begun.
    #[must_use]
    pub fn new(settings: FinnhubSettings) -> Self {
        let roster = Roster::new(Source::finnhub(), &settings.symbols, settings.symbols_max);
        Self { settings, roster, occurrences: Occurrences::default(), bars: MinuteBars::default() }
    }

    fn control(&mut self, control: Control) -> Step {
        let Control::Error(message) = control else { return Step::default() };
        metrics::counter!("producer_feed_errors_total", "code" => "finnhub").increment(1);
        tracing::warn!(message, "Finnhub refuses a request; the stream goes on");
        if !message.contains("too many symbols") {
            return Step::default();
        }
        // The error does not say which, but symbols are taken in the order they were asked for.
        metrics::counter!("producer_subscriptions_refused_total").increment(1);
        self.roster.one_too_many();
        Step { news: self.roster.news(), ..Step::default() }
    }

    /// Asks for everything that is missing, and takes back what is not wanted: Finnhub answers to neither.
    fn change(&mut self) -> Step {
        let mut step = Step::default();
        while let Some(change) = self.roster.next(usize::MAX, 0) {
            let (kind, symbols) = match &change {
                Change::Subscribe(symbols) => ("subscribe", symbols),
                Change::Unsubscribe(symbols) => ("unsubscribe", symbols),
            };
            let message =
                |symbol: &Symbol| Outgoing::Text(json!({"type": kind, "symbol": to_wire(symbol)}).to_string());
            step.send.extend(symbols.iter().map(message));
            self.roster.acknowledged(|_| true);
        }
        step.news = self.roster.news();
        step
    }
}

impl Protocol for Finnhub {
    fn feed(&self) -> Feed {
        Feed::Finnhub
    }

    fn endpoint(&self) -> Endpoint {
        let FinnhubSettings { url, key, .. } = &self.settings;
        let url_with_key = Secret::new(format!("{url}?token={}", key.expose()));
        Endpoint { url: url_with_key, shown: url.clone(), headers: Vec::new() }
    }

    fn connected(&mut self) -> Step {
        self.occurrences.restart();
        self.bars.restart();
        self.roster.restart();
        self.change()
    }

    fn frame(&mut self, frame: Frame<'_>, events: &mut dyn FnMut(Event)) -> Step {
        let mut controls = Vec::new();
        decode_frame(frame, &mut self.occurrences, &mut |element| match element {
            Element::Event(event) => {
                match &event {
                    Event::Trade(trade) => self.bars.add(trade, letters(&trade.conditions)),
                    Event::Correction(correction) => {
                        self.bars.void(&correction.void);
                        if let Outcome::Corrected(trade) = &correction.outcome {
                            self.bars.add(trade, letters(&trade.conditions));
                        }
                    }
                    _ => {}
                }
                events(event);
            }
            Element::Control(control) => controls.push(control),
        });
        let mut step = Step::default();
        for control in controls {
            step.and(self.control(control));
        }
        step
    }

    fn want(&mut self, wishes: &Wishes) -> Step {
        self.roster.want(wishes);
        self.change()
    }

    fn tick(&mut self, now_ms: i64, events: &mut dyn FnMut(Event)) {
        self.bars.due(now_ms, &mut |bar| events(Event::Bar(bar)));
    }

    fn silence_max(&self) -> Duration {
        SILENCE_MAX
    }

    fn probe(&mut self) -> Step {
        Step::end(Next::Reconnect(format!("Finnhub has said nothing for {SILENCE_MAX:?}, not even its ping")))
    }

    fn awaits(&self) -> Option<Awaited> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finnhub(symbols: usize) -> Finnhub {
        let symbols = (0..symbols).map(|at| Symbol::new(&format!("S{at}")).unwrap()).collect();
        Finnhub::new(FinnhubSettings {
            url: "wss://ws.finnhub.io".to_owned(),
            rest_url: String::new(),
            key: Secret::new("swordfish"),
            symbols,
            symbols_max: None,
        })
    }

    #[test]
    fn one_message_a_symbol_and_the_key_only_in_the_hidden_address() {
        let mut finnhub = finnhub(2);
        let endpoint = finnhub.endpoint();
        assert_eq!(endpoint.url.expose(), "wss://ws.finnhub.io?token=swordfish");
        assert!(!format!("{endpoint:?}").contains("swordfish"));
        let sent = finnhub.connected().send;
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[1], Outgoing::Text(r#"{"symbol":"S1","type":"subscribe"}"#.to_owned()));
    }

    #[test]
    fn symbols_that_the_plan_refuses_are_not_asked_for_again() {
        let mut finnhub = finnhub(52);
        finnhub.connected();
        let error = r#"{"type":"error","msg":"Subscribing to too many symbols"}"#;
        for _ in 0..2 {
            let step = finnhub.frame(Frame::Text(error), &mut |_| panic!("no event"));
            assert_eq!((step.send.len(), step.news.len()), (0, 1), "told, and not asked for again");
        }
        finnhub.frame(Frame::Text(r#"{"type":"error","msg":"Invalid symbol"}"#), &mut |_| panic!("no event"));
        assert_eq!(finnhub.connected().send.len(), 50);
    }

    #[test]
    fn bars_are_built_from_whole_minutes() {
        let mut finnhub = finnhub(1);
        finnhub.connected();
        let minute = 1_672_348_860_000_i64;
        for ms in [minute + 5_000, minute + 61_000, minute + 119_000] {
            let frame = format!(r#"{{"type":"trade","data":[{{"s":"S0","p":10,"t":{ms},"v":2}}]}}"#);
            finnhub.frame(Frame::Text(&frame), &mut |event| assert!(matches!(event, Event::Trade(_))));
        }
        let odd_lot =
            format!(r#"{{"type":"trade","data":[{{"s":"S0","p":99,"t":{},"v":1,"c":["1","12"]}}]}}"#, minute + 90_000);
        finnhub.frame(Frame::Text(&odd_lot), &mut |_| {});
        let mut bars = Vec::new();
        finnhub.tick(minute + 122_000, &mut |event| bars.push(event));
        let [Event::Bar(bar)] = bars.as_slice() else { panic!("{bars:?}") };
        assert_eq!((bar.start_ms, bar.volume, bar.trade_count, bar.is_final), (minute + 60_000, 5.0, Some(3), true));
        assert_eq!((bar.high, bar.source.as_str()), (10.0, "finnhub"), "an odd lot moves no price");
    }
}
