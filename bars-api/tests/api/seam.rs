//! The seam between history and the live stream: an answer is exactly what the stream had said up to `as_of`, so whoever follows the
//! stream from there has each bar once and none missing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::common::{MINUTE_MS, OPEN_MS, Stored, api, database, get, on, store};

const COMMITS: usize = 300;
/// Answers that are checked at least.
const ROUNDS: usize = 1_000;

/// Minute and price of every bar.
type Bars = BTreeMap<i64, i64>;

/// What the stream has said up to and with `seq`.
fn replay(stream: &[(i64, i64)], seq: i64) -> Bars {
    stream[..usize::try_from(seq).unwrap()].iter().copied().collect()
}

#[actix_web::test]
async fn an_answer_is_the_stream_up_to_its_position() {
    let (database, mut client) = database().await;
    store(&mut client, &[Stored { price: 1.0, ..Stored::minute("AAPL", 0) }]).await;
    let api = Rc::new(api(on(&database)).await);
    let stream = Rc::new(RefCell::new(vec![(0_i64, 1_i64)]));
    let done: Rc<Cell<bool>> = Rc::default();

    // The writer appends new bars and corrects recent ones, one to three records in a transaction, as the sink's batches do.
    let writer = actix_web::rt::spawn({
        let (stream, done) = (Rc::clone(&stream), Rc::clone(&done));
        async move {
            let mut random = StdRng::seed_from_u64(11);
            let mut newest = 0;
            for _ in 0..COMMITS {
                let mut batch: Vec<Stored> = Vec::new();
                for _ in 0..random.random_range(1..=3) {
                    let correct = newest > 0 && random.random_range(0..3) == 0;
                    let minute = if correct { newest - random.random_range(0..newest.min(50)) } else { newest + 1 };
                    newest = newest.max(minute);
                    let price = random.random_range(1..1_000_000);
                    stream.borrow_mut().push((minute, price));
                    let seq = i64::try_from(stream.borrow().len()).unwrap();
                    batch.push(Stored { price: price as f64, revision: seq, seq, ..Stored::minute("AAPL", minute) });
                }
                store(&mut client, &batch).await;
            }
            done.set(true);
        }
    });
    let readers: Vec<_> = (0..4)
        .map(|reader| {
            let (api, done) = (Rc::clone(&api), Rc::clone(&done));
            actix_web::rt::spawn(async move {
                let mut answers = Vec::new();
                let path = ["/bars/AAPL?limit=10000", "/bars/AAPL/range?start=2024-06-03&limit=10000"][reader % 2];
                while !done.get() || answers.len() < ROUNDS / 4 {
                    answers.push(get(&*api, path).await.json());
                }
                answers
            })
        })
        .collect();
    writer.await.unwrap();
    let stream = stream.borrow().clone();
    let mut positions = std::collections::BTreeSet::new();
    for reader in readers {
        for answer in reader.await.unwrap() {
            let seq = answer["as_of"]["seq"].as_i64().unwrap();
            positions.insert(seq);
            let minute = |bar: &serde_json::Value| (bar["timestamp"].as_i64().unwrap() - OPEN_MS) / MINUTE_MS;
            let bars = answer["bars"].as_array().unwrap();
            let found: Bars = bars.iter().map(|bar| (minute(bar), bar["open"].as_i64().unwrap())).collect();
            assert_eq!(found, replay(&stream, seq), "the answer as of {seq} is not the stream up to there");
        }
    }
    assert!(positions.len() > 20, "all answers were from the same few moments: {positions:?}");
}
