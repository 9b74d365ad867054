//! The supervisor leaves nothing behind, however it ends.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failing test")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// `local-stack run -- sh -c SCRIPT`, with its servers private to this test.
fn supervisor(script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-stack"));
    command.args(["run", "--", "sh", "-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
    for name in ["KAFKA_BOOTSTRAP_SERVERS", "REDIS_HOST", "POSTGRES_HOST"] {
        command.env_remove(name);
    }
    command
}

/// Every process that descends from `root`, itself included.
fn family(root: u32) -> BTreeSet<u32> {
    let mut pairs = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        pairs.push((pid, stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse::<u32>().unwrap()));
    }
    let mut family = BTreeSet::from([root]);
    loop {
        let before = family.len();
        family.extend(
            pairs.iter().filter(|(_, parent)| family.contains(parent)).map(|(pid, _)| *pid).collect::<Vec<_>>(),
        );
        if family.len() == before {
            return family;
        }
    }
}

/// True while `pid` runs; a zombie that nobody has fetched yet does not.
fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

fn all_gone(family: &BTreeSet<u32>) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left: Vec<String> = family
            .iter()
            .filter(|pid| runs(**pid))
            .map(|pid| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " "))
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still running: {left:#?}");
        std::thread::yield_now();
    }
}

/// Starts it with `script` as its command, and waits until that has printed "up".
fn started(script: &str) -> (Child, BTreeSet<u32>) {
    let mut child = supervisor(script).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    let family = family(child.id());
    // The supervisor, the JVM, redis-server, the postmaster and its helpers, the shell.
    assert!(family.len() >= 8, "{family:?}");
    (child, family)
}

#[test]
fn killed_with_9_it_takes_everything_with_it() {
    // The kernel's signal reaches our own children; what the command started is the command's to end.
    let (mut child, family) = started("trap 'kill $!' TERM; sleep 600 & echo up; wait");
    child.kill().unwrap();
    child.wait().unwrap();
    all_gone(&family);
}

#[test]
fn sigterm_stops_the_command_the_servers_and_what_the_command_forgot() {
    let (mut child, family) = started("setsid sleep 600 & echo up; wait");
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    child.wait().unwrap();
    all_gone(&family);
}

#[test]
fn the_command_finds_three_real_servers_and_its_exit_code_comes_back() {
    let script = r#"
        echo "$KAFKA_BOOTSTRAP_SERVERS" "$REDIS_HOST:$REDIS_PORT" "$POSTGRES_HOST:$POSTGRES_PORT/$POSTGRES_DB/$POSTGRES_USER"
        exit 42"#;
    let output = supervisor(script).output().unwrap();
    assert_eq!(output.status.code(), Some(42));
    let text = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words.len(), 3, "{text}");
    assert!(words.iter().all(|word| word.starts_with("127.0.0.1:")), "{text}");
    assert!(words[2].ends_with("/market_data/postgres"), "{text}");
}

#[test]
fn without_postgresql_one_sentence_says_what_to_install() {
    let empty = local_stack::Folder::temporary().unwrap();
    let output = supervisor("true").env("PATH", empty.path()).env("JAVA_HOME", empty.path()).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.contains("is not installed: run `make deps`, or install "), "{text}");
}
