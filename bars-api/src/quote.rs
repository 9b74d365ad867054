//! Last price of a symbol and how it moved, from its snapshot.

use jiff::Timestamp;
use market::calendar::trading_date;
use market::{NS_PER_MS, Symbol};

use crate::render::alpaca::Snapshot;

/// What a quote page shows; prices in dollars, `None` where nothing is known.
#[derive(Clone, Debug)]
pub struct Quote {
    /// Whose.
    pub symbol: Symbol,
    /// Last price.
    pub price: Option<f64>,
    /// Shares of the last trade.
    pub size: Option<f64>,
    /// Against the previous close.
    pub change: Option<f64>,
    /// The same in percent.
    pub percent: Option<f64>,
    /// Close of the day before.
    pub previous_close: Option<f64>,
    /// Of the newest day.
    pub open: Option<f64>,
    /// Of the newest day.
    pub high: Option<f64>,
    /// Of the newest day.
    pub low: Option<f64>,
    /// Shares of the newest day.
    pub volume: Option<f64>,
    /// When the price was paid, in Unix milliseconds.
    pub timestamp_ms: i64,
    /// Whether that was on the trading day that is on now.
    pub live: bool,
}

impl Quote {
    /// The quote that a snapshot holds.
    #[must_use]
    pub fn of(known: &Snapshot) -> Self {
        let (bar, minute) = (known.day.as_ref(), known.minute.as_ref());
        let trade_ms = known.trade.as_ref().map(|trade| trade.ts_ns.div_euclid(NS_PER_MS));
        let minute_ms = minute.map(|minute| minute.start_ms);
        // A late trade may be older than the newest minute.
        let trade = known.trade.as_ref().filter(|_| trade_ms >= minute_ms);
        let price = trade.map(|trade| trade.price).or(minute.map(|minute| minute.close)).or(bar.map(|bar| bar.close));
        let timestamp_ms = trade_ms.max(minute_ms).or(bar.map(|bar| bar.start_ms)).unwrap_or_default();
        let previous_close = known.previous_day.as_ref().map(|day| day.close);
        let change = price.zip(previous_close).map(|(price, previous)| price - previous);
        Self {
            symbol: known.symbol,
            price,
            size: trade.map(|trade| trade.size),
            change,
            percent: change.zip(previous_close).map(|(change, previous)| change / previous * 100.0),
            previous_close,
            open: bar.map(|bar| bar.open),
            high: bar.map(|bar| bar.high),
            low: bar.map(|bar| bar.low),
            volume: bar.map(|bar| bar.volume),
            timestamp_ms,
            live: trading_date(timestamp_ms) == trading_date(Timestamp::now().as_millisecond()),
        }
    }
}
