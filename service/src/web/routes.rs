//! The routes of the history, and what each of them needs of a scope.
//!
//! A path is read here once, into words and symbols, and written anew from them: whatever spelling a client found for another place of the
//! API, it is either one of these routes or none. What is not listed here is only open to those whose scope covers everything.

use std::collections::BTreeSet;

use market::Symbol;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::problem::{Problem, echo};
use super::scope::{Scope, Stream, Streams};

/// What a path segment may hold as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');
/// Most symbols in one request to the API.
const SYMBOLS_MAX: usize = 200;

const BARS: Streams = Streams::of(&[Stream::Bars]);
const TRADES: Streams = Streams::of(&[Stream::Trades]);
const QUOTES: Streams = Streams::of(&[Stream::Quotes]);
const TRADES_AND_BARS: Streams = Streams::of(&[Stream::Trades, Stream::Bars]);

/// A route of the history API, as somebody asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its path at the API, in one spelling.
    pub path: String,
    whose: Whose,
    streams: Streams,
}

/// Whose records a route shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Whose {
    /// Nobody's: hours, calendars, the time.
    Nobodys,
    /// One symbol's.
    Of(Symbol),
    /// Those of the symbols that a query parameter lists.
    Listed(&'static str),
    /// The same, and those of all symbols when the parameter is absent.
    ListedOrAll(&'static str),
    /// Those of the symbols in a query parameter, each of which may have its exchange before a colon.
    Udf(&'static str),
    /// Those of all symbols.
    Everybodys,
}

impl Route {
    /// The route that `path` names; `None` when it names none.
    #[must_use]
    pub fn find(path: &str) -> Option<Self> {
        let segments = segments(path)?;
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        let of = |name: &str| name.parse().ok().map(Whose::Of);
        let (whose, streams) = match words.as_slice() {
            ["bars", "latest"] => (Whose::ListedOrAll("symbols"), BARS),
            ["bars", symbol] | ["bars", symbol, "range"] => (of(symbol)?, BARS),
            ["bars", symbol, "gaps"] => (of(symbol)?, Streams::NONE),
            ["api", "market", "status"]
            | ["v2", "clock" | "calendar"]
            | ["udf", "config" | "time"]
            | ["widgets.json" | "apps.json"] => (Whose::Nobodys, Streams::NONE),
            ["api", "market", "search"] | ["udf", "search" | "symbol_info"] => (Whose::Everybodys, Streams::NONE),
            ["api", "market", "quote", symbol] => (of(symbol)?, TRADES_AND_BARS),
            ["api", "market", "historical", symbol] => (of(symbol)?, BARS),
            ["udf", "symbols" | "history"] => (Whose::Udf("symbol"), BARS),
            ["udf", "marks"] => (Whose::Udf("symbol"), Streams::NONE),
            ["udf", "quotes"] => (Whose::Udf("symbols"), TRADES_AND_BARS),
            ["v2", "stocks", "meta", ..] => (Whose::Nobodys, Streams::NONE),
            ["v2", "stocks", "snapshots"] => (Whose::Listed("symbols"), TRADES_AND_BARS),
            ["v2", "stocks", symbol, "snapshot"] => (of(symbol)?, TRADES_AND_BARS),
            ["v2", "stocks", kind] | ["v2", "stocks", kind, "latest"] => (Whose::Listed("symbols"), streams_of(kind)?),
            ["v2", "stocks", symbol, kind] | ["v2", "stocks", symbol, kind, "latest"] => {
                (of(symbol)?, streams_of(kind)?)
            }
            _ => return None,
        };
        Some(Self { path: written(&words, &whose), whose, streams })
    }

    /// Whether `scope` covers what this route shows to a request with `query`. Returns the query to ask with instead, when the answer has to
    /// be narrowed to what the scope covers.
    ///
    /// # Errors
    /// 403, or 400 for an invalid symbol.
    pub fn check(&self, scope: &Scope, query: &str) -> Result<Option<String>, Problem> {
        if scope.is_all() || self.whose == Whose::Nobodys {
            return Ok(None);
        }
        if !scope.allows_history() {
            return Err(Problem::forbidden("your token covers the live streams only, not what is stored"));
        }
        if let Some(stream) = self.streams.iter().find(|stream| !scope.allows_stream(*stream)) {
            let name = stream.name();
            return Err(Problem::forbidden(format!("your token does not cover {name}; this answer holds {name}")));
        }
        let Some(covered) = scope.symbols() else { return Ok(None) };
        match &self.whose {
            Whose::Nobodys => Ok(None),
            Whose::Of(symbol) => cover(scope, *symbol).map(|()| None),
            Whose::Udf(name) => {
                for text in values(query, name) {
                    for reading in text.split(',').flat_map(readings) {
                        cover(scope, read(name, reading)?)?;
                    }
                }
                Ok(None)
            }
            Whose::Listed(name) | Whose::ListedOrAll(name) => {
                let mut listed = values(query, name).peekable();
                if listed.peek().is_none() && self.whose == Whose::ListedOrAll(name) {
                    return narrowed(query, name, covered).map(Some);
                }
                for text in listed {
                    for symbol in text.split(',') {
                        cover(scope, read(name, symbol)?)?;
                    }
                }
                Ok(None)
            }
            Whose::Everybodys => {
                Err(Problem::forbidden("your token covers some symbols only; this answer would be about all of them"))
            }
        }
    }
}

/// Whether `scope` opens `path` with `query`, as [`Route::check`] decides; a path that is not listed is open to whoever may see everything.
///
/// # Errors
/// 403, or 400 for an invalid symbol.
pub fn check(scope: &Scope, path: &str, query: &str) -> Result<Option<String>, Problem> {
    if scope.is_all() {
        return Ok(None);
    }
    match Route::find(path) {
        Some(route) => route.check(scope, query),
        None => Err(Problem::forbidden("your token does not cover this address")),
    }
}

fn streams_of(kind: &str) -> Option<Streams> {
    match kind {
        "bars" => Some(BARS),
        "trades" => Some(TRADES),
        "quotes" => Some(QUOTES),
        _ => None,
    }
}

/// The words of a path, decoded; `None` for any spelling of something else than a plain list of words.
fn segments(path: &str) -> Option<Vec<String>> {
    let decode = |raw: &str| {
        let text = percent_decode_str(raw).decode_utf8().ok()?.into_owned();
        // What is still encoded now was encoded twice.
        let plain = |byte: u8| matches!(byte, b'!'..=b'~') && !matches!(byte, b'\\' | b'%' | b';' | b'?' | b'#');
        let dots = text.split('/').any(|part| matches!(part, "" | "." | ".."));
        (text.bytes().all(plain) && !dots).then_some(text)
    };
    path.strip_prefix('/')?.split('/').map(decode).collect()
}

/// The path in one spelling.
fn written(words: &[&str], whose: &Whose) -> String {
    let place = match words[0] {
        "bars" => 1,
        "v2" => 2,
        _ => 3,
    };
    let mut path = String::new();
    for (index, word) in words.iter().enumerate() {
        let word = match whose {
            Whose::Of(symbol) if index == place => symbol.as_str(),
            _ => word,
        };
        path.push('/');
        path.extend(utf8_percent_encode(word, SEGMENT));
    }
    path
}

fn values<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    form_urlencoded::parse(query.as_bytes()).filter(move |(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// UDF: both what is written and, without its exchange, what is meant.
fn readings(text: &str) -> impl Iterator<Item = &str> {
    std::iter::once(text).chain(text.rsplit_once(':').map(|(_, symbol)| symbol))
}

fn read(parameter: &str, text: &str) -> Result<Symbol, Problem> {
    text.trim().parse().map_err(|reject| Problem::bad(parameter, format_args!("`{}`: {reject}", echo(text))))
}

fn cover(scope: &Scope, symbol: Symbol) -> Result<(), Problem> {
    if scope.allows(&symbol) {
        return Ok(());
    }
    Err(Problem::forbidden(format!("your token does not cover `{symbol}`")))
}

fn narrowed(query: &str, name: &str, covered: &BTreeSet<Symbol>) -> Result<String, Problem> {
    if covered.is_empty() || covered.len() > SYMBOLS_MAX {
        let detail =
            format!("your token covers {} symbols: name at most {SYMBOLS_MAX} of them in `{name}`", covered.len());
        return Err(Problem::forbidden(detail));
    }
    let list: Vec<&str> = covered.iter().map(Symbol::as_str).collect();
    let mut narrowed = form_urlencoded::Serializer::new(query.to_owned());
    Ok(narrowed.append_pair(name, &list.join(",")).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scope(symbols: &[&str], streams: Streams) -> Scope {
        Scope::new(Some(symbols.iter().map(|name| name.parse().unwrap()).collect()), streams, true)
    }

    fn path(text: &str) -> Option<String> {
        Route::find(text).map(|route| route.path)
    }

    #[test]
    fn a_route_has_one_spelling() {
        assert_eq!(path("/bars/AAPL").as_deref(), Some("/bars/AAPL"));
        assert_eq!(path("/%62ars/AAPL/ran%67e").as_deref(), Some("/bars/AAPL/range"));
        assert_eq!(path("/bars/BTC%2fUSD").as_deref(), Some("/bars/BTC%2FUSD"));
        assert_eq!(path("/api/market/quote/api").as_deref(), Some("/api/market/quote/API"));
        assert_eq!(path("/bars/bars").as_deref(), Some("/bars/BARS"));
        assert_eq!(path("/v2/stocks/v2/bars").as_deref(), Some("/v2/stocks/V2/bars"));
        assert_eq!(path("/api/market/quote/BRK.B").as_deref(), Some("/api/market/quote/BRK.B"));
    }

    #[test]
    fn no_spelling_of_another_place_is_a_route() {
        for text in [
            "/bars/..",
            "/bars/../metrics",
            "/bars/%2e%2e/metrics",
            "/bars/.%2E/metrics",
            "/bars/%252e%252e/metrics",
            "/bars/..%2fmetrics",
            "/bars/%2e%2e%2fmetrics",
            "/bars/..\\metrics",
            "/bars/..%5cmetrics",
            "/bars/AAPL/../../metrics",
            "/bars/AAPL%2f..%2f..%2fmetrics",
            "/bars/AAPL/./range",
            "/bars//metrics",
            "//metrics",
            "/bars/AAPL;/range",
            "/bars/AAPL%3b",
            "/bars/AAPL%00",
            "/bars/AAPL%0d%0aX-Evil:%201",
            "/bars/AAPL%3fx",
            "/bars/AAPL/",
            "/bars/AAPL/range/",
            "/bars/%ff",
            "/bars/%zz",
            "/BARS/AAPL",
            "/metrics",
            "/docs",
            "/",
            "",
            "bars/AAPL",
            "http://localhost/bars/AAPL",
        ] {
            assert_eq!(path(text), None, "{text}");
        }
    }

    #[test]
    fn a_token_for_one_symbol_reads_that_symbol_only_on_every_route() {
        let one = scope(&["AAPL"], Streams::ALL);
        for (path, query) in [
            ("/bars/AAPL", ""),
            ("/bars/AAPL/range", "start=1"),
            ("/bars/AAPL/gaps", ""),
            ("/bars/latest", "symbols=AAPL"),
            ("/api/market/quote/AAPL", ""),
            ("/api/market/historical/AAPL", ""),
            ("/api/market/status", ""),
            ("/udf/history", "symbol=AAPL"),
            ("/udf/config", ""),
            ("/udf/quotes", "symbols=AAPL"),
            ("/udf/marks", "symbol=AAPL&from=1"),
            ("/widgets.json", ""),
            ("/v2/clock", ""),
            ("/v2/stocks/bars", "symbols=AAPL"),
            ("/v2/stocks/AAPL/trades/latest", ""),
            ("/v2/stocks/snapshots", "symbols=AAPL"),
        ] {
            assert_eq!(check(&one, path, query), Ok(None), "{path}?{query}");
        }
        for (path, query) in [
            ("/bars/MSFT", ""),
            ("/bars/%4dSFT", ""),
            ("/bars/MSFT/range", ""),
            ("/bars/MSFT/gaps", ""),
            ("/bars/latest", "symbols=AAPL,MSFT"),
            ("/bars/latest", "symbols=AAPL%2CMSFT"),
            ("/bars/latest", "symbols=AAPL&symbols=MSFT"),
            ("/bars/latest", "symbols=AAPL&%73ymbols=MSFT"),
            ("/api/market/quote/MSFT", ""),
            ("/api/market/search", "q=a"),
            ("/api/market/historical/MSFT", ""),
            ("/udf/history", "symbol=MSFT"),
            ("/udf/history", "symbol=NASDAQ:MSFT"),
            ("/udf/history", "symbol=AAPL:MSFT"),
            ("/udf/history", "symbol=MSFT:AAPL"),
            ("/udf/symbols", "symbol=MSFT"),
            ("/udf/symbol_info", "group=US"),
            ("/udf/marks", "symbol=MSFT"),
            ("/udf/quotes", "symbols=AAPL,MSFT"),
            ("/udf/quotes", "symbols=AAPL,NASDAQ:MSFT"),
            ("/udf/search", "query="),
            ("/v2/stocks/bars", "symbols=MSFT"),
            ("/v2/stocks/bars/latest", "symbols=AAPL,MSFT"),
            ("/v2/stocks/MSFT/bars", ""),
            ("/v2/stocks/MSFT/snapshot", ""),
            ("/v2/stocks/MSFT/quotes/latest", ""),
            ("/api/pipeline", ""),
            ("/metrics", ""),
            ("/business/sales", ""),
        ] {
            assert_eq!(check(&one, path, query).unwrap_err().status, 403, "{path}?{query}");
            assert_eq!(check(&Scope::ALL, path, query), Ok(None), "{path}?{query}");
        }
        assert_eq!(check(&one, "/bars/latest", "symbols=").unwrap_err().status, 400);
    }

    #[test]
    fn the_newest_bars_of_all_are_narrowed_to_those_that_a_token_covers() {
        let two = scope(&["MSFT", "AAPL"], Streams::ALL);
        let query = check(&two, "/bars/latest", "timeframe=1Day").unwrap();
        assert_eq!(query.as_deref(), Some("timeframe=1Day&symbols=AAPL%2CMSFT"));
        assert_eq!(check(&two, "/bars/latest", "").unwrap().as_deref(), Some("symbols=AAPL%2CMSFT"));
        assert_eq!(check(&scope(&[], Streams::ALL), "/bars/latest", "").unwrap_err().status, 403);
    }

    #[test]
    fn a_token_for_one_stream_reads_no_other() {
        let trades = Scope::new(None, TRADES, true);
        assert_eq!(check(&trades, "/v2/stocks/AAPL/trades", ""), Ok(None));
        assert_eq!(check(&trades, "/bars/AAPL/gaps", ""), Ok(None));
        for path in ["/bars/AAPL", "/bars/latest", "/v2/stocks/AAPL/bars", "/api/market/quote/AAPL", "/udf/history"] {
            assert_eq!(check(&trades, path, "symbol=AAPL").unwrap_err().status, 403, "{path}");
        }
        let live = Scope::new(None, Streams::ALL, false);
        assert_eq!(check(&live, "/v2/stocks/AAPL/trades", "").unwrap_err().status, 403);
        assert_eq!(check(&live, "/v2/clock", ""), Ok(None));
    }

    proptest! {
        /// Whatever is asked for in whatever spelling: what passes names nothing but covered symbols, in words that are listed.
        #[test]
        fn whatever_passes_names_covered_symbols_only(
            words in prop::collection::vec("(bars|v2|stocks|udf|api|market|AAPL|aapl|MSFT|%4dSFT|latest|range|quote|trades|history|\\.\\.|%2e|;|metrics|)", 1..6),
            pairs in prop::collection::vec("(symbols?|%73ymbols|limit)=(AAPL|MSFT|AAPL,MSFT|AAPL%2CMSFT|MSFT:AAPL|AAPL:MSFT|%4dSFT|)", 0..3),
        ) {
            let (path, query) = (format!("/{}", words.join("/")), pairs.join("&"));
            let one = scope(&["AAPL"], Streams::ALL);
            if let Ok(narrowed) = check(&one, &path, &query) {
                let asked = narrowed.unwrap_or(query);
                let (path, asked) = (path.to_uppercase(), asked.to_uppercase().replace("%4D", "M"));
                let parameter = match path.as_str() {
                    path if path.contains("AAPL") => "", // its symbol is in the path
                    "/UDF/HISTORY" => "SYMBOL",
                    "/BARS/LATEST" => "SYMBOLS",
                    path if path.starts_with("/V2/STOCKS/") => "SYMBOLS",
                    _ => "",
                };
                prop_assert!(!path.contains("MSFT") && !path.contains("%4D") && !path.contains("METRICS"), "{}", path);
                for (name, value) in form_urlencoded::parse(asked.as_bytes()) {
                    prop_assert!(name != parameter || !value.contains("MSFT"), "{}?{}", path, asked);
                }
            }
        }
    }
}
