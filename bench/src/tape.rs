//! Trades to measure with: a recorded day where `TAPELINE_RECORDED_DAYS` (or `../shared/data/us-equity-ticks-2013-10`) has one, else a random walk.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use market::{Conditions, NS_PER_MS, Position, Source, Symbol, Trade, wire};

/// Midnight of 7 October 2013 in New York, Unix milliseconds.
const MIDNIGHT_MS: i64 = 1_381_118_400_000;
const SYMBOLS: [&str; 4] = ["SPY", "BAC", "AIG", "IBM"];

/// `count` trades; where fewer are recorded they repeat on later days, so that each has a key of its own.
pub(crate) fn trades(count: usize) -> Vec<Trade> {
    let mut day = recorded();
    if day.is_empty() {
        println!("  (no recorded days: a made-up tape)");
        day = made_up(500_000);
    }
    day.sort_by_key(|trade| trade.ts_ns);
    let days = (0..).map(|day| day * 86_400_000 * NS_PER_MS);
    days.flat_map(|shift| day.iter().map(move |trade| Trade { ts_ns: trade.ts_ns + shift, ..trade.clone() }))
        .take(count)
        .collect()
}

/// Each trade's symbol and JSON, positions counting as in a live stream.
pub(crate) fn encoded(trades: &[Trade]) -> Vec<(Symbol, Vec<u8>)> {
    let mut seqs = std::collections::HashMap::new();
    let encode = |trade: &Trade| {
        let seq = seqs.entry(trade.symbol).or_insert(0_u64);
        *seq += 1;
        let mut json = Vec::with_capacity(256);
        wire::encode_trade(trade, Position { epoch: 1_763_700_000_000, seq: *seq }, &mut json);
        (trade.symbol, json)
    };
    trades.iter().map(encode).collect()
}

fn recorded() -> Vec<Trade> {
    let folder = std::env::var_os("TAPELINE_RECORDED_DAYS")
        .map_or_else(|| PathBuf::from("../shared/data/us-equity-ticks-2013-10"), PathBuf::from);
    SYMBOLS.iter().flat_map(|symbol| read_day(&folder, symbol).unwrap_or_default()).collect()
}

fn read_day(folder: &Path, symbol: &str) -> Option<Vec<Trade>> {
    let file = folder.join(format!("trades/{}_20131007.zip", symbol.to_lowercase()));
    let mut archive = zip::ZipArchive::new(std::fs::File::open(file).ok()?).ok()?;
    let mut text = String::new();
    archive.by_index(0).ok()?.read_to_string(&mut text).ok()?;
    let name = Symbol::new(symbol).ok()?;
    text.lines().enumerate().map(|(at, line)| read_line(name, at + 1, line)).collect()
}

fn read_line(symbol: Symbol, number: usize, line: &str) -> Option<Trade> {
    let mut fields = line.split(',');
    let ms: f64 = fields.next()?.parse().ok()?;
    let price: f64 = fields.next()?.parse().ok()?;
    let size: f64 = fields.next()?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of one day")]
    let ms = ms as i64;
    Some(trade(symbol, number, MIDNIGHT_MS + ms, price / 10_000.0, size, fields.next()?))
}

fn trade(symbol: Symbol, number: usize, ms: i64, price: f64, size: f64, exchange: &str) -> Trade {
    Trade {
        symbol,
        price,
        size,
        ts_ns: ms * NS_PER_MS,
        trade_id: Some(number.to_string().into()),
        exchange: Some(exchange.into()),
        conditions: Conditions::from_iter(["@".into(), "F".into()]),
        tape: Some("B".into()),
        source: Source::alpaca(),
    }
}

fn made_up(count: usize) -> Vec<Trade> {
    let mut state = 42_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let symbols = SYMBOLS.map(|symbol| Symbol::new(symbol).expect("a valid symbol"));
    let mut cents = [16_800_u64, 1_400, 4_900, 18_300];
    (0..count)
        .map(|at| {
            let which = usize::try_from(random(4)).unwrap_or(0);
            cents[which] = cents[which] + random(3) - u64::from(cents[which] > 2);
            let ms = 34_200_000 + i64::try_from(at * 23_400_000 / count).unwrap_or(0);
            let price = crate::report::number(usize::try_from(cents[which]).unwrap_or(1)) / 100.0;
            let size = crate::report::number(usize::try_from(1 + random(500)).unwrap_or(1));
            trade(symbols[which], at + 1, MIDNIGHT_MS + ms, price, size, "P")
        })
        .collect()
}
