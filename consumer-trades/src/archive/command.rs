//! `consumer-trades archive`: for people.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use archive::{Archive, Digest};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use service::CancellationToken;
use sink::{Connection, SinkConfig};

use super::{archive_day, archive_older, restore, table};
use crate::config::{self, ArchiveConfig};

/// Move closed days of trades to Parquet files and back. Settings come from the environment; see .env.example
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Archive days, verify their files, and remove them from PostgreSQL
    Run {
        /// These UTC days, such as 2026-11-27; otherwise every day older than RETENTION_DAYS
        #[arg(long)]
        day: Vec<Date>,
    },
    /// One line for each archived day
    List,
    /// Read archived days whole and compare them with their recorded count and hash
    Verify {
        /// These days; otherwise all
        #[arg(long)]
        day: Vec<Date>,
    },
    /// Bring a day back into PostgreSQL; it stays there until `run --day` names it
    Restore {
        /// UTC day, such as 2026-11-27
        #[arg(long, required = true)]
        day: Vec<Date>,
    },
}

/// Runs the command and returns its exit code: 0, 64 for wrong settings, 1 for a failure.
pub fn main(arguments: Arguments) -> ExitCode {
    let read = |vars: &mut service::Vars| (config::from_vars(vars), ArchiveConfig::from_vars(vars));
    service::main(config::CONSUMER.service, read, |(sink, archive), stop| run(arguments, sink, archive, stop))
}

async fn run(
    Arguments { command }: Arguments,
    sink: SinkConfig,
    config: ArchiveConfig,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let folder = config.folder.context("ARCHIVE_DIR is not set: it names the folder of the archive")?;
    let archive =
        Archive::in_folder(&folder).with_context(|| format!("cannot use ARCHIVE_DIR `{}`", folder.display()))?;
    let done = async {
        let connect = || async {
            Connection::open(&sink.postgres, "consumer-trades archive").await.context("PostgreSQL does not answer")
        };
        match command {
            Command::Run { day } if day.is_empty() => {
                let keep_days = sink.retention_days.context("name the days with --day, or set RETENTION_DAYS")?;
                let days = archive_older(&archive, connect().await?, keep_days).await?;
                say(&format!("{days} days archived"))
            }
            Command::Run { day } => {
                let database = connect().await?;
                for day in day {
                    ensure!(
                        day < Timestamp::now().to_zoned(TimeZone::UTC).date(),
                        "{day} is not over in UTC: only closed days are archived"
                    );
                    let stored = table::tables(&database, &table::partition_of(day)).await?;
                    let detached = table::tables(&database, &table::detached_of(day)).await?;
                    ensure!(!stored.is_empty() || !detached.is_empty(), "PostgreSQL holds no trades of {day}");
                    archive_day(&archive, &database, day).await?;
                    say(&line(&archive, day).await?)?;
                }
                Ok(())
            }
            Command::List => {
                for day in archive.days().await?.into_keys() {
                    say(&line(&archive, day).await?)?;
                }
                Ok(())
            }
            Command::Verify { day } => {
                let days = if day.is_empty() { archive.days().await?.into_keys().collect() } else { day };
                for day in days {
                    let known = archive.open(day).await?.with_context(|| format!("{day} is not in the archive"))?;
                    archive.verify(day, known.digest()).await?;
                    say(&line(&archive, day).await?)?;
                }
                Ok(())
            }
            Command::Restore { day } => {
                for day in day {
                    let Digest { rows, .. } = restore::restore(&archive, connect().await?, day).await?;
                    say(&format!("{day}\t{rows} trades restored"))?;
                }
                Ok(())
            }
        }
    };
    stop.run_until_cancelled(done).await.unwrap_or(Ok(()))
}

async fn line(archive: &Archive, day: Date) -> anyhow::Result<String> {
    let archived = archive.open(day).await?.with_context(|| format!("{day} is not in the archive"))?;
    let Digest { rows, void, hash } = archived.digest();
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let each = if rows == 0 { 0.0 } else { archived.bytes as f64 / rows as f64 };
    Ok(format!(
        "{day}\t{rows} trades\t{void} void\t{} bytes\t{each:.1} bytes a trade\thash {hash:016x}",
        archived.bytes
    ))
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
