//! `consumer-bars backfill`: history straight into the table, by the consumer's own rules.
//!
//! The work is cut into units (a symbol's month, a part of a file). A unit is stored in one transaction and then noted in a journal, so
//! that the same command resumes where it was stopped; a unit that is stored twice changes nothing.

mod files;
mod journal;
mod progress;
mod rest;
mod synthetic;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Parser, Subcommand};
use jiff::civil::Date;
use market::Symbol;
use service::{CancellationToken, Health, Vars};
use sink::SinkConfig;
use tokio::task::JoinSet;

pub use rest::RestConfig;

use crate::{BarRow, config};
use files::Files;
use journal::Journal;
use progress::Progress;
use rest::Rest;
use synthetic::Synthetic;

/// Store history straight in PostgreSQL, by the consumer's own rules
///
/// A bar that is there and no older stays. Run again, the same command resumes where it was stopped. Settings come from the environment;
/// see .env.example
#[derive(Clone, Debug, Parser)]
#[command(name = "consumer-bars backfill", version)]
pub struct Arguments {
    #[command(subcommand)]
    from: From,
    /// What is done is noted here
    #[arg(long, default_value = "backfill.journal", global = true)]
    journal: PathBuf,
}

#[derive(Clone, Debug, Subcommand)]
enum From {
    /// From the REST history of Alpaca (ALPACA_DATA_REST_URL, ALPACA_API_KEY, ALPACA_API_SECRET)
    Rest(Span),
    /// From files: CSV, JSON or JSON lines of this project, Alpaca, Massive, Stooq, yfinance, or with plain columns of those names
    ///
    /// A file is stored only if all of it was understood. Anything else ends the command with the file, line and field in question.
    Files(files::Options),
    /// Made up, the same for the same seed: for tests and measurements
    Synthetic {
        #[command(flatten)]
        span: Span,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

/// Whose bars, and of which days.
#[derive(Clone, Debug, Args)]
struct Span {
    /// Separated by commas
    #[arg(long, required = true, value_delimiter = ',')]
    symbols: Vec<Symbol>,
    /// First day in New York, such as 2024-01-02
    #[arg(long)]
    start: Date,
    /// Last day in New York
    #[arg(long)]
    end: Date,
}

impl Span {
    /// A unit for each symbol and month.
    fn units(&self) -> Vec<Unit> {
        let mut units = Vec::new();
        for &symbol in &self.symbols {
            let mut first = self.start;
            while first <= self.end {
                units.push(Unit::Days { symbol, first, last: first.last_of_month().min(self.end) });
                first = first.last_of_month().saturating_add(jiff::ToSpan::day(1));
            }
        }
        units
    }
}

/// What is stored in one transaction.
#[derive(Clone, Debug)]
enum Unit {
    /// Bars of some New York days, the last included.
    Days { symbol: Symbol, first: Date, last: Date },
    /// Rows of a file with this checksum, the last excluded.
    Part { path: PathBuf, checksum: u32, start: u64, end: u64 },
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Days { symbol, first, last } => write!(f, "{symbol} {first} {last}"),
            Self::Part { path, checksum, start, end } => write!(f, "{} {checksum:08x} {start} {end}", path.display()),
        }
    }
}

/// Where bars come from.
enum Source {
    Rest(Rest, Span),
    Files(Files),
    Synthetic(Synthetic, Span),
}

impl Source {
    fn new(from: From, rest: RestConfig) -> anyhow::Result<Self> {
        if let From::Rest(span) | From::Synthetic { span, .. } = &from {
            ensure!(span.start <= span.end, "--start must not be after --end");
        }
        Ok(match from {
            From::Rest(span) => Self::Rest(Rest::new(rest)?, span),
            From::Files(options) => Self::Files(Files::new(options)?),
            From::Synthetic { span, seed } => Self::Synthetic(Synthetic::new(seed), span),
        })
    }

    fn units(&self) -> Vec<Unit> {
        match self {
            Self::Rest(_, span) | Self::Synthetic(_, span) => span.units(),
            Self::Files(files) => files.units(),
        }
    }

