//! How fast frames become records, beside two peers in the same run: `serde_json::Value`, and a plain enum with serde's derive.
//!
//! `cargo bench -p producer --bench decode` prints the median and the best of many short runs for each; runs are shorter than a
//! scheduler's time slice, so that other work on the machine spoils few of them. The peers read less strictly than the
//! decoder does: the enum loses a whole frame to one bad element, and neither checks a limit or reads a time.
//!
//! Instructions for each trade, which do not depend on the machine's mood:
//! `valgrind --tool=callgrind --toggle-collect='*once*' target/release/deps/decode-… --only 'alpaca json, 1 a frame' --runs 1`,
//! then divide by twice the trades of one run (the first run warms up).

use std::hint::black_box;
use std::time::{Duration, Instant};

use market::{Position, wire};
use producer::feeds::alpaca::Encoding;
use producer::feeds::alpaca::element::Element;
use producer::feeds::alpaca::frame::decode_frame;
use producer::feeds::event::Event;
use producer::feeds::protocol::Frame;
use serde::Deserialize;

/// Decodes all frames once; gives the number of trades.
type Run<'a> = Box<dyn Fn() -> usize + 'a>;

/// Trades in all frames of one run.
const TRADES: usize = 4_096;
/// Runs, unless `--runs` says otherwise.
const RUNS: usize = 301;

fn main() {
    let argument = |name: &str| std::env::args().skip_while(|arg| arg != name).nth(1);
    let only = argument("--only");
    let runs = argument("--runs").map_or(RUNS, |runs| runs.parse().expect("--runs takes a number"));
    println!("{TRADES} trades a run, {runs} runs\n");
    println!("{:<36} {:>12} {:>12} {:>12}", "", "median/s", "median ns", "best ns");
    for per_frame in [1, 4, 64] {
        let frames = frames(per_frame);
        let packed: Vec<Vec<u8>> = frames.iter().map(|frame| pack(frame)).collect();
        let rows: [(&str, Run<'_>); 5] = [
            ("alpaca json", Box::new(|| once(&frames, |frame| decode_with(Frame::Text(frame), Encoding::Json)))),
            ("alpaca json and encode", Box::new(|| once(&frames, |frame| decode_and_encode(frame)))),
            (
                "alpaca msgpack",
                Box::new(|| once(&packed, |frame| decode_with(Frame::Binary(frame), Encoding::Msgpack))),
            ),
            ("peer: serde_json::Value", Box::new(|| once(&frames, |frame| peer_value(frame)))),
            ("peer: derived enum", Box::new(|| once(&frames, |frame| peer_enum(frame)))),
        ];
        for (name, run) in rows {
            let name = format!("{name}, {per_frame} a frame");
            if only.as_ref().is_none_or(|only| *only == name) {
                let (median, best) = measure(&run, runs);
                println!("{name:<36} {:>12.0} {median:>12.0} {best:>12.0}", 1e9 / median);
            }
        }
    }
}

/// Nanoseconds a trade: the median of all runs, and the best.
fn measure(run: &Run<'_>, runs: usize) -> (f64, f64) {
    run(); // warm
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(run(), TRADES, "every trade is decoded");
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let ns = |time: Duration| time.as_secs_f64() * 1e9 / TRADES as f64;
    (ns(times[runs / 2]), ns(times[0]))
}

#[inline(never)]
fn once<F>(frames: &[F], decode: impl Fn(&F) -> usize) -> usize {
    frames.iter().map(decode).sum()
}

fn decode_with(frame: Frame<'_>, encoding: Encoding) -> usize {
    let mut trades = 0;
    decode_frame(frame, encoding, &mut |element| {
        trades += usize::from(matches!(black_box(&element), Element::Event(Event::Trade(_))));
    });
    trades
}

fn decode_and_encode(frame: &str) -> usize {
    let (mut trades, mut out) = (0, Vec::with_capacity(512));
    decode_frame(Frame::Text(frame), Encoding::Json, &mut |element| {
        if let Element::Event(Event::Trade(trade)) = element {
            out.clear();
            wire::encode_trade(&trade, Position { epoch: 1_763_700_000_000, seq: 1 }, &mut out);
            black_box(&out);
            trades += 1;
        }
    });
    trades
}

fn peer_value(frame: &str) -> usize {
    let elements: Vec<serde_json::Value> = serde_json::from_str(frame).expect("valid");
    black_box(&elements).len()
}

#[derive(Deserialize)]
#[serde(tag = "T")]
#[expect(dead_code, reason = "a peer reads fields that nobody uses")]
enum PeerMessage {
    #[serde(rename = "t")]
    Trade {
        #[serde(rename = "S")]
        symbol: String,
        i: u64,
        x: String,
        p: f64,
        s: f64,
        c: Vec<String>,
        t: String,
        z: String,
    },
}

fn peer_enum(frame: &str) -> usize {
    let elements: Vec<PeerMessage> = serde_json::from_str(frame).expect("valid");
    black_box(&elements).len()
}

/// Trades as the feed writes them, with prices, sizes, ids and conditions that vary.
fn frames(per_frame: usize) -> Vec<String> {
    let symbols = ["AAPL", "MSFT", "GOOGL", "SPY", "BRK.B", "NVDA"];
    let conditions = [r#"["@"]"#, r#"["@","I"]"#, r#"["@","F","T","I"]"#, r#"[" "]"#];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut trade = move |at: usize| {
        format!(
            r#"{{"T":"t","S":"{}","i":{},"x":"{}","p":{}.{},"s":{},"c":{},"z":"C","t":"2024-06-03T14:{:02}:{:02}.{:09}Z"}}"#,
            symbols[at % symbols.len()],
            52_983_525_000_000 + random(1 << 30),
            ["K", "Q", "V", "D"][at % 4],
            100 + random(400),
            random(10_000),
            1 + random(500),
            conditions[at % conditions.len()],
            at / 60 % 60,
            at % 60,
            random(1_000_000_000),
        )
    };
    let all: Vec<String> = (0..TRADES).map(&mut trade).collect();
    all.chunks(per_frame).map(|chunk| format!("[{}]", chunk.join(","))).collect()
}

/// The same frame packed; its times stay text, which the decoder takes too.
fn pack(frame: &str) -> Vec<u8> {
    let value: serde_json::Value = serde_json::from_str(frame).expect("valid");
    rmp_serde::to_vec_named(&value).expect("encodes")
}
