//! The door for everything that a caller writes into a URL: past it, values are valid.

pub mod moment;
pub mod page;

use std::collections::BTreeSet;
use std::ops::Range;

use actix_web::web::Query;
use market::{Source, Symbol, Timeframe};

pub use page::Cursor;

use crate::db::Order;
use crate::indicators::Indicator;
use crate::problem::Problem;

/// Bars or trades in one answer where the caller says nothing.
pub const LIMIT_DEFAULT: usize = 1_000;
/// Most bars or trades in one answer.
pub const LIMIT_MAX: usize = 10_000;
/// Most symbols in one request.
pub const SYMBOLS_MAX: usize = 200;

/// Most indicators in one request.
pub const INDICATORS_MAX: usize = 10;

/// The query string, name by name.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query string in which only `known` names may occur, each once.
    ///
    /// # Errors
    /// 400 that names the parameter and, where it is unknown, all known ones.
    pub fn strict(query: &str, known: &[&str]) -> Result<Self, Problem> {
        let params = Self::lenient(query)?;
        match params.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(params),
            Some((name, _)) if known.is_empty() => Err(Problem::bad(name, "this route takes no parameters")),
            Some((name, _)) => Err(Problem::bad(name, format_args!("unknown; this route takes {}", known.join(", ")))),
        }
    }

    /// Reads a query string and ignores names that nobody asks for, as the APIs do whose shape we borrow.
    ///
    /// # Errors
    /// 400 for a name that occurs twice.
    pub fn lenient(query: &str) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|_| Problem::bad("query", "the query string cannot be read"))?
            .into_inner();
        let mut seen = BTreeSet::new();
        match pairs.iter().find(|(name, _)| !seen.insert(name.as_str())) {
            Some((name, _)) => Err(Problem::bad(name, "given more than once")),
            None => Ok(Self(pairs)),
        }
    }

    /// One parameter that did not come with a query string.
    #[must_use]
    pub fn of(name: &str, text: &str) -> Self {
        Self(vec![(name.to_owned(), text.to_owned())])
    }

    /// A parameter's text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A whole number within `bounds`.
    ///
    /// # Errors
    /// 400 that names the parameter and its bounds.
    pub fn count(&self, name: &str, default: usize, bounds: std::ops::RangeInclusive<usize>) -> Result<usize, Problem> {
        let Some(text) = self.text(name) else { return Ok(default) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let value = text.parse().ok().filter(|value| digits && bounds.contains(value));
        value.ok_or_else(|| {
            let (low, high) = (bounds.start(), bounds.end());
            Problem::parameter(name, text, format_args!("a whole number from {low} to {high}"))
        })
    }

    /// `limit`: how many bars or trades the answer may hold.
    ///
    /// # Errors
    /// 400.
    pub fn limit(&self) -> Result<usize, Problem> {
        self.count("limit", LIMIT_DEFAULT, 1..=LIMIT_MAX)
    }

    /// `timeframe`, one minute where it is absent.
    ///
    /// # Errors
    /// 400 that lists what there is.
    pub fn timeframe(&self) -> Result<Timeframe, Problem> {
        let Some(text) = self.text("timeframe") else { return Ok(Timeframe::MINUTE) };
        text.parse().map_err(|_| {
            let expected = "a timeframe: 1Sec, 1Min to 59Min, 1Hour to 23Hour, 1Day, 1Week, 1Month, 2Month, 3Month, 4Month, 6Month, 12Month, \
                or short 5m, 1h, 1d, 1w, 1M";
            Problem::parameter("timeframe", text, expected)
        })
    }

    /// `source`: the feed whose records are wanted.
    ///
    /// # Errors
    /// 400.
    pub fn source(&self, default: &Source) -> Result<Source, Problem> {
        let Some(text) = self.text("source") else { return Ok(default.clone()) };
        Source::new(text).map_err(|_| Problem::parameter("source", text, "the name of a feed, such as alpaca"))
    }

    /// `sort`: `asc` or `desc`.
    ///
    /// # Errors
    /// 400.
    pub fn order(&self) -> Result<Order, Problem> {
        match self.text("sort") {
            None | Some("asc") => Ok(Order::Ascending),
            Some("desc") => Ok(Order::Descending),
            Some(other) => Err(Problem::parameter("sort", other, "asc or desc")),
        }
    }

    /// A moment in Unix nanoseconds.
    ///
    /// # Errors
    /// 400 that says which forms there are.
    pub fn moment(&self, name: &str) -> Result<Option<i64>, Problem> {
        self.text(name).map(|text| moment::parse(text).map_err(|why| Problem::bad(name, why))).transpose()
    }

    /// `start` (included) and `end` (excluded) in Unix nanoseconds; open where they are absent.
    ///
    /// # Errors
    /// 400 for a malformed moment, or where `start` is not before `end`.
    pub fn range(&self) -> Result<Range<i64>, Problem> {
        self.range_named("start", "end")
    }

    /// The same under other names.
    ///
    /// # Errors
    /// As in [`range`](Self::range).
    pub fn range_named(&self, first: &str, last: &str) -> Result<Range<i64>, Problem> {
        let (start, end) = (self.moment(first)?, self.moment(last)?);
        // Both may lie beyond the same end of what nanoseconds can say: such a range is empty, not wrong.
        let beyond = start == end && matches!(start, Some(i64::MIN | i64::MAX));
        if start.zip(end).is_some_and(|(start, end)| start >= end) && !beyond {
            let same_day = self.text(first) == self.text(last) && self.text(last).is_some_and(moment::is_day);
            let hint = if same_day { "; for one day, name the day after it as the end" } else { "" };
            return Err(Problem::bad(first, format_args!("must be before {last}, which is excluded{hint}")));
        }
        Ok(start.unwrap_or(i64::MIN)..end.unwrap_or(i64::MAX))
    }

    /// Between which moments, as it belongs into what seals pages together: `now` moves from page to page and stays the same question.
    #[must_use]
    pub fn range_subject(&self, first: &str, last: &str, range_ns: &Range<i64>) -> String {
        let relative = |name| self.text(name).filter(|text| moment::is_relative(text));
        let edge = |name, ns: i64| relative(name).map_or_else(|| ns.to_string(), str::to_owned);
        format!("{}..{}", edge(first, range_ns.start), edge(last, range_ns.end))
    }

    /// `indicators`: a comma-separated list, each once; empty where it is absent.
    ///
    /// # Errors
    /// 400 for an unknown indicator, or more than ten.
    pub fn indicators(&self) -> Result<Vec<Indicator>, Problem> {
        let Some(text) = self.text("indicators") else { return Ok(Vec::new()) };
        let read = |name: &str| name.trim().parse().map_err(|why| Problem::parameter("indicators", name, why));
        let mut list: Vec<Indicator> = Vec::new();
        for indicator in text.split(',').map(read) {
            let indicator = indicator?;
            if !list.contains(&indicator) {
                list.push(indicator);
            }
        }
        if list.len() > INDICATORS_MAX {
            return Err(Problem::bad("indicators", format_args!("more than {INDICATORS_MAX} indicators")));
        }
        Ok(list)
    }

    /// `symbols`: a comma-separated list, each once, in alphabetical order; `None` where it is absent.
    ///
    /// # Errors
    /// 400 for a malformed symbol, an empty list or more than 200 symbols.
    pub fn symbols(&self) -> Result<Option<Vec<Symbol>>, Problem> {
        let Some(text) = self.text("symbols") else { return Ok(None) };
        let symbols: BTreeSet<Symbol> =
            text.split(',').map(|name| symbol("symbols", name.trim())).collect::<Result<_, _>>()?;
        if symbols.len() > SYMBOLS_MAX {
            return Err(Problem::bad("symbols", format_args!("more than {SYMBOLS_MAX} symbols")));
        }
        Ok(Some(symbols.into_iter().collect()))
    }
}

