//! No answer is older than the last bar that was committed before the request began.

use std::cell::Cell;
use std::rc::Rc;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::common::{Stored, api, database, get, on, store, with};

/// How many transactions the writer commits while readers ask.
const COMMITS: i64 = 300;
const SYMBOLS: [&str; 3] = ["AAPL", "MSFT", "SPY"];

/// Each symbol has one old bar that is corrected again and again and a series that grows; readers ask for both while writers commit.
/// The newest committed numbers are noted after each commit, so a reader that notes them before its request must see them or later ones.
#[actix_web::test]
async fn every_answer_holds_all_that_was_committed_before_it_was_asked_for() {
    let (database, mut client) = database().await;
    for symbol in SYMBOLS {
        store(&mut client, &[Stored::minute(symbol, 0), Stored::minute(symbol, 1)]).await;
    }
    let api = Rc::new(api(on(&database)).await);
    let committed: Rc<[Cell<i64>; 3]> = Rc::default();
    let done: Rc<Cell<bool>> = Rc::default();

    let writer = actix_web::rt::spawn({
        let (committed, done) = (Rc::clone(&committed), Rc::clone(&done));
        async move {
            for round in 0..COMMITS {
                let which = usize::try_from(round % 3).unwrap();
                let number = committed[which].get() + 1;
                let corrected =
                    Stored { price: 1000.0 + number as f64, revision: number, ..Stored::minute(SYMBOLS[which], 0) };
                let newest = Stored::minute(SYMBOLS[which], number + 1);
                store(&mut client, &[corrected, newest]).await;
                committed[which].set(number);
            }
            done.set(true);
        }
    });
    let readers: Vec<_> = (0..8_usize)
        .map(|reader| {
            let (api, committed, done) = (Rc::clone(&api), Rc::clone(&committed), Rc::clone(&done));
            actix_web::rt::spawn(async move {
                let mut answers = 0_u64;
                while !done.get() {
                    let which = (reader + usize::try_from(answers).unwrap()) % 3;
                    let symbol = SYMBOLS[which];
                    let known = committed[which].get();
                    match reader % 3 {
                        0 => {
                            let reply = get(&*api, &format!("/bars/{symbol}?limit=1")).await;
                            assert!(reply.minutes()[0] > known, "{symbol}: newest bar is older than {known}");
                        }
                        1 => {
                            let path = format!("/bars/{symbol}/range?start=2024-06-03&end=2024-06-03T13:31:00Z");
                            let json = get(&*api, &path).await.json();
                            let revision = json["bars"][0]["revision"].as_i64().unwrap();
                            assert!(revision >= known, "{symbol}: correction {revision} is older than {known}");
                        }
                        _ => {
                            let before: Vec<i64> = committed.iter().map(Cell::get).collect();
                            let json = get(&*api, "/bars/latest").await.json();
                            for (symbol, known) in SYMBOLS.iter().zip(before) {
                                let newest = json["bars"][symbol]["open"].as_f64().unwrap() - 100.0;
                                assert!(
                                    known == 0 || newest > known as f64,
                                    "{symbol}: {newest} is older than {known}"
                                );
                            }
                        }
                    }
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    writer.await.unwrap();
    let mut answers = 0;
    for reader in readers {
        answers += reader.await.unwrap();
    }
    assert!(answers > COMMITS.unsigned_abs(), "only {answers} answers against {COMMITS} commits prove little");
    let metrics = String::from_utf8(get(&*api, "/metrics").await.body).unwrap();
    assert!(metrics.contains("bars_api_answers_total{from=\"memory\"}"), "nothing was ever remembered");
}

/// Of two servers on one database one remembers and one does not; whatever happens to the bars, both answer the same.
#[actix_web::test]
async fn a_server_that_remembers_says_what_one_says_that_does_not() {
    const SYMBOL: &str = "AAPL";
    let (database, mut client) = database().await;
    let remembering = api(on(&database)).await;
    let forgetful = api(with(&database, &[("API_REMEMBERED_MAX_MB", "0")])).await;
    let mut random = StdRng::seed_from_u64(20_261_121);
    let mut end = 40;
    let first: Vec<Stored> = (0..end).map(|at| Stored::minute(SYMBOL, at)).collect();
    store(&mut client, &first).await;
    for round in 0..300 {
        let revised =
            |at: i64| Stored { revision: round + 1, price: 200.0 + round as f64, ..Stored::minute(SYMBOL, at) };
        match random.random_range(0..10) {
            0..5 => store(&mut client, &[revised(end - 1)]).await, // the forming minute
            5 | 6 => {
                end += random.random_range(1..3); // the next one, with or without a hole
                store(&mut client, &[Stored::minute(SYMBOL, end - 1)]).await;
            }
            7 => store(&mut client, &[revised(random.random_range(0..end)), revised(end - 1)]).await, // a correction
            8 => {
                // Retention, and a writer who raises the version and says no more.
                let oldest = "DELETE FROM market_data_oltp.stock_bars_staging WHERE (symbol, timeframe, ts_ns) IN (
                    SELECT symbol, timeframe, min(ts_ns) FROM market_data_oltp.stock_bars_staging GROUP BY 1, 2)";
                let raise = "UPDATE market_data_oltp.stock_bar_versions SET version = version + 1";
                client.batch_execute(&format!("BEGIN; {oldest}; {raise}; COMMIT")).await.unwrap();
            }
            _ => {
                // The newest goes, so that an older one than was ever read is needed.
                let newest = format!(
                    "DELETE FROM market_data_oltp.stock_bars_staging WHERE timeframe = '1Min' AND ts_ns = (
                         SELECT max(ts_ns) FROM market_data_oltp.stock_bars_staging WHERE timeframe = '1Min');
                     SELECT market_data_oltp.bars_changed('{SYMBOL}', '1Min', max(ts_ns) + 60000000000)
                     FROM market_data_oltp.stock_bars_staging WHERE timeframe = '1Min'"
                );
                client.batch_execute(&format!("BEGIN; {newest}; COMMIT")).await.unwrap();
            }
        }
        for path in [
            "/bars/AAPL?limit=10",
            "/bars/AAPL?limit=1000",
            "/bars/AAPL/range?start=2024-06-03T13:35:00Z&end=2024-06-03T14:05:00Z",
            "/bars/AAPL/range?start=2024-06-03&end=2024-06-05&limit=15",
            "/bars/AAPL/range?start=2024-06-03T13:40:00Z&end=2024-06-05&limit=7&sort=desc",
            "/bars/AAPL?timeframe=2Min&limit=5",
        ] {
            let (said, expected) = (get(&remembering, path).await, get(&forgetful, path).await);
            assert_eq!(said.json(), expected.json(), "{path}, round {round}");
        }
    }
    let metrics = String::from_utf8(get(&remembering, "/metrics").await.body).unwrap();
    assert!(metrics.contains("bars_api_minutes_total{from=\"memory\"}"), "no minute was ever kept");
}
