//! The stream's control conversation, without a socket: what clients may say and what the server answers.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::message::{Kind, Message};
use crate::symbols::{SymbolTable, is_well_formed};

/// An error message of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// Alpaca's error code.
    pub code: u16,
}

impl StreamError {
    /// The message broke the format, or a symbol is malformed.
    pub const INVALID_SYNTAX: Self = Self { code: 400 };
    /// Subscribed before authentication.
    pub const NOT_AUTHENTICATED: Self = Self { code: 401 };
    /// Wrong key or secret.
    pub const AUTH_FAILED: Self = Self { code: 402 };
    /// Authenticated twice.
    pub const ALREADY_AUTHENTICATED: Self = Self { code: 403 };
    /// Not authenticated in time.
    pub const AUTH_TIMEOUT: Self = Self { code: 404 };
    /// More symbols than the plan allows.
    pub const SYMBOL_LIMIT: Self = Self { code: 405 };
    /// More connections than the plan allows.
    pub const CONNECTION_LIMIT: Self = Self { code: 406 };
    /// The client reads too slowly.
    pub const SLOW_CLIENT: Self = Self { code: 407 };
    /// The feed is not in the plan.
    pub const INSUFFICIENT_SUBSCRIPTION: Self = Self { code: 409 };
    /// The channel is not offered here.
    pub const INVALID_ACTION_FOR_FEED: Self = Self { code: 410 };

    /// The documented text of the code.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self.code {
            400 => "invalid syntax",
            401 => "not authenticated",
            402 => "auth failed",
            403 => "already authenticated",
            404 => "auth timeout",
            405 => "symbol limit exceeded",
            406 => "connection limit exceeded",
            407 => "slow client",
            408 => "v2 not enabled",
            409 => "insufficient subscription",
            410 => "invalid subscribe action for this feed",
            411 => "insufficient scope",
            412 => "option messages are only available in MsgPack format",
            413 => "star symbol is not allowed for option quotes",
            _ => "internal error",
        }
    }

    /// The frame that carries it.
    #[must_use]
    pub fn frame(self) -> Value {
        json!([{"T": "error", "code": self.code, "msg": self.text()}])
    }

    /// Whether the server hangs up after it.
    #[must_use]
    pub fn closes(self) -> bool {
        matches!(self.code, 404 | 407)
    }
}

/// The frame of a `success` message.
#[must_use]
pub fn success(text: &str) -> Value {
    json!([{"T": "success", "msg": text}])
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Authentication by message.
    Auth {
        /// Key id.
        key: String,
        /// Secret, or the token where the key is `oauth`.
        secret: String,
    },
    /// Adds to the subscriptions.
    Subscribe(Change),
    /// Takes away from the subscriptions.
    Unsubscribe(Change),
}

/// Symbols by channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    symbols: [Vec<String>; Kind::COUNT],
    imbalances: Vec<String>,
}

/// Channels of other feeds, which a stock feed refuses.
const OTHER_FEEDS: [&str; 3] = ["orderbooks", "news", "pricing"];

impl Request {
    /// Reads a client's message. `endpoint_is_test`: that endpoint offers trades, quotes and bars only.
    ///
    /// # Errors
    /// 400 when the format is broken or a symbol malformed, 410 for a channel that is not offered.
    pub fn parse(message: &Value, endpoint_is_test: bool) -> Result<Self, StreamError> {
        let fields = message.as_object().ok_or(StreamError::INVALID_SYNTAX)?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        match text("action") {
            Some("auth") => Ok(Self::Auth {
                key: text("key").ok_or(StreamError::INVALID_SYNTAX)?.to_owned(),
                secret: text("secret").ok_or(StreamError::INVALID_SYNTAX)?.to_owned(),
            }),
            Some("subscribe") => Ok(Self::Subscribe(Change::parse(fields, endpoint_is_test)?)),
            Some("unsubscribe") => Ok(Self::Unsubscribe(Change::parse(fields, endpoint_is_test)?)),
            _ => Err(StreamError::INVALID_SYNTAX),
        }
    }
}

impl Change {
    fn parse(fields: &Map<String, Value>, endpoint_is_test: bool) -> Result<Self, StreamError> {
        let mut change = Self::default();
        for kind in Kind::ALL {
            change.symbols[kind.index()] = symbols_of(fields.get(kind.channel()))?;
        }
        change.imbalances = symbols_of(fields.get("imbalances"))?;
        // Corrections and cancellations come and go with the trades.
        let trades = change.symbols[Kind::Trade.index()].clone();
        for follower in [Kind::Correction, Kind::Cancel] {
            change.symbols[follower.index()].extend(trades.iter().cloned());
        }
        let foreign = OTHER_FEEDS.iter().any(|channel| fields.get(*channel).is_some_and(|list| !list.is_null()));
        if foreign || endpoint_is_test && change.leaves_the_test_channels() {
            return Err(StreamError::INVALID_ACTION_FOR_FEED);
        }
        Ok(change)
    }

