//! `.env.example` names every variable that a service reads, and no other.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Names that are put together from a prefix, which no literal shows,
/// and the one that logging reads.
const COMPOSED: [&str; 8] = [
    "CONSUMER_TRADES_HOST",
    "CONSUMER_BARS_HOST",
    "CONSUMER_TRADES_PORT",
    "CONSUMER_BARS_PORT",
    "CONSUMER_TRADES_GROUP",
    "CONSUMER_BARS_GROUP",
    "RUST_LOG",
    "LOG_FORMAT",
];
/// Values of settings that are written in capitals too.
const VALUES: [&str; 4] = ["PLAIN", "PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL"];
/// The prefixes of those.
const PREFIXES: [&str; 2] = ["CONSUMER_TRADES", "CONSUMER_BARS"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files in which services read their settings.
fn readers() -> Vec<PathBuf> {
    let services = ["producer", "sink", "consumer-trades", "consumer-bars", "bars-api", "realtime-gateway"];
    let configs = services.map(|name| root().join(name).join("src/config.rs"));
    let connectors =
        ["kafka", "kafka_security", "redis", "postgres"].map(|name| root().join(format!("service/src/{name}.rs")));
    let doors = ["access", "client_address", "origin"].map(|name| root().join(format!("service/src/web/{name}.rs")));
    configs.into_iter().chain(connectors).chain(doors).filter(|path| path.exists()).collect()
}

/// Literals in capitals: in these files nothing else is written so.
fn variables_in(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let literals = code.split('"').skip(1).step_by(2);
    let capitals = |word: &&str| {
        word.len() > 3
            && word.starts_with(|first: char| first.is_ascii_uppercase())
            && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    literals
        .filter(capitals)
        .filter(|word| !PREFIXES.contains(word) && !VALUES.contains(word))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_example_and_the_code_name_the_same_variables() {
    let mut read: BTreeSet<String> = COMPOSED.iter().map(|name| (*name).to_owned()).collect();
    for path in readers() {
        read.extend(variables_in(&fs::read_to_string(path).unwrap()));
    }
    let example = fs::read_to_string(root().join(".env.example")).unwrap();
    let named: BTreeSet<String> = example
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.to_owned())
        .collect();
    let missing: Vec<_> = read.difference(&named).collect();
    let unknown: Vec<_> = named.difference(&read).collect();
    assert!(missing.is_empty(), ".env.example does not name {missing:?}");
    assert!(unknown.is_empty(), ".env.example names {unknown:?}, which no service reads");
}