    /// The bars of a unit as the wire has them.
    async fn read(&self, unit: &Unit) -> anyhow::Result<Vec<Vec<u8>>> {
        match (self, unit) {
            (Self::Rest(rest, _), Unit::Days { symbol, first, last }) => rest.read(symbol, *first, *last).await,
            (Self::Synthetic(market, _), Unit::Days { symbol, first, last }) => Ok(market.bars(symbol, *first, *last)),
            (Self::Files(files), Unit::Part { path, start, end, .. }) => files.read(path, *start, *end),
            _ => bail!("{unit} is of another source"),
        }
    }
}

/// Runs the command as a program of its own.
pub fn main(arguments: Arguments) -> ExitCode {
    let read_config = |vars: &mut Vars| (config::from_vars(vars), RestConfig::from_vars(vars));
    service::main("consumer-bars backfill", read_config, |(sink, rest), stop| run(arguments, sink, rest, stop))
}

/// Reads the words behind `backfill`, as the command line does.
///
/// # Errors
/// What is wrong with it.
pub fn arguments(words: &[&str]) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(std::iter::once(&"consumer-bars backfill").chain(words))
}

/// Stores everything that the journal does not have yet.
///
/// # Errors
/// Where a source cannot be read, a line is no bar, or the table refuses a row; what was stored until then stays, and is noted.
pub async fn run(
    arguments: Arguments,
    config: SinkConfig,
    rest: RestConfig,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    // What is made up and what is read goes to one place: a journal of another must not be taken for this one's.
    let title = format!("{:?} into {}", arguments.from, place(&config));
    let dry_run = matches!(&arguments.from, From::Files(options) if options.dry_run);
    let from = arguments.from;
    let source = Arc::new(tokio::task::spawn_blocking(|| Source::new(from, rest)).await.context("reading panicked")??);
    if let (true, Source::Files(files)) = (dry_run, source.as_ref()) {
        print!("{}", files.report());
        return Ok(());
    }
    let units = source.units();
    let (journal, done) = Journal::open(&arguments.journal, &title)?;
    let part = Health::new(config.service).part("postgres");
    sink::schema::migrate(&config.postgres, config.service, &part, &stop).await?;
    let total = units.len();
    let left: Vec<Unit> = units.into_iter().filter(|unit| !done.contains(&unit.to_string())).collect();
    let progress = Arc::new(Progress::new(total, total - left.len()));
    let journal = Arc::new(journal);

    let mut lanes = JoinSet::new();
    for units in by_lane(left, config.connections) {
        let (source, journal, progress) = (Arc::clone(&source), Arc::clone(&journal), Arc::clone(&progress));
        let (config, stop) = (config.clone(), stop.child_token());
        lanes.spawn(async move {
            for unit in units {
                let Some(reading) = stop.run_until_cancelled(source.read(&unit)).await else { return Ok(()) };
                let bars = reading.with_context(|| format!("cannot read {unit}"))?;
                let Some(stored) = sink::direct::store::<BarRow>(&config, &bars, &stop).await? else { return Ok(()) };
                if let Some((at, refusal)) = stored.refused.first() {
                    let bar = String::from_utf8_lossy(&bars[*at]);
                    bail!("{unit}: {} bars are refused, the first because {refusal}: {bar}", stored.refused.len());
                }
                journal.note(&unit.to_string())?;
                progress.add(bars.len(), stored.new);
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = lanes.join_next().await {
        ended.context("a lane panicked")??;
    }
    progress.end();
    ensure!(!stop.is_cancelled(), "stopped; the same command goes on from here");
    Ok(())
}

/// Which database it is.
fn place(config: &SinkConfig) -> String {
    format!("{}:{}/{}", config.postgres.host, config.postgres.port, config.postgres.database)
}

/// The units of one symbol, or of one file, stay in one lane, in order: two transactions on one symbol would only wait for each other, and
/// a packed file can only be read forwards.
fn by_lane(units: Vec<Unit>, lanes: usize) -> Vec<Vec<Unit>> {
    let mut by_lane = vec![Vec::new(); lanes.max(1)];
    let mut lane_of = std::collections::HashMap::new();
    for unit in units {
        let next = lane_of.len();
        let of = match &unit {
            Unit::Days { symbol, .. } => symbol.to_string(),
            Unit::Part { path, .. } => path.display().to_string(),
        };
        let lane = *lane_of.entry(of).or_insert(next);
        by_lane[lane % lanes.max(1)].push(unit);
    }
    by_lane
}
