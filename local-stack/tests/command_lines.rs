//! Every program answers `--help` and `--version`, rejects what it does not know with exit code 64, and starts nothing by it. Together they
//! read exactly the variables of `.env.example`.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failing test")]

use std::collections::{BTreeMap, BTreeSet};
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

/// Names at the start of the lines of `--help` that are variables.
fn listed(name: &str) -> BTreeSet<String> {
    let (_, text) = run(name, &["--help"], &[], &[]);
    let settings = text.split_once("Settings are environment variables").unwrap().1;
    let lines = settings.lines().filter_map(|line| line.strip_prefix("  "));
    lines
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_programs_read_the_variables_of_the_example_and_the_page_lists_them() {
    let mut readers: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in SERVICES {
        for variable in listed(name) {
            readers.entry(variable).or_default().push(name);
        }
    }
    let named: BTreeSet<String> = reference::variables().into_iter().map(|variable| variable.name.to_owned()).collect();
    assert_eq!(readers.keys().cloned().collect::<BTreeSet<_>>(), named, "left: read by programs; right: .env.example");

    let path = project().join("docs/operations/settings.md");
    let page = page(&readers);
    if std::env::var_os("TAPELINE_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "docs/operations/settings.md is out of date: run this test with TAPELINE_WRITE_DOCS=1");
}

/// The reference page.
fn page(readers: &BTreeMap<String, Vec<&str>>) -> String {
    let mut page = "# Settings\n\n<!-- Written by the test `command_lines` from .env.example and the programs' --help: do not edit. -->\n\n\
        Every setting is an environment variable, or a line of a file `.env` in the working folder or above it. The environment wins. Values\n\
        in `.env` are literal: nothing is substituted, and a `$` stays a `$`. Put a value that begins or ends with a blank, or contains ` #`,\n\
        between single quotes. A secret `NAME` can be given as `NAME_FILE`, the path of a file that holds it.\n"
        .to_owned();
    let mut section = "";
    for reference::Variable { section: own, name, default, meaning } in reference::variables() {
        if own != section {
            section = own;
            page +=
                &format!("\n## {section}\n\n| variable | default | meaning | read by |\n| --- | --- | --- | --- |\n");
        }
        let default = if default.is_empty() { "–".to_owned() } else { format!("`{default}`") };
        page += &format!("| `{name}` | {default} | {} | {} |\n", meaning.replace('|', "\\|"), readers[name].join(", "));
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

#[test]
fn a_container_gets_the_variables_that_its_program_reads_and_no_other() {
    let compose = std::fs::read_to_string(project().join("docker-compose.yml")).unwrap();
    assert!(!compose.contains("env_file"), "a whole .env would carry every secret into every container");
    for name in SERVICES {
        let body = compose.split_once(&format!("\n  {name}:\n")).unwrap().1;
        let environment = body.split_once("    environment:\n").unwrap().1;
        let lines = environment.lines().take_while(|line| line.starts_with("      "));
        let set: BTreeSet<&str> =
            lines.filter_map(|line| line.trim().split_once(": ")).map(|(variable, _)| variable).collect();
        let read = listed(name);
        let unread: Vec<_> =
            set.iter().filter(|variable| !variable.starts_with('#') && !read.contains(**variable)).collect();
        assert!(set.len() > 15 && unread.is_empty(), "{name} does not read {unread:?} (of {} variables)", set.len());
    }
}
