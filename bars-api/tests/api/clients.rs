//! Clients that other people wrote, unchanged, against the running service.
//!
//! They need Python with PyPI and Node with npm once; `SKIP_CLIENT_TESTS=1` leaves them out where those are not.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use local_stack::port;
use local_stack::testing::Database;
use service::CancellationToken;
use tokio::task::JoinHandle;

use crate::common::{Stored, database, store, store_trades, until_healthy, with};

fn skipped() -> bool {
    let skip = std::env::var("SKIP_CLIENT_TESTS").is_ok_and(|value| value == "1");
    if skip {
        eprintln!("SKIP_CLIENT_TESTS=1: clients from PyPI and npm are not tested");
    }
    skip
}

/// A virtual environment with the clients of `requirements.txt`, made once and kept beside the build.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-clients");
        let python = folder.join("bin/python");
        let wanted = std::fs::read_to_string(clients().join("requirements.txt")).unwrap();
        let done = folder.join("installed.txt");
        if std::fs::read_to_string(&done).ok().as_ref() != Some(&wanted) {
            succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
            let requirements = clients().join("requirements.txt");
            succeed(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements));
            std::fs::write(done, wanted).unwrap();
        }
        python
    })
}

/// Installs the clients of `package.json` beside it, once for each lock file.
fn install_from_npm() {
    let locked = std::fs::read(clients().join("package-lock.json")).unwrap();
    let done = clients().join("node_modules/.installed");
    if std::fs::read(&done).ok().as_ref() != Some(&locked) {
        let options = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"];
        succeed(Command::new("npm").args(options).current_dir(clients()));
        std::fs::write(done, locked).unwrap();
    }
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = || [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).join("\n");
    assert!(output.status.success(), "{command:?} failed:\n{}", said());
    output
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || succeed(&mut command)).await.unwrap()
}

/// The whole service with a little data.
async fn service() -> (String, CancellationToken, JoinHandle<anyhow::Result<()>>, Database) {
    let (database, mut client) = database().await;
    let mut bars: Vec<_> = (0..25).map(|at| Stored::minute("AAPL", at)).collect();
    bars.extend((0..5).map(|at| Stored::minute("MSFT", at)));
    store(&mut client, &bars).await;
    store_trades(&client, "AAPL", 25).await;
    let port = port::free().unwrap();
    let config = with(&database, &[("API_PORT", &port.to_string()), ("API_HOST", "127.0.0.1")]);
    let stop = CancellationToken::new();
    let running = tokio::spawn(bars_api::run(config, stop.clone()));
    let base = format!("http://127.0.0.1:{port}");
    until_healthy(&base, 200, "\"status\":\"ok\"").await;
    (base, stop, running, database)
}

#[tokio::test(flavor = "multi_thread")]
async fn alpaca_py_reads_with_nothing_but_the_address_changed() {
    if skipped() {
        return;
    }
    let (base, stop, running, _database) = service().await;
    let mut command = Command::new(python());
    command.arg(clients().join("alpaca_py_reads.py")).arg(&base);
    let output = run(command).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("alpaca-py reads everything"));
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charts_udf_datafeed_scrolls_through_every_bar() {
    if skipped() {
        return;
    }
    install_from_npm();
    let (base, stop, running, _database) = service().await;
    let mut command = Command::new("node");
    command.arg(clients().join("udf_chart_reads.mjs")).arg(&base);
    let output = run(command).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("a UDF chart reads everything"));
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pyarrow_reads_every_column() {
    if skipped() {
        return;
    }
    let (base, stop, running, _database) = service().await;
    let mut command = Command::new(python());
    command.arg(clients().join("arrow_reads.py")).arg(&base);
    let output = run(command).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("pyarrow reads every column"));
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn data_frames_read_with_one_line_and_the_document_is_valid() {
    if skipped() {
        return;
    }
    let (base, stop, running, _database) = service().await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("frames");
    std::fs::create_dir_all(&folder).unwrap();
    let mut command = Command::new(python());
    command.arg(clients().join("frames_read.py")).arg(&base).arg(&folder);
    let output = run(command).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("data frames read everything"));
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_against_the_document() {
    if skipped() {
        return;
    }
    let (base, stop, running, _database) = service().await;
    let mut command = Command::new(python().with_file_name("schemathesis"));
    command.args(["run", &format!("{base}/openapi.json"), "--url", &base, "--max-examples", "15"]);
    // Quotes are refused whatever is sent (they are not stored); without this that is a warning, and the report has no last line to look for.
    command.args(["--generation-deterministic", "--no-color", "--warnings", "off"]);
    command.env("SCHEMATHESIS_HOOKS", "schemathesis_hooks").env("PYTHONPATH", clients());
    command.current_dir(env!("CARGO_TARGET_TMPDIR"));
    let output = run(command).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("No issues found"), "{said}");
    stop.cancel();
    running.await.unwrap().unwrap();
}
