//! The fuzz target's corpus, as it is and changed at random: what must hold is the fuzz target's own check.
//!
//! Needs no nightly compiler. `TAPELINE_FUZZ_SECONDS` makes it go on for longer; `TAPELINE_FUZZ_SEED` repeats a run.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../fuzz/fuzz_targets/check.rs"]
mod check;

use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/decode");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Bytes that mean something to one of the decoders.
const WORDS: [&[u8]; 14] = [
    b"\"",
    b"[",
    b"{",
    b"}",
    b",",
    b"null",
    b"1e999",
    b"-0",
    b"\\u0000",
    b"\\ud800",
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",
    b"\xd6\xff\x00\x00\x00\x00",
    b"18446744073709551615",
];

/// Changes a frame in one of the ways in which frames break.
fn mutate(random: &mut StdRng, frame: &mut Vec<u8>, other: &[u8]) {
    let at = random.random_range(0..=frame.len());
    match random.random_range(0..6) {
        0 => frame.truncate(at),
        1 => drop(frame.splice(at..at, WORDS[random.random_range(0..WORDS.len())].iter().copied())),
        2 => {
            if let Some(byte) = frame.get_mut(at) {
                *byte = random.random();
            }
        }
        3 => {
            let end = random.random_range(at..=frame.len());
            frame.drain(at..end);
        }
        4 => {
            let end = random.random_range(at..=frame.len());
            let again = frame[at..end].to_vec();
            frame.splice(at..at, again);
        }
        _ => {
            let from = random.random_range(0..=other.len());
            let to = random.random_range(from..=other.len());
            frame.splice(at..at, other[from..to].iter().copied());
        }
    }
    frame.truncate(1 << 14);
}

#[test]
fn the_corpus_and_whatever_it_is_changed_into_breaks_no_decoder() {
    let corpus = corpus();
    assert!(corpus.len() >= 7, "the corpus is there");
    corpus.iter().for_each(|frame| check::decode(frame));
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("TAPELINE_FUZZ_SEED").unwrap_or_else(rand::random);
    let time = Duration::from_secs(number("TAPELINE_FUZZ_SECONDS").unwrap_or(1));
    println!("TAPELINE_FUZZ_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (begin, mut frames) = (Instant::now(), 0_u64);
    while begin.elapsed() < time {
        let mut frame = corpus[random.random_range(0..corpus.len())].clone();
        for _ in 0..random.random_range(1..8) {
            let other = &corpus[random.random_range(0..corpus.len())];
            mutate(&mut random, &mut frame, other);
        }
        let shown = frame.clone();
        if std::panic::catch_unwind(move || check::decode(&frame)).is_err() {
            panic!("seed {seed}, frame {frames}: {:?}", String::from_utf8_lossy(&shown));
        }
        frames += 1;
    }
    println!("{frames} frames");
}
