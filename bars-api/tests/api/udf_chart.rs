//! What TradingView's charting library asks of a UDF server, in its order: configuration, symbol, the newest bars by count, further back
//! until it is told that there are none, and then every few seconds the newest again.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::common::{OPEN_MS, Stored, api, database, get, on, store};

const DAY: i64 = 24 * 60;

/// Seconds and close of every bar of an answer; it has as many of each column.
fn bars(answer: &Value) -> Vec<(i64, f64)> {
    let column = |name: &str| answer[name].as_array().unwrap_or_else(|| panic!("no {name} in {answer}")).clone();
    let (times, closes) = (column("t"), column("c"));
    for name in ["o", "h", "l", "v"] {
        assert_eq!(column(name).len(), times.len(), "{name}");
    }
    times.iter().zip(closes).map(|(time, close)| (time.as_i64().unwrap(), close.as_f64().unwrap())).collect()
}

#[actix_web::test]
async fn a_chart_that_scrolls_back_and_then_follows_has_every_bar_once() {
    let (database, mut client) = database().await;
    // Three days, a weekend in between, and a hole in the last one.
    let minutes = [-3 * DAY, -2 * DAY, 0]
        .iter()
        .flat_map(|day| (0..40).filter(|at| !(10..15).contains(at)).map(move |at| day + at));
    let stored: Vec<Stored> = minutes.map(|at| Stored::minute("AAPL", at)).collect();
    store(&mut client, &stored).await;
    let api = api(on(&database)).await;

    let config = get(&api, "/udf/config").await.json();
    assert_eq!(config["supports_time"], true);
    let resolutions: Vec<&str> =
        config["supported_resolutions"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    let symbol = get(&api, "/udf/symbols?symbol=AAPL").await.json();
    assert_eq!((&symbol["timezone"], &symbol["has_intraday"]), (&"America/New_York".into(), &true.into()));
    assert!(get(&api, "/udf/time").await.body.iter().all(u8::is_ascii_digit));

    for resolution in ["1", "5", "60", "1D"] {
        assert!(resolutions.contains(&resolution));
        let ask = |from: i64, to: i64, count: i64| {
            format!("/udf/history?symbol=AAPL&resolution={resolution}&from={from}&to={to}&countback={count}")
        };
        let (mut chart, mut to) = (BTreeMap::new(), OPEN_MS / 1000 + 3_600);
        let mut requests = 0;
        loop {
            // The library asks for as many bars as its window holds; `from` is its guess of where they begin.
            let answer = get(&api, &ask(to - 1_800, to, 30)).await.json();
            requests += 1;
            if answer["s"] == "no_data" {
                assert!(answer.get("nextTime").is_none(), "by count nothing is left out: {answer}");
                break;
            }
            assert_eq!(answer["s"], "ok");
            let bars = bars(&answer);
            assert!(bars.len() <= 30 && bars.is_sorted_by(|one, next| one.0 < next.0), "{answer}");
            to = bars[0].0;
            for (time, close) in bars {
                assert!(chart.insert(time, close).is_none(), "{time} came twice");
            }
        }
        let whole = get(&api, &ask(0, OPEN_MS / 1000 + 3_600, 10_000)).await.json();
        assert_eq!(chart.into_iter().collect::<Vec<_>>(), bars(&whole), "{resolution}");
        assert!(requests >= 2);
        if resolution == "1" {
            assert_eq!(bars(&whole).len(), stored.len());
        }
    }

    // Without a count the library jumps over a hole by what `nextTime` says.
    let hole = (OPEN_MS / 1000 - 86_400, OPEN_MS / 1000 - 80_000);
    let answer =
        get(&api, &format!("/udf/history?symbol=AAPL&resolution=1&from={}&to={}", hole.0, hole.1)).await.json();
    assert_eq!((&answer["s"], answer["nextTime"].as_i64().unwrap() < hole.0), (&"no_data".into(), true));

    // The pulse: the last two bars again and again; the newest is updated, a new one is added.
    let newest = OPEN_MS / 1000 + 39 * 60;
    let pulse = format!("/udf/history?symbol=AAPL&resolution=1&from={}&to={}&countback=2", newest - 60, newest + 3_600);
    assert_eq!(bars(&get(&api, &pulse).await.json()), [(newest - 60, 138.5), (newest, 139.5)]);
    store(
        &mut client,
        &[Stored { price: 500.0, revision: 1, ..Stored::minute("AAPL", 39) }, Stored::minute("AAPL", 40)],
    )
    .await;
    assert_eq!(bars(&get(&api, &pulse).await.json()), [(newest, 500.5), (newest + 60, 140.5)]);
}
