//! How far one channel's records are behind the clock, and whether that grows: a feed lets a slow reader fall minutes behind before it
//! says a word.

use std::collections::VecDeque;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use crate::fanout::record::Stream;
use crate::feeds::protocol::Feed;

/// The least lag of each of these counts: single records are reported late, a slow reader is late with all of them.
const SPAN: Duration = Duration::from_secs(10);
/// So many spans are compared: ten minutes.
const SPANS: usize = 60;
/// A lag that grew by more than this is an alarm.
const GROWN: Duration = Duration::from_secs(10);
/// A feed that is older than this is replayed, and goes at a pace of its own.
const REPLAYED: Duration = Duration::from_secs(86_400);

/// The lag of one feed's channel.
pub struct Lag {
    feed: Feed,
    stream: Stream,
    seconds: Histogram,
    growth_seconds: Gauge,
    alarms: Counter,
    growth: Growth,
    alarmed: bool,
}

impl Lag {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(feed: Feed, stream: Stream) -> Self {
        let labels = [("feed", feed.name()), ("stream", stream.name())];
        Self {
            feed,
            stream,
            seconds: metrics::histogram!("producer_feed_lag_seconds", &labels),
            growth_seconds: metrics::gauge!("producer_feed_lag_growth_seconds", &labels),
            alarms: metrics::counter!("producer_feed_lag_alarms_total", &labels),
            growth: Growth::default(),
            alarmed: false,
        }
    }

    /// A record of `ts_ns` (feed time, Unix nanoseconds) came at `now`, time since 1970.
    pub fn note(&mut self, ts_ns: i64, now: Duration) {
        let Some(lag) = now.checked_sub(Duration::from_nanos(u64::try_from(ts_ns).unwrap_or_default())) else { return };
        self.seconds.record(lag);
        let Some(growth) = self.growth.note(lag, now) else { return };
        self.growth_seconds.set(growth);
        let grown = growth > GROWN && lag < REPLAYED;
        if grown && !self.alarmed {
            self.alarms.increment(1);
            tracing::warn!(
                feed = self.feed.name(),
                stream = self.stream.name(),
                lag_s = lag.as_secs(),
                "this reader falls behind the feed, which may cut it off: the machine or the network is too slow"
            );
        }
        self.alarmed = grown;
    }
}

/// The least lags of the last spans.
#[derive(Debug, Default)]
struct Growth {
    /// When the span under way began, and its least lag.
    span: Option<(Duration, Duration)>,
    before: VecDeque<Duration>,
}

impl Growth {
    /// At the end of a span: by how much its least lag is above the least of all.
    fn note(&mut self, lag: Duration, now: Duration) -> Option<Duration> {
        let (began, least) = self.span.get_or_insert((now, lag));
        *least = lag.min(*least);
        if now.saturating_sub(*began) < SPAN {
            return None;
        }
        let least = *least;
        self.span = None;
        if self.before.len() == SPANS {
            self.before.pop_front();
        }
        self.before.push_back(least);
        self.before.iter().min().map(|floor| least - *floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn late_reports_are_no_growth_and_a_slow_reader_is() {
        let mut growth = Growth::default();
        let mut now = S(1_700_000_000);
        let mut spans = |lags: &dyn Fn(u64) -> u64, seconds: u64| {
            let mut grown = Vec::new();
            for second in 0..seconds {
                now += S(1);
                grown.extend(growth.note(S(lags(second)), now).map(|growth| growth.as_secs()));
            }
            grown
        };
        let late = |second: u64| if second.is_multiple_of(3) { 600 } else { 1 };
        assert_eq!(spans(&late, 33), [0, 0, 0], "the least of each span counts");
        assert_eq!(spans(&|second| 1 + second, 33), [0, 11, 22]);
        assert_eq!(spans(&|_| 1, 11), [0], "and it can catch up");
    }

    #[test]
    fn a_lag_that_grows_is_one_alarm_and_a_replayed_day_is_none() {
        for (age, alarms) in [(S(0), 1), (S(10 * 365 * 86_400), 0)] {
            let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
            metrics::with_local_recorder(&recorder, || {
                let mut lag = Lag::new(Feed::Alpaca, Stream::Quotes);
                let start = S(1_700_000_000);
                for second in 0..120 {
                    let feed_time = start - age + S(second) / 2; // read half as fast as it comes
                    lag.note(i64::try_from(feed_time.as_nanos()).unwrap(), start + S(second));
                }
            });
            let line = format!(r#"producer_feed_lag_alarms_total{{feed="alpaca",stream="quotes"}} {alarms}"#);
            let rendered = recorder.handle().render();
            assert!(rendered.contains(&line), "{line} is not in\n{rendered}");
        }
    }
}
