//! Every metric that the code names stands in a `metrics.rs`, with a help text, and nothing stands there that no code uses.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Texts between quotes that look like a metric of ours, behind one of `openings`.
fn names(text: &str, openings: &[&str]) -> BTreeSet<String> {
    let starts = openings.iter().flat_map(|opening| text.match_indices(opening).map(|(at, found)| at + found.len()));
    let quoted = starts.filter_map(|at| text[at..].trim_start().strip_prefix('"')?.split('"').next());
    quoted.map(ToOwned::to_owned).collect()
}

fn collect(folder: &Path, listed: &mut BTreeSet<String>, used: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, listed, used);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            listed.extend(names(&text, &["Metric::counter(", "Metric::gauge(", "Metric::histogram("]));
            used.extend(names(&text, &["counter!(", "gauge!(", "histogram!("]));
        }
    }
}

#[test]
fn every_metric_is_listed_with_its_help() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut listed, mut used) = (BTreeSet::new(), BTreeSet::new());
    for service in ["service", "producer", "realtime-gateway", "bars-api", "consumer-trades", "consumer-bars", "sink"] {
        collect(&root.join(service).join("src"), &mut listed, &mut used);
    }
    assert!(used.len() > 50, "the metrics were not found");
    assert_eq!(
        used.difference(&listed).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "add these to the metrics.rs of their crate"
    );
    assert_eq!(listed.difference(&used).collect::<Vec<_>>(), Vec::<&String>::new(), "no code uses these");
}

#[test]
fn counters_end_in_total_and_every_help_is_a_sentence() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for list in ["producer/src/metrics.rs", "realtime-gateway/src/metrics.rs", "bars-api/src/metrics.rs"] {
        let text = fs::read_to_string(root.join(list)).unwrap();
        for name in names(&text, &["Metric::counter("]) {
            assert!(name.ends_with("_total"), "{list}: {name}");
        }
        for name in names(&text, &["Metric::gauge(", "Metric::histogram("]) {
            assert!(!name.ends_with("_total"), "{list}: {name}");
        }
    }
}
