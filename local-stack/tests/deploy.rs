//! What `deploy/` holds agrees with the code and with the handbook. (No cluster is needed for that.)

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failing test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use local_stack::path::project;
use service::reference;

fn read(name: &str) -> String {
    std::fs::read_to_string(project().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All Rust files below `folder`.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn code() -> String {
    let mut files = Vec::new();
    for name in ["service", "sink", "producer", "bars-api", "realtime-gateway", "consumer-trades", "consumer-bars"] {
        sources(&project().join(name).join("src"), &mut files);
    }
    files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn every_alert_has_a_chapter_and_asks_for_metrics_that_exist() {
    let (rules, page, code) = (read("deploy/prometheus/alerts.yml"), read("docs/operations/alerts.md"), code());
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 9, "{alerts:?}");
    for alert in &alerts {
        assert!(page.contains(&format!("\n## {alert}\n")), "alerts.md has no chapter {alert}");
        let link = format!("runbook_url: docs/operations/alerts.md#{}\n", alert.to_ascii_lowercase());
        assert!(rules.contains(&link), "{alert} has no link to its chapter");
    }
    let expressions = rules.clone() + &read("deploy/prometheus/recording.yml");
    let expressions = expressions.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: BTreeSet<&str> = expressions.flat_map(|line| line.split(|c| !is_name(c))).collect();
    let ours = ["producer_", "consumer_", "bars_api_", "gateway_"];
    let names: Vec<&&str> = words.iter().filter(|word| ours.iter().any(|prefix| word.starts_with(prefix))).collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        // The sink puts its service's name before its metrics; a histogram has names of its own for its parts.
        let bare =
            ["consumer_trades_", "consumer_bars_"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        let bare = bare.trim_end_matches("_bucket").trim_end_matches("_count");
        assert!(code.contains(&format!("\"{bare}\"")), "no service has the metric {name}");
    }
}

#[test]
fn prometheus_accepts_the_rules_and_they_fire_when_they_should() {
    let folder = project().join("deploy/prometheus");
    for arguments in [&["check", "config", "prometheus.yml"][..], &["test", "rules", "alerts_test.yml"]] {
        let output = Command::new("promtool").args(arguments).current_dir(&folder).output();
        let Ok(output) = output else {
            assert!(std::env::var_os("CI").is_none(), "promtool is missing: run local-stack/scripts/deps.sh --test");
            eprintln!("promtool is not installed: the rules were not tested");
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "promtool {arguments:?}: {text}");
    }
}

#[test]
fn the_manifests_set_variables_that_exist_and_no_secret() {
    let known: BTreeSet<&str> = reference::variables().iter().map(|variable| variable.name).collect();
    let listed = read("deploy/kubernetes/kustomization.yaml");
    let mut set = BTreeSet::new();
    for file in listed.lines().filter_map(|line| line.strip_prefix("  - ")) {
        let text = read(&format!("deploy/kubernetes/{file}"));
        let env = text.lines().filter_map(|line| line.trim().strip_prefix("- { name: ")?.split_once(", value:"));
        let data = text.split_once("\ndata:\n").map_or("", |(_, data)| data).lines();
        let data = data.filter_map(|line| line.strip_prefix("  ")?.split_once(": "));
        set.extend(env.chain(data).map(|(name, _)| name.to_owned()));
        assert!(!text.contains("latest"), "{file}: name a version");
        if text.contains("kind: Deployment") || text.contains("kind: StatefulSet") {
            for part in [
                "readinessProbe",
                "livenessProbe",
                "startupProbe",
                "runAsNonRoot: true",
                "limits:",
                "enableServiceLinks: false",
            ] {
                assert!(text.contains(part), "{file} has no {part}");
            }
        }
    }
    assert!(set.len() > 12, "{set:?}");
    for name in &set {
        let bare = name.strip_suffix("_FILE").unwrap_or(name);
        assert!(known.contains(bare), "no program reads {name}");
        let secret = ["PASSWORD", "SECRET", "_KEY"].iter().any(|word| bare.ends_with(word));
        assert_eq!(secret, name.ends_with("_FILE"), "{name}: secrets, and only secrets, come from files");
    }
}
