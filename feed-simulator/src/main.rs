//! Starts the simulator and stops it on SIGTERM or Ctrl-C.

use std::process::ExitCode;

use clap::Parser as _;
use feed_simulator::{Options, start};
use tokio::signal::unix::{SignalKind, signal};

/// Exit code for options that cannot be used.
const USAGE: u8 = 64;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Options::try_parse() {
        Ok(options) => options.check(),
        Err(error) if error.use_stderr() => Err(error.render().to_string()),
        Err(help) => {
            let _ = help.print(); // a reader that has seen enough, as in `--help | head`, is no failure
            return ExitCode::SUCCESS;
        }
    };
    match settings {
        Err(problem) => {
            eprintln!("feed-simulator: {}", problem.trim_end());
            ExitCode::from(USAGE)
        }
        Ok(settings) => match run(settings).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("feed-simulator: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

async fn run(settings: feed_simulator::Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let simulator = start(settings).await?;
    println!("feed-simulator listening on http://{} ({})", simulator.address(), simulator.description());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::select! {
        biased;
        summary = simulator.stop() => println!("feed-simulator {summary}"),
        _ = terminate.recv() => anyhow::bail!("stopped at once by a second signal"),
        _ = interrupt.recv() => anyhow::bail!("stopped at once by a second signal"),
    }
    Ok(())
}
