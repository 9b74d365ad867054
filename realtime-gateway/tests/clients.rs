//! The real JavaScript clients against the real gateway and a real Redis. Needs Node, npm and redis-server.

use std::path::Path;
use std::process::Command;

/// Runs every `tests/js/*.test.mjs` (those whose name holds `TEST_ONLY`, where that is set).
#[test]
fn the_javascript_clients_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/js");
    let locked = std::fs::read(folder.join("package-lock.json")).expect("the lock file is there");
    let stamp = folder.join("node_modules/.installed");
    if std::fs::read(&stamp).ok().as_ref() != Some(&locked) {
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder), "npm ci");
        std::fs::write(&stamp, &locked).expect("node_modules can be written");
    }
    let only = std::env::var("TEST_ONLY").unwrap_or_default();
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".test.mjs") && name.contains(&only))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no test file has `{only}` in its name");
    let mut node = Command::new("node");
    node.args(["--test", "--test-concurrency=1"]).args(time_limit()).args(files).current_dir(&folder);
    run(node.env("GATEWAY_BIN", env!("CARGO_BIN_EXE_realtime-gateway")), "node --test");
}

/// Ends a test that hangs; a Node before 20.11 has no such option.
fn time_limit() -> Option<&'static str> {
    let option = "--test-timeout=120000";
    let known = Command::new("node").args([option, "--version"]).output().is_ok_and(|output| output.status.success());
    known.then_some(option)
}

fn run(command: &mut Command, what: &str) {
    let status = command.status().unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
    assert!(status.success(), "{what} failed: {status}");
}
