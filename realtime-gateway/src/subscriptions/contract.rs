//! What a client may ask for, in every form in which clients ask.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use market::symbol::Parsed;
use market::{Position, Symbol};
use serde::Serialize;
use serde_json::Value;

use crate::memory::since::Since;
use crate::records::channel::{Channel, Channels};

/// Symbols in one request beyond which the rest is refused unread.
const REQUEST_SYMBOLS_MAX: usize = 1_000;
/// Highest `maxRate` in events per second and symbol; more is the same as no limit.
const RATE_MAX: f64 = 1_000.0;

/// A subscribe or unsubscribe request that was understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Symbols to (un)subscribe, in the order given, each once.
    pub symbols: Vec<Symbol>,
    /// What was not understood.
    pub rejected: Vec<Rejected>,
    /// What was read as another spelling than the client's: by what it wrote, what was taken.
    pub normalized: BTreeMap<String, String>,
    /// How.
    pub options: Options,
    /// From where, for clients that come back.
    pub since: BTreeMap<Symbol, Since>,
    /// The same as an offset of this gateway's run, for streams whose events carry it as their id.
    pub since_offset: Option<u64>,
}

/// How the records of a subscription are to come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Which streams.
    pub channels: Channels,
    /// Shortest time between two trades (and between two quotes) of one symbol; the newest wins.
    pub interval: Option<Duration>,
    /// Cut me rather than leave something out.
    pub lossless: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { channels: Channels::USUAL, interval: None, lossless: false }
    }
}

/// A symbol that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// As the client wrote it.
    pub symbol: String,
    /// What kind of mistake it is, for programs.
    pub code: Code,
    /// What to do about it.
    pub reason: String,
}

/// Why a symbol was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// It is not a symbol.
    InvalidSymbol,
    /// The client's token does not cover it, or none of the streams that it was wanted for.
    NotInScope,
    /// The client follows as many symbols as it may.
    TooManySymbols,
}

/// The answer to the client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Whether nothing was rejected.
    pub ok: bool,
    /// Symbols that this request subscribed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribed: Option<Vec<String>>,
    /// Symbols that this request unsubscribed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsubscribed: Option<Vec<String>>,
    /// What was not taken.
    pub rejected: Vec<Rejected>,
    /// Symbols that were taken in another spelling than the client's, by what it wrote: events name them as they are here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub normalized: BTreeMap<String, String>,
    /// Everything that the client follows now.
    pub symbols: Vec<String>,
    /// Present where `since` was given: whether everything missed follows, for all symbols.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<bool>,
    /// The same for each symbol.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub recovery: BTreeMap<String, bool>,
}

/// Reads `"AAPL"`, `["AAPL","MSFT"]` or `{"symbols":…,"streams":[…],"maxRate":…,"since":{…},"lossless":…}`.
///
/// # Errors
/// A sentence for the client where the request as a whole is invalid.
pub fn read_request(value: &Value) -> Result<Request, String> {
    let mut request = Request::default();
    match value {
        Value::String(_) | Value::Array(_) => request.read_symbols(value)?,
        Value::Object(fields) => {
            check_options(fields.keys())?;
            let symbols = fields.get("symbols").or_else(|| fields.get("symbol"));
            request.read_symbols(symbols.ok_or("the request needs `symbols`: a text or a list of texts")?)?;
            if let Some(streams) = present(fields.get("streams")) {
                request.options.channels = read_streams(streams)?;
            }
            if let Some(rate) = present(fields.get("maxRate")) {
                request.options.interval = read_rate(rate)?;
            }
            if let Some(since) = present(fields.get("since")) {
                request.since = read_since(since, &request.symbols)?;
            }
            if let Some(lossless) = present(fields.get("lossless")) {
                request.options.lossless = lossless.as_bool().ok_or("`lossless` must be true or false")?;
            }
        }
        _ => return Err("the request must be a symbol, a list of symbols, or an object with `symbols`".to_owned()),
    }
    Ok(request)
}

/// Fields that a request may have. `action` and `type` are the verbs of the plain WebSocket dialects.
const OPTIONS: [&str; 8] = ["symbols", "symbol", "streams", "maxRate", "since", "lossless", "action", "type"];

