//! Starts real Kafka, Redis, PostgreSQL, and the whole pipeline, on this machine.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use local_stack::demo::{self, Demo};
use local_stack::infra::Plan;
use local_stack::kafka::Jvm;
use local_stack::stack::Feed;
use local_stack::{chaos, path, run};

/// Exit code for a command line that is wrong.
const EXIT_USAGE: u8 = 64;

/// Real Kafka, Redis and PostgreSQL, and the whole pipeline on them, without Docker.
///
/// What KAFKA_BOOTSTRAP_SERVERS, REDIS_HOST and POSTGRES_HOST name is used; the rest is started here and stopped at the end.
#[derive(Parser)]
#[command(version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts everything: servers, simulator, all services, dashboard. Ctrl-C stops it.
    #[command(alias = "up")]
    Demo {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        feed: FeedOptions,
        /// Run this command with everything up, then stop; without it, run until Ctrl-C.
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Starts the three servers only, and prints the variables that name them.
    Infra {
        #[command(flatten)]
        place: Place,
        /// Write NAME=value lines to this file, too.
        #[arg(long)]
        env_file: Option<PathBuf>,
    },
    /// Kills, freezes and starves the cold path for a while, then compares what is stored with what was sent.
    Chaos(chaos::Options),
    /// Runs one command with three fresh servers named in its environment, then stops them.
    Run {
        /// Keep data in this folder; without it they are gone at the end.
        #[arg(long)]
        folder: Option<PathBuf>,
        /// Tune Kafka for throughput instead of a quick start.
        #[arg(long)]
        throughput: bool,
        /// The command and its arguments, after `--`.
        #[arg(required = true, last = true)]
        command: Vec<String>,
    },
}

/// Where data and ports come from.
#[derive(Args)]
struct Place {
    /// Where data and logs stay between starts [default: .local-stack in the project].
    #[arg(long, conflicts_with = "fresh")]
    folder: Option<PathBuf>,
    /// Start empty on free ports, and keep nothing.
    #[arg(long)]
    fresh: bool,
}

impl Place {
    fn plan(self) -> Plan {
        let folder = (!self.fresh).then(|| self.folder.unwrap_or_else(|| path::project().join(".local-stack")));
        Plan { folder, usual_ports: !self.fresh, jvm: Jvm::Throughput, mock_allowed: true, say }
    }
}

/// What the simulator plays; more can be set through SIMULATOR_… variables.
#[derive(Args)]
struct FeedOptions {
    /// Replay recorded days from this folder or file instead of a synthetic market.
    #[arg(long, value_name = "PATH")]
    replay: Option<String>,
    /// Days to replay, as 20131007,20131008 [default: all].
    #[arg(long, requires = "replay")]
    days: Option<String>,
    /// Pace of the replay: 1x, 20x, 10000/s, max.
    #[arg(long, requires = "replay")]
    pace: Option<String>,
    /// Move the replay's times to now.
    #[arg(long, requires = "replay")]
    shift_to_now: bool,
    /// Trades and quotes a second of the synthetic market.
    #[arg(long, conflicts_with = "replay")]
    rate: Option<String>,
    /// Seed of the synthetic market.
    #[arg(long, conflicts_with = "replay")]
    seed: Option<String>,
    /// Symbols of the market, comma-separated.
    #[arg(long)]
    symbols: Option<String>,
}

impl FeedOptions {
    fn feed(self) -> Feed {
        let valued = [
            ("--replay", self.replay),
            ("--days", self.days),
            ("--pace", self.pace),
            ("--rate", self.rate),
            ("--seed", self.seed),
            ("--symbols", self.symbols),
        ];
        let mut options: Vec<String> =
            valued.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?])).flatten().collect();
        if self.shift_to_now {
            options.push("--shift-to-now".to_owned());
        }
        Feed { options, symbols: None }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    START.get_or_init(Instant::now);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print(); // a reader that has seen enough, as in `--help | head`, is no failure
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let result = match cli.command {
        Command::Demo { place, feed, command } => {
            demo::run(Demo { plan: place.plan(), feed: feed.feed(), command }).await
        }
        Command::Infra { place, env_file } => {
            run::infra(&Plan { mock_allowed: false, ..place.plan() }, env_file.as_deref()).await
        }
        Command::Chaos(options) => chaos::run(&options, say).await.map(|()| ExitCode::SUCCESS),
        Command::Run { command, folder, throughput } => {
            let jvm = if throughput { Jvm::Throughput } else { Jvm::QuickStart };
            run::run(&Plan { folder, usual_ports: false, jvm, mock_allowed: false, say }, &command).await
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("local-stack: {error:#}");
        ExitCode::FAILURE
    })
}

static START: OnceLock<Instant> = OnceLock::new();

/// Progress goes to the error stream, with the seconds since the start: the output belongs to the command.
fn say(line: &str) {
    let seconds = START.get_or_init(Instant::now).elapsed().as_secs_f64();
    if std::io::stderr().is_terminal() {
        eprintln!("\x1b[2m{seconds:6.1} s\x1b[0m  {line}");
    } else {
        eprintln!("{seconds:6.1} s  {line}");
    }
}