/// One symbol.
///
/// # Errors
/// 400 that names the parameter.
pub fn symbol(name: &str, text: &str) -> Result<Symbol, Problem> {
    Symbol::stored(text).map_err(|_| Problem::parameter(name, text, "a symbol of 1 to 32 printable ASCII characters"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KNOWN: [&str; 8] = ["limit", "timeframe", "start", "end", "sort", "source", "symbols", "page_token"];

    fn refused(query: &str) -> String {
        let params = match Params::strict(query, &KNOWN) {
            Ok(params) => params,
            Err(problem) => return problem.to_string(),
        };
        let results = [
            params.limit().err(),
            params.timeframe().err(),
            params.order().err(),
            params.source(&Source::alpaca()).err(),
            params.range().err(),
            params.symbols().err(),
        ];
        results.into_iter().flatten().next().map(|problem| problem.to_string()).unwrap_or_default()
    }

    #[test]
    fn each_mistake_names_its_parameter_and_what_is_expected() {
        for (query, name, expected) in [
            ("limit=0", "limit", "1 to 10000"),
            ("limit=10001", "limit", "1 to 10000"),
            ("limit=ten", "limit", "1 to 10000"),
            ("limit=", "limit", "1 to 10000"),
            ("limit=%2B5", "limit", "1 to 10000"),
            ("limit=1&limit=2", "limit", "more than once"),
            ("timeframe=2Day", "timeframe", "1Min to 59Min"),
            ("sort=up", "sort", "asc or desc"),
            ("source=Alpaca", "source", "feed"),
            ("start=yesterday", "start", "RFC 3339"),
            ("end=2024-13-01", "end", "YYYY-MM-DD"),
            ("start=12345", "start", "Unix time"),
            ("start=2024-01-02&end=2024-01-02", "start", "the day after"),
            ("symbols=AAPL,", "symbols", "printable"),
            ("limmit=5", "limmit", "limit, timeframe"),
        ] {
            let said = refused(query);
            assert!(said.contains(&format!("{name}:")) && said.contains(expected), "{query}: {said}");
        }
    }

    #[test]
    fn symbols_are_sorted_and_listed_once() {
        let params = Params::strict("symbols=MSFT,AAPL,%20MSFT", &KNOWN).unwrap();
        let names: Vec<_> = params.symbols().unwrap().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["AAPL", "MSFT"]);
    }

    proptest! {
        #[test]
        fn no_query_string_panics(query in "\\PC{0,60}", bytes in "([a-z_]{1,10}=[ -~]{0,20}&?){0,5}") {
            refused(&query);
            refused(&bytes);
        }

        #[test]
        fn a_limit_in_bounds_is_taken_as_it_is(limit in 1_usize..=LIMIT_MAX) {
            let params = Params::strict(&format!("limit={limit}"), &KNOWN).unwrap();
            prop_assert_eq!(params.limit().unwrap(), limit);
        }
    }
}
