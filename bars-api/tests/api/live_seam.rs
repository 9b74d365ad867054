//! The seam with nothing played: bars go to a real Redis channel and, by the sink's own code, into PostgreSQL. Whoever asks the API and
//! follows the channel from the answer's position has what the stream said, at any moment, without a hole or a double.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use consumer_bars::{BarRow, config};
use futures_util::StreamExt as _;
use local_stack::testing;
use market::{Bar, Position, Source, Symbol, Timeframe, wire};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use redis::{AsyncCommands as _, AsyncConnectionConfig};
use serde_json::Value;
use service::{CancellationToken, Vars};

use crate::common::{MINUTE_MS, OPEN_MS, api, database, get, on};

const ROUNDS: usize = 500;
const COMMITS: usize = 250;
const EPOCH: i64 = 1_717_400_000_000;
/// How many further records a round follows the stream for.
const FOLLOWED: usize = 5;

/// Minute and cents of one record; its place in the list is its `seq` less one.
type Record = (i64, i64);
/// Newest cents of every minute.
type View = BTreeMap<i64, i64>;

fn encode(seq: usize, (minute, cents): Record, revision: u32) -> Vec<u8> {
    let price = cents as f64 / 100.0;
    let bar = Bar {
        symbol: Symbol::new("AAPL").unwrap(),
        timeframe: Timeframe::MINUTE,
        open: price,
        high: price,
        low: price,
        close: price,
        volume: 100.0,
        trade_count: None,
        vwap: None,
        start_ms: OPEN_MS + minute * MINUTE_MS,
        is_final: true,
        revision,
        source: Source::alpaca(),
    };
    let mut out = Vec::new();
    wire::encode_bar(&bar, Position { epoch: EPOCH, seq: seq as u64 }, &mut out);
    out
}

fn seq(value: &Value) -> usize {
    usize::try_from(value["seq"].as_u64().unwrap()).unwrap()
}

/// Of a bar as the stream and the API have it.
fn record(bar: &Value) -> Record {
    let minute = (bar["timestamp"].as_i64().unwrap() - OPEN_MS) / MINUTE_MS;
    #[expect(clippy::cast_possible_truncation, reason = "prices of this test are small")]
    let cents = (bar["close"].as_f64().unwrap() * 100.0).round() as i64;
    (minute, cents)
}

#[actix_web::test]
async fn history_and_the_live_stream_meet_in_any_round() {
    let (database, _client) = database().await;
    let redis = redis::Client::open(testing::redis().await.url()).unwrap();
    let channel = testing::unique("seam");
    let api = Rc::new(api(on(&database)).await);
    let heard: Rc<RefCell<Vec<Record>>> = Rc::default();
    let done: Rc<Cell<bool>> = Rc::default();

    let mut messages = redis.get_async_pubsub().await.unwrap();
    messages.subscribe(&channel).await.unwrap();
    actix_web::rt::spawn({
        let heard = Rc::clone(&heard);
        async move {
            let mut messages = messages.into_on_message();
            while let Some(message) = messages.next().await {
                let bar: Value = serde_json::from_slice(message.get_payload_bytes()).unwrap();
                assert_eq!(seq(&bar), heard.borrow().len() + 1, "the channel keeps its order");
                heard.borrow_mut().push(record(&bar));
            }
        }
    });

    let truth: Rc<RefCell<Vec<Record>>> = Rc::default();
    let writer = actix_web::rt::spawn({
        let (truth, done) = (Rc::clone(&truth), Rc::clone(&done));
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(60)));
        let mut publisher = redis.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
        let env = database.env();
        let pairs: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let sink = Vars::from_pairs(&pairs).load(config::from_vars).unwrap();
        async move {
            let mut random = StdRng::seed_from_u64(5);
            let (mut newest, mut revisions) = (-1, BTreeMap::<i64, u32>::new());
            for _ in 0..COMMITS {
                let mut batch = Vec::new();
                for _ in 0..random.random_range(1..=4) {
                    let correct = newest > 0 && random.random_range(0..3) == 0;
                    let minute = if correct { newest - random.random_range(0..newest.min(60)) } else { newest + 1 };
                    newest = newest.max(minute);
                    let revision = revisions.entry(minute).and_modify(|one| *one += 1).or_insert(0);
                    truth.borrow_mut().push((minute, random.random_range(100..100_000)));
                    let seq = truth.borrow().len();
                    let bytes = encode(seq, truth.borrow()[seq - 1], *revision);
                    let _: () = publisher.publish(&channel, &bytes).await.unwrap(); // hot: not waiting for what is cold
                    batch.push(bytes);
                }
                let stored = sink::direct::store::<BarRow>(&sink, &batch, &CancellationToken::new()).await;
                assert_eq!(stored.unwrap().unwrap().refused, []);
            }
            done.set(true);
        }
    });

    let rounds: Rc<Cell<usize>> = Rc::default();
    let readers: Vec<_> = (0..4)
        .map(|reader| {
            let (api, heard, done, rounds) = (Rc::clone(&api), Rc::clone(&heard), Rc::clone(&done), Rc::clone(&rounds));
            let path = ["/bars/AAPL?limit=10000", "/bars/AAPL/range?start=2024-06-03&limit=10000"][reader % 2];
            actix_web::rt::spawn(async move {
                while !done.get() || rounds.get() < ROUNDS {
                    // Listening begins here: what was said before can only come from the answer.
                    let joined = heard.borrow().len();
                    let (mut view, as_of) = loop {
                        let reply = get(&*api, path).await;
                        if reply.status != 200 {
                            continue; // no bar was stored yet
                        }
                        let answer = reply.json();
                        let as_of = seq(&answer["as_of"]);
                        if as_of >= joined {
                            let bars = answer["bars"].as_array().unwrap();
                            let view: View = bars.iter().map(record).collect();
                            assert_eq!(view.len(), bars.len(), "a minute is in the answer twice");
                            break (view, as_of);
                        }
                    };
                    while heard.borrow().len() < as_of + FOLLOWED && !(done.get() && heard.borrow().len() >= as_of) {
                        actix_web::rt::time::sleep(Duration::from_millis(1)).await;
                    }
                    let heard = heard.borrow();
                    let followed = &heard[joined..];
                    view.extend(followed[as_of - joined..].iter().copied());
                    let said: View = heard.iter().copied().collect();
                    assert_eq!(view, said, "an answer as of {as_of}, followed from {joined} to {}", heard.len());
                    rounds.set(rounds.get() + 1);
                }
            })
        })
        .collect();
    writer.await.unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(rounds.get() >= ROUNDS);
    assert!(truth.borrow().len() > COMMITS);
}