    fn leaves_the_test_channels(&self) -> bool {
        [Kind::UpdatedBar, Kind::DailyBar, Kind::Status, Kind::Luld]
            .iter()
            .any(|kind| !self.symbols[kind.index()].is_empty())
            || !self.imbalances.is_empty()
    }
}

fn symbols_of(list: Option<&Value>) -> Result<Vec<String>, StreamError> {
    let items = match list {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(StreamError::INVALID_SYNTAX),
    };
    items
        .iter()
        .map(|item| match item.as_str() {
            Some(symbol) if symbol == "*" || is_well_formed(symbol) => Ok(symbol.to_owned()),
            _ => Err(StreamError::INVALID_SYNTAX),
        })
        .collect()
}

/// What one client is subscribed to.
#[derive(Clone, Debug)]
pub struct Subscriptions {
    channels: [Channel; Kind::COUNT],
    imbalances: BTreeSet<String>,
}

/// One channel: the names as asked for, and the same as a table that is fast to ask.
#[derive(Clone, Debug, Default)]
struct Channel {
    names: BTreeSet<String>,
    every: bool,
    chosen: Vec<bool>,
}

impl Channel {
    fn add(&mut self, name: &str, symbols: &SymbolTable) {
        self.set(name, symbols, true);
        self.names.insert(name.to_owned());
    }

    fn remove(&mut self, name: &str, symbols: &SymbolTable) {
        self.set(name, symbols, false);
        self.names.remove(name);
    }

    fn set(&mut self, name: &str, symbols: &SymbolTable, wanted: bool) {
        if name == "*" {
            self.every = wanted;
        } else if let Some(id) = symbols.id(name) {
            self.chosen.resize(symbols.len(), false);
            self.chosen[id as usize] = wanted;
        }
    }
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self { channels: std::array::from_fn(|_| Channel::default()), imbalances: BTreeSet::new() }
    }
}

impl Subscriptions {
    /// Adds to the subscriptions.
    ///
    /// # Errors
    /// 405 when more than `limit` different symbols would be subscribed; nothing changes then.
    pub fn add(&mut self, change: &Change, symbols: &SymbolTable, limit: Option<usize>) -> Result<(), StreamError> {
        if limit.is_some_and(|limit| self.count_with(change).is_none_or(|count| count > limit)) {
            return Err(StreamError::SYMBOL_LIMIT);
        }
        for (channel, names) in self.channels.iter_mut().zip(&change.symbols) {
            names.iter().for_each(|name| channel.add(name, symbols));
        }
        self.imbalances.extend(change.imbalances.iter().cloned());
        Ok(())
    }

    /// Takes away from the subscriptions.
    pub fn remove(&mut self, change: &Change, symbols: &SymbolTable) {
        for (channel, names) in self.channels.iter_mut().zip(&change.symbols) {
            names.iter().for_each(|name| channel.remove(name, symbols));
        }
        change.imbalances.iter().for_each(|name| {
            self.imbalances.remove(name);
        });
    }

    /// How many symbols would be subscribed after `change`; `None` for all.
    fn count_with(&self, change: &Change) -> Option<usize> {
        let now = self.channels.iter().flat_map(|channel| &channel.names).chain(&self.imbalances);
        let then = change.symbols.iter().flatten().chain(&change.imbalances);
        let names: BTreeSet<&str> = now.chain(then).map(String::as_str).collect();
        (!names.contains("*")).then_some(names.len())
    }

    /// Whether this client gets the message.
    #[must_use]
    pub fn wants(&self, message: &Message) -> bool {
        let channel = &self.channels[message.kind().index()];
        channel.every || channel.chosen.get(message.symbol() as usize).copied().unwrap_or(false)
    }

    /// Whether anything that this market sends is subscribed.
    #[must_use]
    pub fn get_data(&self) -> bool {
        self.channels.iter().any(|channel| channel.every || channel.chosen.contains(&true))
    }

