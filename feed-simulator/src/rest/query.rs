//! The parameters of bars and trades, checked.

use std::collections::HashMap;

use jiff::civil::Date;
use market::Timeframe;

use super::Refusal;
use crate::app::{App, Plan};
use crate::hours::Day;
use crate::symbols::is_well_formed;
use crate::units::NS_PER_MINUTE;
use crate::wire::text::parse_time;

/// Raw parameters.
pub(super) type Params = HashMap<String, String>;

/// Most points on a page.
const LIMIT_MAX: usize = 10_000;
const LIMIT_DEFAULT: usize = 1_000;
/// What the free plan may not see of the SIP feed.
const RECENT_NS: i64 = 15 * NS_PER_MINUTE;
const ADJUSTMENTS: [&str; 5] = ["raw", "split", "dividend", "spin-off", "all"];

/// What a page is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    /// First moment, inclusive, in Unix nanoseconds.
    pub(super) start_ns: i64,
    /// Last moment, inclusive.
    pub(super) end_ns: i64,
    /// Points on the page.
    pub(super) limit: usize,
    /// Newest first.
    pub(super) descending: bool,
    /// The token, as given.
    pub(super) page_token: Option<String>,
    /// The currency, if asked for.
    pub(super) currency: Option<String>,
}

impl Query {
    /// Checks the parameters that bars and trades share, as of stream time `now_ns`.
    pub(super) fn read(params: &Params, app: &App, now_ns: i64) -> Result<Self, Refusal> {
        let feed = given(params, "feed").unwrap_or("sip");
        if !["sip", "iex", "otc", "boats"].contains(&feed) {
            return Err(Refusal::bad(format!("invalid feed: {feed}")));
        }
        let recent_ns = now_ns - RECENT_NS;
        let restricted = app.limits.plan == Plan::Free && feed == "sip";
        let start_ns = match given(params, "start") {
            Some(text) => moment(text, false).ok_or_else(|| Refusal::bad(format!("invalid start: {text}")))?,
            None => Day::of(now_ns).start_ns,
        };
        let end_ns = match given(params, "end") {
            Some(text) => moment(text, true).ok_or_else(|| Refusal::bad(format!("invalid end: {text}")))?,
            None if restricted => recent_ns,
            None => now_ns,
        };
        if restricted && end_ns > recent_ns {
            let message = "subscription does not permit querying recent SIP data";
            return Err(Refusal::new(axum::http::StatusCode::FORBIDDEN, message));
        }
        if given(params, "end").is_some() && end_ns < start_ns {
            return Err(Refusal::bad("end should not be before start"));
        }
        let limit = match given(params, "limit") {
            Some(text) => text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)),
            None => Some(LIMIT_DEFAULT),
        };
        let descending = match given(params, "sort") {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(text) => return Err(Refusal::bad(format!("invalid sort: {text}"))),
        };
        let currency = given(params, "currency").map(str::to_owned);
        if let Some(currency) = currency.as_deref().filter(|currency| *currency != "USD") {
            return Err(Refusal::bad(format!("invalid currency: {currency} (the simulator knows USD)")));
        }
        Ok(Self {
            start_ns,
            end_ns,
            limit: limit.ok_or_else(|| Refusal::bad("invalid limit: must be between 1 and 10000"))?,
            descending,
            page_token: given(params, "page_token").map(str::to_owned),
            currency,
        })
    }
}

/// A parameter that is there and not empty.
pub(super) fn given<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.get(name).map(String::as_str).filter(|text| !text.is_empty())
}

/// The required list of symbols.
pub(super) fn symbols(params: &Params) -> Result<Vec<String>, Refusal> {
    let list = given(params, "symbols").ok_or_else(|| Refusal::bad("symbols is required"))?;
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(symbol).collect()
}

/// One symbol, well-formed.
pub(super) fn symbol(name: &str) -> Result<String, Refusal> {
    is_well_formed(name).then(|| name.to_owned()).ok_or_else(|| Refusal::bad(format!("invalid symbol: {name}")))
}

/// The required timeframe, and the adjustment, which raw data need not follow.
pub(super) fn timeframe(params: &Params) -> Result<Timeframe, Refusal> {
    if let Some(list) = given(params, "adjustment")
        && let Some(unknown) = list.split(',').find(|name| !ADJUSTMENTS.contains(name))
    {
        return Err(Refusal::bad(format!("invalid adjustment: {unknown}")));
    }
    let text = given(params, "timeframe").ok_or_else(|| Refusal::bad("timeframe is required"))?;
    text.parse().map_err(|_| Refusal::bad(format!("invalid timeframe: {text}")))
}

/// A moment, or a New York date: its first moment as a start, its last as an end.
fn moment(text: &str, is_end: bool) -> Option<i64> {
    if let Some(ts_ns) = parse_time(text) {
        return Some(ts_ns);
    }
    let day = Day::on(text.parse::<Date>().ok()?);
    Some(if is_end { day.end_ns - 1 } else { day.start_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_with_any_offset_or_new_york_dates() {
        let at = |text| parse_time(text);
        assert_eq!(moment("2022-01-03T09:00:00.000000001Z", false), at("2022-01-03T09:00:00.000000001Z"));
        assert_eq!(moment("2022-01-03T09:00:00-05:00", true), at("2022-01-03T14:00:00Z"));
        assert_eq!(moment("2022-01-03", false), at("2022-01-03T05:00:00Z"));
        assert_eq!(moment("2022-07-01", true), at("2022-07-02T03:59:59.999999999Z"));
        assert_eq!(moment("yesterday", false), None);
    }
}
