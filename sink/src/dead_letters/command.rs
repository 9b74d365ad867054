//! `dead-letters list`, `show` and `replay`.

use std::io::Write as _;

use anyhow::{Context as _, ensure};
use clap::Subcommand;

use super::{DeadLetter, read};
use crate::batch::{Batch, RawRecord, Tenure};
use crate::config::SinkConfig;
use crate::encode::{Day, Encoded, Window};
use crate::row::Row;
use crate::store;

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One line for each record of this service's topics that could not be stored
    List,
    /// Everything known about one of them, with the original record
    Show {
        /// As `list` prints it: topic-partition-offset
        id: String,
    },
    /// Tries to store them again, after what was wrong has been mended; a record that is stored already stays stored once
    Replay {
        /// As `list` prints them
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All that `list` shows
        #[arg(long)]
        all: bool,
    },
}

/// Does it, and writes what people want to read to standard output.
///
/// # Errors
/// Where a server does not answer, an id is unknown, or a replayed record is refused again.
pub(crate) async fn run<R: Row, S: Row>(command: Command, config: SinkConfig) -> anyhow::Result<()> {
    let reading = {
        let config = config.clone();
        tokio::task::spawn_blocking(move || read(&config))
    };
    let letters = reading.await.context("reading dead letters panicked")??;
    let mut out = std::io::stdout().lock();
    match command {
        Command::List => {
            for (id, letter) in &letters {
                writeln!(out, "{id}\t{}\t{}", letter.refused_at, letter.reason)?;
            }
            writeln!(out, "{} dead letters", letters.len())?;
        }
        Command::Show { id } => {
            let letter = letters.get(&id).with_context(|| unknown(&id))?;
            writeln!(out, "{}", serde_json::to_string_pretty(letter)?)?;
        }
        Command::Replay { ids, all } => {
            let ids = if all { letters.keys().cloned().collect() } else { ids };
            let mut refused = 0;
            for id in &ids {
                let letter = letters.get(id).with_context(|| unknown(id))?;
                let outcome = match letter.topic == config.topic {
                    true => replay::<R>(&config, letter).await?,
                    false => replay::<S>(&config, letter).await?,
                };
                refused += usize::from(matches!(outcome, Outcome::Refused(_)));
                writeln!(out, "{id}\t{outcome}")?;
            }
            ensure!(refused == 0, "{refused} of {} records are refused again", ids.len());
        }
    }
    Ok(())
}

fn unknown(id: &str) -> String {
    format!("there is no dead letter {id}; `dead-letters list` shows all")
}

enum Outcome {
    Stored,
    StoredBefore,
    Refused(String),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stored => f.write_str("stored"),
            Self::StoredBefore => f.write_str("was stored before"),
            Self::Refused(reason) => write!(f, "refused again: {reason}"),
        }
    }
}

/// Stores one record as if it had just been read where it stands; its synthetic id, if it needs one, is the same every time.
async fn replay<R: Row>(config: &SinkConfig, letter: &DeadLetter) -> anyhow::Result<Outcome> {
    let (key, payload) = (letter.key_bytes(), letter.payload_bytes());
    let at = letter.coordinates();
    let record = RawRecord { at, sent_ms: letter.sent_ms, key: key.as_deref(), payload: payload.as_deref() };
    let mut batch = Batch::default();
    batch.push(record, Tenure { partition: at.partition, number: 0 }, at.offset);
    let today = Day::of_second(jiff::Timestamp::now().as_second());
    let encoded = Encoded::new::<R>(batch, Window::on(today, config.retention_days));
    if let Some((_, refusal)) = encoded.refused.first() {
        return Ok(Outcome::Refused(refusal.to_string()));
    }
    Ok(match store::merge::<R>(config, &encoded).await {
        Ok(0) => Outcome::StoredBefore,
        Ok(_) => Outcome::Stored,
        Err(error) if store::is_data_error(&error) => Outcome::Refused(store::describe(&error)),
        Err(error) => return Err(error).context("PostgreSQL cannot store it now"),
    })
}