    /// The acknowledgement: always the whole set. The test endpoint knows only trades, quotes and bars.
    #[must_use]
    pub fn acknowledgement(&self, endpoint_is_test: bool) -> Value {
        let mut fields = Map::from_iter([("T".to_owned(), "subscription".into())]);
        let shown = if endpoint_is_test { &Kind::ALL[..3] } else { &Kind::ALL[..] };
        for kind in shown {
            let names: Vec<&String> = self.channels[kind.index()].names.iter().collect();
            fields.insert(kind.channel().to_owned(), json!(names));
        }
        if !self.imbalances.is_empty() {
            fields.insert("imbalances".to_owned(), json!(self.imbalances));
        }
        json!([fields])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Luld;

    fn change(message: &Value) -> Change {
        match Request::parse(message, false).unwrap() {
            Request::Subscribe(change) | Request::Unsubscribe(change) => change,
            Request::Auth { .. } => panic!("no change"),
        }
    }

    #[test]
    fn an_acknowledgement_holds_the_whole_set_and_trades_bring_their_followers() {
        let symbols = SymbolTable::new(["AAPL", "MSFT"]);
        let mut set = Subscriptions::default();
        set.add(&change(&json!({"action": "subscribe", "trades": ["AAPL"], "bars": ["*"]})), &symbols, None).unwrap();
        set.add(&change(&json!({"action": "subscribe", "trades": ["ZZZZ"], "quotes": null})), &symbols, None).unwrap();
        assert_eq!(
            set.acknowledgement(false),
            json!([{"T": "subscription", "trades": ["AAPL", "ZZZZ"], "quotes": [], "bars": ["*"], "updatedBars": [],
                "dailyBars": [], "statuses": [], "lulds": [], "corrections": ["AAPL", "ZZZZ"], "cancelErrors": ["AAPL", "ZZZZ"]}])
        );
        set.remove(&change(&json!({"action": "unsubscribe", "trades": ["ZZZZ", "AAPL"]})), &symbols);
        assert_eq!(
            set.acknowledgement(true),
            json!([{"T": "subscription", "trades": [], "quotes": [], "bars": ["*"]}])
        );
    }

    #[test]
    fn only_what_is_subscribed_is_wanted() {
        let symbols = SymbolTable::new(["AAPL", "MSFT"]);
        let luld = |symbol| Message::Luld(Luld { symbol, ts_ns: 0, up: 1, down: 1 });
        let mut set = Subscriptions::default();
        assert!(!set.get_data());
        set.add(&change(&json!({"action": "subscribe", "lulds": ["MSFT", "NONE"]})), &symbols, None).unwrap();
        assert!(set.get_data() && set.wants(&luld(1)) && !set.wants(&luld(0)));
        set.add(&change(&json!({"action": "subscribe", "lulds": ["*"]})), &symbols, None).unwrap();
        assert!(set.wants(&luld(0)));
        set.remove(&change(&json!({"action": "unsubscribe", "lulds": ["*"]})), &symbols);
        assert!(set.wants(&luld(1)) && !set.wants(&luld(0)));
    }

    #[test]
    fn above_the_limit_nothing_changes() {
        let symbols = SymbolTable::new(["A", "B", "C"]);
        let mut set = Subscriptions::default();
        set.add(&change(&json!({"action": "subscribe", "trades": ["A"], "quotes": ["A"]})), &symbols, Some(2)).unwrap();
        let before = set.acknowledgement(false);
        for wanted in [json!(["B", "C"]), json!(["*"])] {
            let too_many = change(&json!({"action": "subscribe", "bars": wanted}));
            assert_eq!(set.add(&too_many, &symbols, Some(2)), Err(StreamError::SYMBOL_LIMIT));
        }
        assert_eq!(set.acknowledgement(false), before);
    }

    #[test]
    fn broken_requests_are_refused_with_their_codes() {
        let code = |message: Value, test| Request::parse(&message, test).unwrap_err().code;
        assert_eq!(code(json!([]), false), 400);
        assert_eq!(code(json!({"action": "dance"}), false), 400);
        assert_eq!(code(json!({"action": "auth", "key": "k"}), false), 400);
        assert_eq!(code(json!({"action": "subscribe", "trades": "AAPL"}), false), 400);
        assert_eq!(code(json!({"action": "subscribe", "trades": ["AA PL"]}), false), 400);
        assert_eq!(code(json!({"action": "subscribe", "trades": [1]}), false), 400);
        assert_eq!(code(json!({"action": "subscribe", "orderbooks": ["BTC/USD"]}), false), 410);
        assert_eq!(code(json!({"action": "subscribe", "statuses": ["FAKEPACA"]}), true), 410);
        assert!(Request::parse(&json!({"action": "subscribe", "trades": ["FAKEPACA"]}), true).is_ok());
    }
}
