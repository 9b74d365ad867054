//! Bars from a real Kafka into a real PostgreSQL: the newest version of each, in whatever order versions come.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use common::support::{DAY_NS, Place, Sender, table_hash};
use common::{Running, TABLE, bar, send, settle};
use market::{Bar, Timeframe};

async fn stored(place: &Place, symbol: &str, minute: i64) -> (i64, bool, f64) {
    let sql = format!(
        "SELECT revision, is_final, close FROM {TABLE} WHERE symbol = $1 AND timeframe = '1Min' AND ts_ns = $2"
    );
    let ts_ns = DAY_NS + minute * 60_000_000_000;
    let row = place.database.connect().await.query_one(&sql, &[&symbol, &ts_ns]).await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_version_wins_in_every_order() {
    let place = Place::for_bars().await;
    place.make_topics().await;
    let consumer = Running::start(&place);
    let sender = Sender::new(&place);
    // (revision, final, close, seq), oldest first.
    let versions = [(0, false, 1.0, 1), (0, false, 2.0, 2), (0, true, 3.0, 3), (1, false, 4.0, 4), (1, true, 5.0, 5)];
    let mut minute = 0;
    for order in orders(versions.len()) {
        for at in &order {
            let (revision, is_final, close, seq) = versions[*at];
            send(&sender, &bar("AAPL", minute, revision, is_final, close), seq);
        }
        minute += 1;
    }
    settle(&place, &sender, "AAPL", minute).await;
    for at in 0..minute {
        assert_eq!(stored(&place, "AAPL", at).await, (1, true, 5.0), "order {at}");
    }
    consumer.stop().await;
    assert_eq!(place.letters().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bar_of_a_second_is_stored_beside_the_minute_that_begins_with_it() {
    let place = Place::for_bars().await;
    place.make_topics().await;
    let consumer = Running::start(&place);
    let sender = Sender::new(&place);
    let minute = bar("AAPL", 0, 0, true, 1.0);
    for (at, close) in [(0, 2.0), (1, 3.0)] {
        let start_ms = minute.start_ms + at * 1_000;
        send(&sender, &Bar { timeframe: Timeframe::SECOND, start_ms, close, ..minute.clone() }, 1 + at.unsigned_abs());
    }
    send(&sender, &minute, 3);
    settle(&place, &sender, "AAPL", 1).await;
    let sql = format!(
        "SELECT timeframe, ts_ns - {DAY_NS}, close, volume FROM {TABLE}
         WHERE symbol = 'AAPL' AND ts_ns < $1 AND timeframe IN ('1Sec', '1Min', '5Min')"
    );
    let rows = place.database.connect().await.query(&sql, &[&(DAY_NS + 60_000_000_000)]).await.unwrap();
    let mut found: Vec<(String, i64, f64, f64)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    found.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.cmp(&other.1)));
    let wanted = [
        ("1Min", 0, 1.0, 100.0),
        ("1Sec", 0, 2.0, 100.0),
        ("1Sec", 1_000_000_000, 3.0, 100.0),
        ("5Min", 0, 1.0, 200.0), // of the two minutes, not of the seconds
    ];
    assert_eq!(found, wanted.map(|(timeframe, ns, close, volume)| (timeframe.to_owned(), ns, close, volume)));
    consumer.stop().await;
    assert_eq!(place.letters().await, []);
}

/// All orders of `count` things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    match count {
        0 => vec![Vec::new()],
        _ => orders(count - 1)
            .into_iter()
            .flat_map(|order| {
                (0..count).map(move |at| {
                    let mut order = order.clone();
                    order.insert(at, count - 1);
                    order
                })
            })
            .collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_grows_with_every_change_and_with_nothing_else() {
    let place = Place::for_bars().await;
    place.make_topics().await;
    let consumer = Running::start(&place);
    let sender = Sender::new(&place);
    settle(&place, &sender, "MSFT", 0).await;
    let version = async |symbol: &str| -> i64 {
        let sql = "SELECT version FROM market_data_oltp.stock_bar_versions WHERE symbol = $1 AND timeframe = '1Min'";
        place.database.connect().await.query_one(sql, &[&symbol]).await.unwrap().get(0)
    };
    let first = version("MSFT").await;

    // The same record once more changes nothing; another symbol's bar shows that it has passed.
    send(&sender, &bar("MSFT", 0, 0, true, 1.0), u64::MAX >> 1);
    settle(&place, &sender, "MSFT", 1).await;
    assert_eq!(version("MSFT").await, first + 1, "only the new bar counts");

    send(&sender, &bar("MSFT", 0, 1, true, 2.0), 1);
    settle(&place, &sender, "MSFT", 2).await;
    assert!(version("MSFT").await > first + 1);
    let latest = "SELECT ts_ns FROM market_data_oltp.stock_bars_latest WHERE symbol = 'MSFT' AND timeframe = '1Min'";
    let newest: i64 = place.database.connect().await.query_one(latest, &[]).await.unwrap().get(0);
    assert_eq!(newest, DAY_NS + 2 * 60_000_000_000);
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_says_how_far_back_changes_went() {
    const MINUTE: i64 = 60_000_000_000;
    let place = Place::for_bars().await;
    place.make_topics().await;
    let consumer = Running::start(&place);
    settle(&place, &Sender::new(&place), "MSFT", 0).await;
    consumer.stop().await;
    let client = place.database.connect().await;
    let known = async || {
        let sql = "SELECT version, CASE WHEN steady_until = version THEN version - steady_since END, changed_from_ns / 60000000000
                   FROM market_data_oltp.stock_bar_versions WHERE symbol = 'MSFT' AND timeframe = '1Min'";
        let row = client.query_one(sql, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, Option<i64>>(1), row.get::<_, i64>(2))
    };
    let changed = async |minute: i64| {
        let sql = "SELECT market_data_oltp.bars_changed('MSFT', '1Min', $1)";
        client.query_one(sql, &[&(minute * MINUTE)]).await.unwrap().get::<_, i64>(0)
    };
    let (first, back, _) = known().await;
    assert_eq!(back, None, "of what was before the first bar nothing is known");

    // How many versions back something is known, and from which minute on they differ.
    for (step, (minute, expected)) in (1..).zip([
        (100, (1, 100)),
        (100, (2, 100)),
        (130, (3, 100)),
        (131, (1, 131)),
        (130, (1, 130)),
        (131, (2, 130)),
    ]) {
        assert_eq!(changed(minute).await, first + step);
        let (version, back, from) = known().await;
        assert_eq!((version, back, from), (first + step, Some(expected.0), expected.1), "step {step}");
    }
    client.execute("UPDATE market_data_oltp.stock_bar_versions SET version = version + 1", &[]).await.unwrap();
    assert_eq!(known().await.1, None, "who only raises the version says nothing");
    changed(131).await;
    assert_eq!(known().await.1, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_records_repeated_three_times_and_shuffled_leave_the_table_as_it_was() {
    let place = Place::for_bars().await;
    place.make_topics().await;
    let consumer = Running::start(&place);
    let sender = Sender::new(&place);
    let version = |number: u32| {
        let minute = i64::from(number / 4);
        let revision = number % 2;
        (bar("IBM", minute, revision, number % 4 > 1, f64::from(1 + number)), u64::from(number))
    };
    for number in 0..2_000 {
        let (bar, seq) = version(number);
        send(&sender, &bar, seq);
    }
    settle(&place, &sender, "IBM", 20_000).await;
    // Minutes and all their roll-ups, without the day of the bars that only mark the end.
    let old = format!("(SELECT * FROM {TABLE} WHERE ts_ns < {})", DAY_NS + 10_000 * 60_000_000_000);
    let before = table_hash(&place.database, &old).await;
    for round in 0..3 {
        for step in 0..2_000 {
            let (bar, seq) = version((step * 1_237 + round * 911) % 2_000);
            send(&sender, &bar, seq);
        }
    }
    settle(&place, &sender, "IBM", 20_001).await;
    assert_eq!(table_hash(&place.database, &old).await, before);
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_bars_become_dead_letters_and_the_rest_is_stored() {
    let place = Place::for_bars().await;
    place.make_topics().await;
    let consumer = Running::start(&place);
    let sender = Sender::new(&place);
    sender.send("SPY", b"{}");
    sender.send("SPY", br#"{"symbol":"SPY","timeframe":"1Min","open":1,"high":1,"low":1,"close":1,"volume":1,"timestamp":61000,"source":"alpaca"}"#);
    settle(&place, &sender, "SPY", 0).await;
    let letters = place.letters().await;
    assert_eq!(letters.len(), 2, "{letters:#?}");
    assert!(letters.iter().all(|letter| letter.service == "consumer-bars" && letter.key.as_deref() == Some("SPY")));
    consumer.stop().await;
}
