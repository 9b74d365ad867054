//! No answer is older than the last bar that was committed before the request began.

use std::cell::Cell;
use std::rc::Rc;

use crate::common::{Stored, api, database, get, on, store};

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
