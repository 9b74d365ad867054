//! Every program answers `--help` and `--version`, rejects what it does not know with exit code 64, and starts nothing by it.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failing test")]

use std::path::PathBuf;
use std::process::{Command, Output};

use local_stack::path::project;
use local_stack::service::binary;
use service::reference;

/// Programs that read `.env.example`.
const SERVICES: [&str; 5] = ["producer", "consumer-trades", "consumer-bars", "bars-api", "realtime-gateway"];
const TOOLS: [&str; 3] = ["feed-simulator", "local-stack", "bench"];

fn program(name: &str) -> PathBuf {
    binary(name).unwrap()
}

/// Runs a program in an empty folder and an empty environment.
fn run(name: &str, arguments: &[&str], files: &[(&str, &str)], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in files {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let mut command = Command::new(program(name));
    command.args(arguments).env_clear().envs(env.iter().copied()).current_dir(folder.path());
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat())
}

#[test]
fn every_program_answers_help_and_version_and_rejects_what_it_does_not_know() {
    for name in SERVICES.iter().chain(&TOOLS) {
        for (argument, code, part) in [
            ("--help", 0, "Usage:"),
            ("--version", 0, env!("CARGO_PKG_VERSION")),
            ("--bogus", 64, "--bogus"),
            ("stray", 64, "stray"),
        ] {
            let (found, text) = run(name, &[argument], &[], &[]);
            assert_eq!(found, Some(code), "{name} {argument}: {text}");
            assert!(text.contains(part), "{name} {argument}: {text}");
        }
    }
}

#[test]
fn the_page_of_settings_is_the_example() {
    let path = project().join("docs/operations/settings.md");
    let page = page();
    if std::env::var_os("TAPELINE_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "docs/operations/settings.md is out of date: run this test with TAPELINE_WRITE_DOCS=1");
}

/// The reference page.
fn page() -> String {
    let mut page = "# Settings\n\n<!-- Written by the test `command_lines` from .env.example: do not edit. -->\n\n\
        Every setting is an environment variable, or a line of a file `.env` in the working folder or above it. The environment wins. Values\n\
        in `.env` are literal: nothing is substituted, and a `$` stays a `$`. Put a value that begins or ends with a blank, or contains ` #`,\n\
        between single quotes. A secret `NAME` can be given as `NAME_FILE`, the path of a file that holds it. `--help` of a program lists the\n\
        variables that it reads.\n"
        .to_owned();
    let mut section = "";
    for reference::Variable { section: own, name, default, meaning } in reference::variables() {
        if own != section {
            section = own;
            page += &format!("\n## {section}\n\n| variable | default | meaning |\n| --- | --- | --- |\n");
        }
        let default = if default.is_empty() { "–".to_owned() } else { format!("`{default}`") };
        page += &format!("| `{name}` | {default} | {} |\n", meaning.replace('|', "\\|"));
    }
    page
}

#[test]
fn wrong_settings_are_reported_together_without_secrets() {
    let dot_env = "ALPACA_API_KEY=key\nALPACA_API_SECRET=swordfish $blue 17\nALPACA_CHANELS=trades\n";
    let wrong = [
        ("ALPACA_CHANNELS", "trades,foo"),
        ("KAFKA_BOOTSTRAP_SERVERS", "http://kafka:9092"),
        ("ALPACA_DATA_REST_URL", "foo"),
    ];
    let (code, text) = run("producer", &[], &[(".env", dot_env)], &wrong);
    assert_eq!(code, Some(64), "{text}");
    for part in [
        "ALPACA_CHANNELS: `foo`: unknown",
        "KAFKA_BOOTSTRAP_SERVERS: `http://kafka:9092`: `http://kafka:9092` contains a scheme",
        "ALPACA_DATA_REST_URL: `foo`: ",
        "unknown variable ALPACA_CHANELS in ",
        "line 3: did you mean ALPACA_CHANNELS?",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains("swordfish"), "{text}");
    let (code, text) = run("bars-api", &[], &[(".env", "REDIS_PASSWORD='swordfish\nFEED=alpaca\n")], &[]);
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains(".env, line 1: REDIS_PASSWORD: ") && !text.contains("swordfish"), "{text}");
    let (code, text) = run("bars-api", &[], &[], &[("FEED", "alpca")]);
    assert!(code == Some(64) && text.contains("FEED: `alpca`: unknown, did you mean alpaca?"), "{text}");
}

/// Variables that compose leaves at their defaults: its servers speak plainly inside its own network, and its services listen on every
/// address of their containers.
fn is_fixed_by_compose(name: &str) -> bool {
    ["KAFKA_SASL_", "KAFKA_SECURITY_", "KAFKA_SSL_", "REDIS_TLS", "REDIS_USER", "POSTGRES_SSL"]
        .iter()
        .any(|part| name.starts_with(part))
        || ["PRODUCER_HOST", "CONSUMER_TRADES_HOST", "CONSUMER_BARS_HOST", "API_HOST", "GATEWAY_HOST"].contains(&name)
}

#[test]
fn compose_passes_every_variable_that_a_service_reads() {
    let compose = std::fs::read_to_string(project().join("docker-compose.yml")).unwrap();
    let mut missing = Vec::new();
    for name in SERVICES {
        let body = compose.split(&format!("\n  {name}:\n")).nth(1).unwrap();
        let lines: Vec<&str> = body.lines().take_while(|line| line.is_empty() || line.starts_with("    ")).collect();
        let (_, help) = run(name, &["--help"], &[], &[]);
        let variables = help.lines().filter_map(|line| line.strip_prefix("  ")?.split([' ', '[']).next());
        let variables = variables.filter(|word| {
            word.len() > 3 && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        });
        let mut read = 0;
        for variable in variables {
            read += 1;
            let passed = lines.iter().any(|line| line.trim_start().starts_with(&format!("{variable}:")));
            if !passed && !is_fixed_by_compose(variable) {
                missing.push(format!("{name}: {variable}"));
            }
        }
        assert!(read > 10, "the help of {name} was not understood");
    }
    assert!(missing.is_empty(), "docker-compose.yml does not pass these on: {missing:#?}");
}
