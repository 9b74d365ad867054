//! The generator as a function: determinism, rates, and the rules that its messages keep.

use proptest::prelude::*;

use super::*;
use crate::frame::Frame;
use crate::message::{Kind, Quote};
use crate::wire::Encoding;
use crate::wire::text::parse_time;

fn settings(seed: u64, rate: f64) -> Settings {
    Settings {
        seed,
        start_ns: parse_time("2024-06-05T15:00:30Z").unwrap(),
        rate,
        hours: Hours::AroundTheClock,
        symbols: Arc::new(SymbolTable::new(["AAPL", "IBM", "SPY"])),
        quote_share: 0.3,
        late_share: 0.01,
        late_max_ns: 10 * NS_PER_SECOND,
        early_share: 0.0,
        early_max_ns: NS_PER_SECOND,
        correction_share: 0.01,
        history_days: 1,
    }
}

fn market(settings: &Settings) -> Synthetic {
    Synthetic::new(settings.clone(), &History::new(settings))
}

fn batches(settings: &Settings, count: usize) -> Vec<Batch> {
    let mut market = market(settings);
    std::iter::from_fn(|| market.next_batch()).take(count).collect()
}

/// The messages of the first `seconds` of stream time.
fn messages_of(settings: &Settings, seconds: i64) -> Vec<Message> {
    let mut market = market(settings);
    let end_ns = settings.start_ns + seconds * NS_PER_SECOND;
    std::iter::from_fn(|| market.next_batch().filter(|batch| batch.due_ns < end_ns))
        .flat_map(|batch| batch.messages)
        .collect()
}

#[test]
fn batches_are_in_time_order_bounded_and_mixed() {
    let batches = batches(&settings(1, 20_000.0), 20_000);
    assert!(batches.windows(2).all(|pair| pair[0].due_ns <= pair[1].due_ns));
    assert!(batches.iter().all(|batch| (1..=BATCH_MESSAGES_MAX).contains(&batch.messages.len())));
    let mixed = |batch: &Batch| batch.messages.iter().any(|message| message.kind() != batch.messages[0].kind());
    assert!(batches.iter().filter(|batch| mixed(batch)).count() > 100, "many frames hold several types");
}

#[test]
fn the_rate_is_the_rate() {
    for rate in [50.0, 2_000.0] {
        let messages = messages_of(&settings(3, rate), 100);
        let arrivals = messages.iter().filter(|m| matches!(m.kind(), Kind::Trade | Kind::Quote)).count();
        let expected = rate * 100.0;
        assert!((arrivals as f64 / expected - 1.0).abs() < 0.06, "{arrivals} instead of {expected}");
    }
}

#[test]
fn everything_that_a_market_says_is_said() {
    let messages = messages_of(&settings(5, 300.0), 600);
    for kind in Kind::ALL {
        let seen = messages.iter().any(|message| message.kind() == kind);
        assert!(seen || kind == Kind::Status, "no {kind:?} in ten minutes");
    }
}

#[test]
fn a_candle_moves_within_seconds_at_the_demo_rate() {
    let messages = messages_of(&settings(1, 100.0), 10);
    let prices: std::collections::BTreeSet<i64> =
        messages.iter().filter_map(|m| if let Message::Trade(trade) = m { Some(trade.price) } else { None }).collect();
    assert!(prices.len() > 30, "{} prices in ten seconds", prices.len());
}

#[test]
fn corrections_and_cancellations_name_trades_that_were_sent() {
    let messages = messages_of(&settings(9, 500.0), 300);
    let trades: std::collections::HashSet<(SymbolId, u8, u64, i64)> = messages
        .iter()
        .filter_map(|m| if let Message::Trade(t) = m { Some((t.symbol, t.exchange, t.id, t.ts_ns)) } else { None })
        .collect();
    let mut seen = 0;
    for message in &messages {
        let key = match message {
            Message::Correction(c) => (c.symbol, c.exchange, c.original.id, c.ts_ns),
            Message::Cancel(Cancel { trade, .. }) => (trade.symbol, trade.exchange, trade.id, trade.ts_ns),
            _ => continue,
        };
        seen += 1;
        assert!(trades.contains(&key), "{message:?} names no trade");
    }
    assert!(seen > 100);
}

#[test]
fn trades_are_unique_by_symbol_exchange_id_and_time() {
    let messages = messages_of(&settings(2, 2_000.0), 60);
    let mut keys = std::collections::HashSet::new();
    for message in messages {
        if let Message::Trade(trade) = message {
            assert!(keys.insert((trade.symbol, trade.exchange, trade.id, trade.ts_ns)));
        }
    }
}

#[test]
fn market_hours_are_silent_at_night_and_louder_at_the_open() {
    let mut settings = settings(4, 200.0);
    settings.hours = Hours::Market;
    settings.start_ns = parse_time("2024-06-01T12:00:00Z").unwrap(); // a Saturday
    let mut market = market(&settings);
    let first = market.next_batch().unwrap();
    let monday = Day::of(parse_time("2024-06-03T12:00:00Z").unwrap());
    let session = monday.session.unwrap();
    assert!((session.pre..session.pre + 60 * NS_PER_SECOND).contains(&first.due_ns));
    let activity = |place: i64| Hours::Market.activity(&monday, session.open + place * NS_PER_MINUTE);
    assert!(activity(0) > 1.9 && activity(195) < 0.6 && activity(389) > 1.9);
    let mean = (0..390).map(activity).sum::<f64>() / 390.0;
    assert!((mean - 1.0).abs() < 0.01, "{mean}");
}

#[test]
fn quotes_are_never_crossed() {
    for message in messages_of(&settings(8, 1_000.0), 30) {
        if let Message::Quote(Quote { bid, ask, .. }) = message {
            assert!(0 < bid && bid < ask);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_same_seed_gives_the_same_bytes(seed: u64, rate in 1_u32..200_000) {
        let settings = settings(seed, f64::from(rate));
        let bytes = || -> Vec<_> {
            let frames = batches(&settings, 60).into_iter().map(|batch| Frame::new(batch.messages));
            frames.map(|frame| (frame.bytes(Encoding::Json, &settings.symbols), frame.bytes(Encoding::Msgpack, &settings.symbols))).collect()
        };
        prop_assert_eq!(bytes(), bytes());
        let mut other = settings.clone();
        other.seed ^= 1;
        prop_assert_ne!(batches(&settings, 20), batches(&other, 20));
    }
}
