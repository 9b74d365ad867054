//! `audit`: counts at every hop and names the one where records are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::Args;
use jiff::Timestamp;
use serde::Deserialize;

use super::{MINUTE_NS, Minute, Tally, http, kafka};
use crate::config::SinkConfig;
use crate::connection::Connection;
use crate::positions;
use crate::row::Audited;
use crate::topic::Part;

/// What to audit.
#[derive(Clone, Debug, Args)]
pub(crate) struct Audit {
    /// Records that were sent in the last so many minutes
    #[arg(long, default_value_t = 60)]
    minutes: u32,
    /// Everything that Kafka still holds
    #[arg(long, conflicts_with = "minutes")]
    all: bool,
    /// Ask the history API too, for example at http://localhost:8000
    #[arg(long, value_name = "URL")]
    api: Option<String>,
}

/// Prints every symbol and minute where two neighbours differ, then a summary.
///
/// # Errors
/// Where a server does not answer, or something differs.
pub(crate) async fn run<R: Audited>(audit: Audit, config: SinkConfig) -> anyhow::Result<()> {
    let config = Arc::new(config);
    let connection = Connection::open(&config.postgres, config.service).await.context("PostgreSQL does not answer")?;
    // Only what is stored already is compared; the rest is lag.
    let before = positions::stored_of_topic(&connection, &config.topic).await?;
    let since_ms = (!audit.all).then(|| Timestamp::now().as_millisecond() - i64::from(audit.minutes) * 60_000);
    let part = Part { since_ms, before };
    let counting = {
        let config = Arc::clone(&config);
        tokio::task::spawn_blocking(move || kafka::count::<R>(&config, &part))
    };
    let mut held = counting.await.context("counting panicked")??;
    count_stored::<R>(&connection, &mut held.tallies).await?;
    if let Some(api) = &audit.api {
        count_served::<R>(api, &mut held.tallies).await?;
    }
    report(&held)
}

/// Fills in what PostgreSQL holds of these minutes.
async fn count_stored<R: Audited>(
    connection: &Connection,
    tallies: &mut BTreeMap<Minute, Tally>,
) -> anyhow::Result<()> {
    let minutes = || tallies.keys().map(|(_, minute_ns)| *minute_ns);
    let (Some(first), Some(last)) = (minutes().min(), minutes().max()) else { return Ok(()) };
    for row in connection.query(R::COUNT_BY_MINUTE, &[&first, &(last + MINUTE_NS)]).await? {
        if let Some(tally) = tallies.get_mut(&(row.get(0), row.get(1))) {
            tally.stored = row.get::<_, i64>(2).unsigned_abs();
            tally.holding = row.get::<_, i64>(3).unsigned_abs();
        }
    }
    Ok(())
}

/// One page of the API's answer, in Alpaca's shape.
#[derive(Debug, Deserialize)]
struct Page {
    #[serde(alias = "trades", alias = "bars")]
    records: Vec<Served>,
    next_page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Served {
    t: Timestamp,
}

/// Fills in what the API serves of these minutes.
async fn count_served<R: Audited>(api: &str, tallies: &mut BTreeMap<Minute, Tally>) -> anyhow::Result<()> {
    let symbols: BTreeSet<String> = tallies.keys().map(|(symbol, _)| symbol.clone()).collect();
    for symbol in symbols {
        let mine = || tallies.keys().filter(|(of, _)| *of == symbol).map(|(_, minute_ns)| *minute_ns);
        let (Some(first), Some(last)) = (mine().min(), mine().max()) else { continue };
        let moment = |ns: i64| Timestamp::from_nanosecond(i128::from(ns));
        let (start, end) = (moment(first)?, moment(last + MINUTE_NS - 1)?);
        let mut served: BTreeMap<i64, u64> = BTreeMap::new();
        let mut token = String::new();
        loop {
            let path = format!(
                "/v2/stocks/{}/{}?timeframe=1Min&start={start}&end={end}&limit=10000{token}",
                symbol.replace('/', "%2F").replace(' ', "%20"),
                R::API_NAME,
            );
            let Some(body) = http::get(api, &path).await? else { break };
            let page: Page = serde_json::from_str(&body).with_context(|| format!("{api}{path} is not understood"))?;
            for record in &page.records {
                let ns = i64::try_from(record.t.as_nanosecond())?;
                *served.entry(ns - ns.rem_euclid(MINUTE_NS)).or_default() += 1;
            }
            match page.next_page_token {
                Some(next) => token = format!("&page_token={next}"),
                None => break,
            }
        }
        for ((_, minute_ns), tally) in tallies.iter_mut().filter(|((of, _), _)| *of == symbol) {
            tally.served = Some(served.get(minute_ns).copied().unwrap_or_default());
        }
    }
    Ok(())
}

fn report(held: &kafka::Held) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut differing = 0;
    for ((symbol, minute_ns), tally) in &held.tallies {
        for hop in tally.differences() {
            if differing == 0 {
                writeln!(out, "symbol\tminute\tnumbered\tKafka\tPostgreSQL\tAPI\tdiffers at")?;
            }
            differing += 1;
            let minute = Timestamp::from_nanosecond(i128::from(*minute_ns))?;
            let served = tally.served.map_or_else(|| "-".to_owned(), |served| served.to_string());
            let numbered = tally.kafka + tally.missing;
            writeln!(out, "{symbol}\t{minute}\t{numbered}\t{}\t{}\t{served}\t{hop}", tally.kafka, tally.stored)?;
        }
    }
    let records: u64 = held.tallies.values().map(|tally| tally.kafka).sum();
    let minutes = held.tallies.len();
    writeln!(
        out,
        "{records} records in {minutes} minutes of Kafka, {} dead letters, {differing} differences",
        held.dead_letters
    )?;
    ensure!(differing == 0, "{differing} differences");
    Ok(())
}