fn check_options<'a>(names: impl IntoIterator<Item = &'a String>) -> Result<(), String> {
    let Some(name) = names.into_iter().find(|name| !OPTIONS.contains(&name.as_str())) else { return Ok(()) };
    let alike = |known: &&&str| known.eq_ignore_ascii_case(&name.replace(['_', '-'], ""));
    let hint = OPTIONS.iter().find(alike).map_or_else(
        || "options are `symbols`, `streams`, `maxRate`, `since` and `lossless`".to_owned(),
        |known| format!("did you mean `{known}`?"),
    );
    Err(format!("unknown option `{}`: {hint}", quote(name)))
}

/// What a client wrote, as far as it is repeated to it.
fn quote(text: &str) -> String {
    text.chars().take(64).collect()
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

impl Request {
    fn read_symbols(&mut self, value: &Value) -> Result<(), String> {
        let list = match value {
            Value::Array(list) => list.as_slice(),
            single @ Value::String(_) => std::slice::from_ref(single),
            _ => return Err("`symbols` must be a text or a list of texts".to_owned()),
        };
        if list.len() > REQUEST_SYMBOLS_MAX {
            return Err(format!("at most {REQUEST_SYMBOLS_MAX} symbols in one request"));
        }
        let mut known: HashSet<Symbol> = HashSet::with_capacity(list.len());
        for item in list {
            let Some(text) = item.as_str() else {
                self.reject("", "a symbol must be a text"); // not quoted: it may be anything of any size
                continue;
            };
            match Symbol::parse(text) {
                Ok(Parsed { symbol, changed }) => {
                    if changed {
                        self.normalized.insert(quote(text), symbol.to_string());
                    }
                    if known.insert(symbol) {
                        self.symbols.push(symbol);
                    }
                }
                Err(reason) => self.reject(text, &reason.to_string()),
            }
        }
        Ok(())
    }

    fn reject(&mut self, symbol: &str, reason: &str) {
        self.rejected.push(Rejected { symbol: quote(symbol), code: Code::InvalidSymbol, reason: reason.to_owned() });
    }
}

fn read_streams(value: &Value) -> Result<Channels, String> {
    let list = value.as_array().ok_or("`streams` must be a list of `trades`, `bars`, `quotes`")?;
    let channels = list.iter().map(|item| item.as_str().unwrap_or_default().parse::<Channel>());
    let channels: Vec<Channel> = channels.collect::<Result<_, _>>()?;
    if channels.is_empty() {
        Err("`streams` must name at least one stream".to_owned())
    } else {
        Ok(Channels::of(channels))
    }
}

fn read_rate(value: &Value) -> Result<Option<Duration>, String> {
    let rate =
        value.as_f64().filter(|rate| *rate > 0.0).ok_or("`maxRate` must be a number of events per second above 0")?;
    Ok((rate < RATE_MAX).then(|| Duration::from_secs_f64((1.0 / rate).min(3_600.0))))
}

/// `{"epoch":…,"seq":…}` (trades of the only symbol), or by symbol the same or `{"trades":{…},"bars":{…},"quotes":{…}}`.
fn read_since(value: &Value, symbols: &[Symbol]) -> Result<BTreeMap<Symbol, Since>, String> {
    const SHAPE: &str = "`since` must be {\"epoch\":…,\"seq\":…} or such by symbol, or by symbol and stream";
    if let Some(position) = read_position(value) {
        let [symbol] = symbols else { return Err(SHAPE.to_owned()) };
        return Ok([(*symbol, Since { trades: Some(position), ..Since::default() })].into());
    }
    let by_symbol = value.as_object().ok_or(SHAPE)?;
    let mut all = BTreeMap::new();
    for (symbol, value) in by_symbol {
        let Ok(symbol) = symbol.parse::<Symbol>() else { continue };
        let since = match read_position(value) {
            Some(position) => Since { trades: Some(position), ..Since::default() },
            None => {
                let streams = value.as_object().ok_or(SHAPE)?;
                let stream =
                    |name: &str| present(streams.get(name)).map(|value| read_position(value).ok_or(SHAPE)).transpose();
                Since { trades: stream("trades")?, bars: stream("bars")?, quotes: stream("quotes")? }
            }
        };
        all.insert(symbol, since);
    }
    Ok(all)
}

fn read_position(value: &Value) -> Option<Position> {
    Some(Position { epoch: value.get("epoch")?.as_i64()?, seq: value.get("seq")?.as_u64()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn names(request: &Request) -> Vec<&str> {
        request.symbols.iter().map(Symbol::as_str).collect()
    }

    #[test]
    fn a_text_a_list_and_an_object_mean_the_same() {
        let forms = [
            json!("AAPL"),
            json!(["AAPL", "AAPL"]),
            json!({"symbols": "AAPL"}),
            json!({"symbols": ["AAPL"], "maxRate": null}),
        ];
        for form in forms {
            let request = read_request(&form).unwrap();
            assert_eq!((names(&request), &request.options), (vec!["AAPL"], &Options::default()), "{form}");
        }
    }

    #[test]
    fn options_are_read() {
        let position = |seq| json!({"epoch": 5, "seq": seq});
        let request = read_request(&json!({
            "symbols": ["A", "B"], "streams": ["trades", "quotes"], "maxRate": 4, "lossless": true,
            "since": {"A": position(7), "B": {"bars": position(8), "trades": null}},
        }));
        let request = request.unwrap();
        assert!(request.options.channels.has(Channel::Quotes) && !request.options.channels.has(Channel::Bars));
        assert_eq!(request.options.interval, Some(Duration::from_millis(250)));
        assert!(request.options.lossless);
        let since = |symbol: &str| request.since[&Symbol::new(symbol).unwrap()];
        assert_eq!(since("A").trades, Some(Position { epoch: 5, seq: 7 }));
        assert_eq!((since("B").trades, since("B").bars), (None, Some(Position { epoch: 5, seq: 8 })));
        let single = read_request(&json!({"symbols": "A", "since": position(3)})).unwrap();
        assert_eq!(single.since[&Symbol::new("A").unwrap()].trades, Some(Position { epoch: 5, seq: 3 }));
    }

    #[test]
    fn a_symbol_is_normalised_and_said_so_or_rejected_with_a_code() {
        let request = read_request(&json!(["aapl", " AAPL ", "MSFT", "brk.b"])).unwrap();
        assert_eq!(names(&request), ["AAPL", "MSFT", "BRK.B"]);
        let normalized: Vec<_> =
            request.normalized.iter().map(|(wrote, took)| (wrote.as_str(), took.as_str())).collect();
        assert_eq!(normalized, [(" AAPL ", "AAPL"), ("aapl", "AAPL"), ("brk.b", "BRK.B")]);
        for text in ["AAPL,MSFT", "*", "$$$", "X,T.*", "T.*", "AAPL MSFT", "", ".", "A\u{0}", "../X"] {
            let request = read_request(&json!(text)).unwrap();
            assert_eq!((request.symbols.len(), request.rejected[0].code), (0, Code::InvalidSymbol), "{text}");
        }
        let since = read_request(&json!({"symbols": "aapl", "since": {"aapl": {"epoch": 1, "seq": 2}}})).unwrap();
        assert!(since.since.contains_key(&Symbol::new("AAPL").unwrap()));
    }

    #[test]
    fn one_bad_symbol_does_not_spoil_the_others() {
        let request = read_request(&json!(["AAPL", "", 5, "É", "MSFT"])).unwrap();
        assert_eq!(names(&request), ["AAPL", "MSFT"]);
        let rejected: Vec<_> = request.rejected.iter().map(|rejected| rejected.symbol.as_str()).collect();
        assert_eq!(rejected, ["", "", "É"]);
    }

    #[test]
    fn a_request_that_makes_no_sense_is_answered_with_a_sentence() {
        let sentences = [
            (json!(null), "a symbol"),
            (json!({"symbols": 5}), "`symbols`"),
            (json!({"streams": []}), "`symbols`"),
            (json!({"symbols": "A", "streams": ["news"]}), "streams"),
            (json!({"symbols": "A", "streams": []}), "`streams`"),
            (json!({"symbols": "A", "maxRate": 0}), "`maxRate`"),
            (json!({"symbols": "A", "since": 5}), "`since`"),
            (json!({"symbols": ["A", "B"], "since": {"epoch": 1, "seq": 1}}), "`since`"),
            (json!(vec!["A"; 1001]), "at most"),
            (json!({"symbols": "A", "maxrate": 5}), "did you mean `maxRate`?"),
            (json!({"symbols": "A", "max_rate": 5}), "did you mean `maxRate`?"),
            (json!({"symbols": "A", "colour": 5}), "unknown option `colour`"),
        ];
        for (value, part) in sentences {
            assert!(read_request(&value).unwrap_err().contains(part), "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_json_makes_it_panic(text in "[\\[\\]{}\":,a-z0-9.-]{0,80}") {
            if let Ok(value) = serde_json::from_str(&text) {
                let _ = read_request(&value);
                let _ = read_request(&json!({"symbols": value, "since": value, "streams": value, "maxRate": value}));
            }
        }
    }
}
