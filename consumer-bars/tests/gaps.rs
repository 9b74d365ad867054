//! Outages of feeds from a real Kafka into a real PostgreSQL: one row each, in its latest version.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use common::support::{DAY_NS, Place, Sender, eventually};
use common::{Running, bar, send, settle};
use market::{Gap, Source};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = DAY_NS / 1_000_000;

/// The three versions of one outage: open, ended, healed.
fn versions(from_minute: i64, to_minute: i64) -> [Gap; 3] {
    let open = Gap::open(&Source::alpaca(), DAY_MS + from_minute * MINUTE_MS, "the feed closed the connection");
    let ended = Gap { to: Some(DAY_MS + to_minute * MINUTE_MS), ..open.clone() };
    let healed = Gap { healed_at: Some(DAY_MS + (to_minute + 2) * MINUTE_MS), ..ended.clone() };
    [open, ended, healed]
}

async fn states(place: &Place) -> Vec<String> {
    let sql = "SELECT concat(to_char(started_at, 'HH24:MI'), ' ', state) FROM market_data_oltp.tapeline_gaps ORDER BY started_at";
    match place.database.connect().await.query(sql, &[]).await {
        Ok(rows) => rows.iter().map(|row| row.get(0)).collect(),
        Err(_) => Vec::new(), // no table yet
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_never_opened_again_nor_unhealed_in_any_order_of_arrival() {
    let place = Place::for_bars().await;
    place.make_topics().await;
    let consumer = Running::start(&place);
    let gaps = Sender::of_gaps(&place);
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    // Once within a batch, once each version by itself: a flush and a row of its own between two of them.
    for (hour, order) in (0..).zip(orders) {
        let versions = versions(hour * 60, hour * 60 + 5);
        order.iter().for_each(|at| gaps.send("*", &versions[*at].encode()));
    }
    for at in 0..3 {
        for (hour, order) in (6..).zip(orders) {
            gaps.send("*", &versions(hour * 60, hour * 60 + 5)[order[at]].encode());
        }
        gaps.send("*", &versions(720 + i64::try_from(at).unwrap(), 721)[0].encode());
        gaps.flush();
        let open = 1 + at;
        eventually("the marker", async || {
            (states(&place).await.iter().filter(|state| state.starts_with("02:0")).count() == open).then_some(())
        })
        .await;
    }
    let states = states(&place).await;
    assert_eq!(states.iter().filter(|state| state.ends_with("healed")).count(), 12, "{states:?}");
    consumer.stop().await;
    assert_eq!(place.letters().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_can_tell_an_outage_from_a_quiet_minute() {
    let place = Place::for_bars().await;
    place.make_topics().await;
    let consumer = Running::start(&place);
    let (sender, gaps) = (Sender::new(&place), Sender::of_gaps(&place));
    for minute in [0, 1, 3, 10, 20] {
        send(&sender, &bar("AAPL", minute, 0, true, 1.0), minute.unsigned_abs() + 1);
    }
    gaps.send("*", &versions(4, 9)[1].encode());
    let healed = Gap { symbol: "AAPL".to_owned(), ..versions(12, 15)[2].clone() };
    gaps.send("AAPL", &healed.encode());
    gaps.send("TSLA", &Gap { symbol: "TSLA".to_owned(), ..versions(16, 17)[1].clone() }.encode());
    gaps.flush();
    settle(&place, &sender, "AAPL", 30).await;
    eventually("the gaps", async || (states(&place).await.len() == 3).then_some(())).await;
    let sql = "SELECT string_agg(concat(to_char(minute, 'MI'), ' ', state), ', ' ORDER BY minute)
               FROM market_data_oltp.tapeline_empty_minutes
               WHERE symbol = 'AAPL' AND minute < to_timestamp($1::float8 / 1000)";
    #[expect(clippy::cast_precision_loss, reason = "milliseconds are far below 2^53")]
    let until = (DAY_MS + 20 * MINUTE_MS) as f64;
    let shown: String = place.database.connect().await.query_one(sql, &[&until]).await.unwrap().get(0);
    assert_eq!(
        shown,
        "02 quiet, 04 outage, 05 outage, 06 outage, 07 outage, 08 outage, 09 quiet, 11 quiet, 12 healed, 13 healed, \
         14 healed, 15 quiet, 16 quiet, 17 quiet, 18 quiet, 19 quiet"
    );
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_gap_is_a_dead_letter_and_the_others_are_stored() {
    let place = Place::for_bars().await;
    place.make_topics().await;
    let consumer = Running::start(&place);
    let gaps = Sender::of_gaps(&place);
    let [open, _, healed] = versions(0, 5);
    let bad = [
        b"{}".to_vec(),
        Gap { to: None, ..healed.clone() }.encode(),
        Gap { symbol: "\u{20ac}".to_owned(), ..open.clone() }.encode(),
        Gap { from: i64::MAX / 1_000, ..open }.encode(),
        Gap { to: Some(i64::MAX), ..healed.clone() }.encode(),
    ];
    bad.iter().for_each(|bad| gaps.send("*", bad));
    gaps.send("*", &healed.encode());
    gaps.flush();
    eventually("dead letters", async || (place.letters().await.len() == bad.len()).then_some(())).await;
    eventually("the good one", async || (states(&place).await == ["14:00 healed"]).then_some(())).await;
    consumer.stop().await;
}
