//! Longer bars are what their minutes say, in whatever order the minutes and their corrections come.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::support::{DAY_NS, Place, Sender, within};
use common::{Running, TABLE, bar, send, settle};
use market::{Bar, NS_PER_MS, Timeframe};
use tokio_postgres::Client;

/// What a roll-up must be: start in ms, open, high, low, close, volume, trades, final.
type Expected = (i64, f64, f64, f64, f64, f64, i64, bool);

/// Rolls minutes up the plain way.
fn expected(minutes: &BTreeMap<i64, Bar>, timeframe: Timeframe) -> Vec<Expected> {
    let known_until = minutes.keys().max().unwrap() + 60_000;
    let mut buckets: BTreeMap<i64, Vec<&Bar>> = BTreeMap::new();
    for (start_ms, minute) in minutes {
        buckets.entry(timeframe.start_of(*start_ms)).or_default().push(minute);
    }
    let bar = |(start, minutes): (i64, Vec<&Bar>)| {
        let fold = |value: fn(&Bar) -> f64, pick: fn(f64, f64) -> f64| {
            minutes.iter().map(|bar| value(bar)).reduce(pick).unwrap()
        };
        let is_final = minutes.iter().all(|bar| bar.is_final) && timeframe.next_start(start) <= known_until;
        let trades: u64 = minutes.iter().filter_map(|bar| bar.trade_count).sum();
        (
            start,
            minutes[0].open,
            fold(|bar| bar.high, f64::max),
            fold(|bar| bar.low, f64::min),
            minutes[minutes.len() - 1].close,
            fold(|bar| bar.volume, |a, b| a + b),
            i64::try_from(trades).unwrap(),
            is_final,
        )
    };
    buckets.into_iter().map(bar).collect()
}

async fn stored(client: &Client, symbol: &str, timeframe: Timeframe) -> Vec<Expected> {
    let sql = format!(
        "SELECT ts_ns, open, high, low, close, volume, coalesce(trade_count, 0), is_final FROM {TABLE}
         WHERE symbol = $1 AND timeframe = $2 AND rolled AND ts = to_timestamp(ts_ns / 1000000000) ORDER BY ts_ns"
    );
    let rows = client.query(&sql, &[&symbol, &timeframe.to_string()]).await.unwrap();
    let read = |row: &tokio_postgres::Row| {
        let start_ms = row.get::<_, i64>(0) / NS_PER_MS;
        (start_ms, row.get(1), row.get(2), row.get(3), row.get(4), row.get(5), row.get(6), row.get(7))
    };
    rows.iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn roll_ups_equal_their_minutes_in_any_order_and_across_a_clock_change() {
    let place = Place::for_bars().await;
    place.make_topics().await;
    let consumer = Running::start(&place);
    let sender = Sender::new(&place);
    // Saturday to Monday around 2024-11-03, when New York's clocks went back: one day has 25 hours.
    let saturday_ms = 1_730_520_000_000;
    let mut minutes = BTreeMap::new();
    for step in 0..2_998_u32 {
        let at = i64::from((step * 7_919) % 1_499) * 3; // shuffled, with holes, each twice in different versions
        let revision = step % 3;
        let close = f64::from(1 + step % 89);
        let mut bar = Bar { start_ms: saturday_ms + at * 60_000, ..bar("AAPL", 0, revision, true, close) };
        (bar.open, bar.high, bar.low) = (close - 0.5, close + f64::from(step % 7), close - 0.75);
        bar.volume = f64::from(step % 50);
        bar.trade_count = (step % 4 > 0).then_some(u64::from(step % 9));
        send(&sender, &bar, u64::from(step));
        let newest = |stored: &Bar| stored.revision <= bar.revision;
        if minutes.get(&bar.start_ms).is_none_or(newest) {
            minutes.insert(bar.start_ms, bar);
        }
    }
    let last = Bar { start_ms: saturday_ms + 5_000 * 60_000, ..bar("AAPL", 0, 0, true, 5.0) };
    send(&sender, &last, 5_000);
    minutes.insert(last.start_ms, last.clone());
    sender.flush();
    let client = place.database.connect().await;
    common::support::eventually("the last minute", async || {
        let sql = format!("SELECT 1 FROM {TABLE} WHERE timeframe = '1Min' AND ts_ns = $1");
        client.query(&sql, &[&(last.start_ms * NS_PER_MS)]).await.ok().filter(|rows| !rows.is_empty()).map(drop)
    })
    .await;
    for timeframe in ["5Min", "15Min", "1Hour", "1Day"] {
        let timeframe: Timeframe = timeframe.parse().unwrap();
        assert_eq!(stored(&client, "AAPL", timeframe).await, expected(&minutes, timeframe), "{timeframe}");
    }
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_minute_and_a_correction_are_rolled_up_within_two_seconds() {
    let place = Place::for_bars().await;
    place.make_topics().await;
    let consumer = Running::start(&place);
    let sender = Sender::new(&place);
    for minute in (0..60).filter(|minute| *minute != 30) {
        send(&sender, &bar("MSFT", minute, 0, true, 10.0), 1);
    }
    settle(&place, &sender, "MSFT", 100).await;
    let client = place.database.connect().await;
    let day_is = async |volume: f64, high: f64| {
        within(Duration::from_secs(2), "the day's roll-up", async || {
            let sql = format!(
                "SELECT 1 FROM {TABLE} WHERE symbol = 'MSFT' AND timeframe = '1Day' AND volume = $1 AND high = $2"
            );
            client.query(&sql, &[&volume, &high]).await.unwrap().first().map(drop)
        })
        .await;
    };
    day_is(6_000.0, 12.0).await;
    send(&sender, &bar("MSFT", 30, 0, true, 10.0), 2);
    sender.flush();
    day_is(6_100.0, 12.0).await;
    send(&sender, &Bar { high: 99.0, volume: 1_100.0, ..bar("MSFT", 30, 1, true, 10.0) }, 3);
    sender.flush();
    day_is(7_100.0, 99.0).await;

    // A daily bar that the feed sends does not take the place of the one that agrees with its minutes.
    let day: Timeframe = "1Day".parse().unwrap();
    let start_ms = day.start_of(DAY_NS / NS_PER_MS);
    send(&sender, &Bar { timeframe: day, start_ms, volume: 1.0, ..bar("MSFT", 0, 9, true, 10.0) }, 4);
    settle(&place, &sender, "MSFT", 101).await;
    day_is(7_200.0, 99.0).await;
    consumer.stop().await;
}
