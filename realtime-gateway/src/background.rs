//! What the live stream does not tell: previous close, the day's volume so far, the newest stored bar. Asked of the history API once
//! per symbol and day, however many clients come.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use market::calendar::trading_date;
use market::{Symbol, Timeframe};
use serde::Deserialize;
use serde_json::value::RawValue;
use service::CancellationToken;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::access::unix_ms;
use crate::gateway::Gateway;
use crate::memory::symbol::Background;

/// A first paint that lacks the history is completed within this time and the history's answer.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Wait before a symbol is asked about again after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Questions under way at once.
const QUESTIONS_MAX: usize = 8;

/// Runs until `stop`.
///
/// # Errors
/// Never; the type is that of a supervised task.
pub async fn run(gateway: Arc<Gateway>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut look = interval(LOOK_EVERY);
    let mut waiting: HashSet<Symbol> = HashSet::new();
    let mut not_before: HashMap<Symbol, Instant> = HashMap::new();
    let mut day = today();
    let mut questions: JoinSet<(Symbol, Option<Background>)> = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(Ok((symbol, answer))) = questions.join_next() => match answer {
                Some(background) => gateway.hub.set_background(symbol, background),
                None => {
                    not_before.insert(symbol, Instant::now() + RETRY_AFTER);
                    waiting.insert(symbol);
                }
            },
            _ = look.tick() => {
                waiting.extend(gateway.hub.take_wanted());
                if day != today() {
                    day = today();
                    waiting.extend(gateway.hub.followed_symbols()); // yesterday's close is another one now
                }
                let now = Instant::now();
                not_before.retain(|_, at| *at > now);
                let free = QUESTIONS_MAX - questions.len();
                let ready: Vec<Symbol> = waiting.iter().filter(|symbol| !not_before.contains_key(*symbol)).take(free).copied().collect();
                for symbol in ready {
                    waiting.remove(&symbol);
                    // Others may ask for the same symbol while the answer is on its way.
                    not_before.insert(symbol, now + ANSWER_MAX);
                    let gateway = Arc::clone(&gateway);
                    questions.spawn(async move { (symbol, ask(&gateway, symbol).await) });
                }
                waiting.retain(|symbol| gateway.hub.is_followed(symbol));
            }
        }
    }
}

fn today() -> jiff::civil::Date {
    trading_date(i64::try_from(unix_ms()).unwrap_or(i64::MAX))
}

#[derive(Deserialize)]
struct Answer {
    bars: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct DayBar {
    timestamp: i64,
    close: f64,
    volume: f64,
}

/// `None` where the API did not answer; an empty background where it knows nothing of the symbol.
async fn ask(gateway: &Gateway, symbol: Symbol) -> Option<Background> {
    let days = bars(gateway, symbol, &[("timeframe", "1Day"), ("limit", "3")]).await?;
    let newest = bars(gateway, symbol, &[("limit", "1")]).await?;
    let today = today();
    let days: Vec<DayBar> = days.iter().filter_map(|bar| serde_json::from_str(bar.get()).ok()).collect();
    let before = days.iter().rev().find(|bar| trading_date(bar.timestamp) < today);
    let volume = days.iter().find(|bar| trading_date(bar.timestamp) == today).map_or(0.0, |bar| bar.volume);
    Some(Background {
        previous_close: before.map(|bar| bar.close),
        volume,
        bar: newest.last().and_then(|bar| complete(symbol, bar.get())),
    })
}

/// A bar of the history as live ones are: there its symbol and timeframe stand once for all bars of an answer.
fn complete(symbol: Symbol, bar: &str) -> Option<String> {
    let fields = bar.trim_start().strip_prefix('{')?;
    let symbol = serde_json::to_string(symbol.as_str()).ok()?;
    Some(format!("{{\"symbol\":{symbol},\"timeframe\":\"{}\",{fields}", Timeframe::MINUTE))
}

async fn bars(gateway: &Gateway, symbol: Symbol, query: &[(&str, &str)]) -> Option<Vec<Box<RawValue>>> {
    let mut url = reqwest::Url::parse(&gateway.config.bars_api_url).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(["bars", symbol.as_str()]);
    let answer = gateway.ask_history(reqwest::Method::GET, url).query(query).timeout(ANSWER_MAX).send().await.ok()?;
    match answer.status().as_u16() {
        200 => Some(answer.json::<Answer>().await.ok()?.bars),
        404 => Some(Vec::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_of_the_history_says_whose_it_is() {
        let symbol = Symbol::new("BTC/USD").unwrap();
        assert_eq!(
            complete(symbol, r#"{"timestamp":5,"open":1}"#).as_deref(),
            Some(r#"{"symbol":"BTC/USD","timeframe":"1Min","timestamp":5,"open":1}"#)
        );
        assert_eq!(complete(symbol, "[]"), None);
    }
}
