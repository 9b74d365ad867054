//! `audit`: counts at every hop and names the one where records are missing, with the outage that explains it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use jiff::Timestamp;
use serde::Deserialize;
use service::start::Exit;
use tokio_postgres::types::Type;

use super::{Answered, Hop, MINUTE_NS, Minute, Rows, Tally, gaps, http, kafka};
use crate::config::SinkConfig;
use crate::connection::{Connection, Parameter};
use crate::positions;
use crate::row::Audited;

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

/// Exit code if a server could not be asked, so that nothing is known about what it holds.
const EXIT_NOT_ASKED: u8 = 2;
/// Pause before what the producer sent and Kafka lacks is called missing.
const SECOND_LOOK: Duration = Duration::from_secs(3);
/// How often one symbol is asked for again while its rows change between two looks.
const ROUNDS_MAX: usize = 5;

/// Prints every symbol and minute where two neighbours differ, then a summary. The program ends with 0 if all are equal, with 1 if some
/// differ, and with 2 if a server could not be asked.
///
/// # Errors
/// Where a server does not answer, or something differs.
pub(crate) async fn run<R: Audited>(audit: Audit, config: SinkConfig) -> anyhow::Result<()> {
    let config = Arc::new(config);
    let look = async || {
        let counted = count::<R>(&audit, &config).await;
        counted.map_err(|error| error.context(Exit(EXIT_NOT_ASKED, NOT_COMPARED)))
    };
    let mut counted = look().await?;
    if counted.lacks_what_was_sent() {
        // A spool that is being emptied may bring a report a moment before the last records that it counts.
        tokio::time::sleep(SECOND_LOOK).await;
        counted = look().await?;
    }
    let differing = report(&counted)?;
    ensure!(differing == 0, "{differing} differences");
    if let Some(sentence) = counted.not_asked.into_iter().next() {
        return Err(anyhow::Error::msg(sentence).context(Exit(EXIT_NOT_ASKED, PRODUCER_NOT_ASKED)));
    }
    Ok(())
}

const PRODUCER_NOT_ASKED: &str =
    "what is stored is equal at every hop, but the producer could not be asked for all that it sent";

/// What stood where at one moment.
struct Counted {
    held: kafka::Held,
    /// Outages that touch the minutes.
    outages: Vec<gaps::Outage>,
    /// What the producer could not be asked.
    not_asked: Vec<String>,
}

impl Counted {
    fn lacks_what_was_sent(&self) -> bool {
        self.held.tallies.values().any(|tally| tally.differences().contains(&Hop::ProducerToKafka))
    }
}

const NOT_COMPARED: &str = "nothing was compared, because a server could not be asked";

/// Counts at every hop. Each is compared with the one before it as both stood at the same moment: the numbers up to the producer's last report,
/// what Kafka held up to the positions that PostgreSQL had stored, and what the API served while PostgreSQL's rows stayed as they were.
async fn count<R: Audited>(audit: &Audit, config: &Arc<SinkConfig>) -> anyhow::Result<Counted> {
    if let Some(api) = &audit.api {
        http::is_the_api(api).await?; // before the long part
    }
    let connection = Connection::open(&config.postgres, config.service).await.context("PostgreSQL does not answer")?;
    let asked_ms = Timestamp::now().as_millisecond();
    let since_ms = (!audit.all).then(|| asked_ms - i64::from(audit.minutes) * 60_000);
    let reading = Arc::clone(config);
    let sent = tokio::task::spawn_blocking(move || kafka::sent::<R>(&reading, since_ms));
    let runs = sent.await.context("reading the producer's reports panicked")??;
    let not_asked = runs.not_asked(asked_ms);
    // Only what is stored already is compared; the rest is lag.
    let stored = positions::stored_of_topic(&connection, &config.topic).await?;
    let reading = Arc::clone(config);
    let counting = tokio::task::spawn_blocking(move || kafka::count::<R>(&reading, since_ms, &stored, &runs));
    let mut held = counting.await.context("counting panicked")??;
    let mut outages = Vec::new();
    let minutes = || held.tallies.keys().map(|(_, minute_ns)| *minute_ns);
    if let (Some(first), Some(last)) = (minutes().min(), minutes().max()) {
        let stored = count_stored::<R>(&connection, None, first, last).await?;
        for (minute, tally) in &mut held.tallies {
            tally.rows = stored.get(minute).copied().unwrap_or_default();
        }
        outages = gaps::known(&connection, first, last + MINUTE_NS).await?;
        for ((symbol, minute_ns), tally) in &mut held.tallies {
            let outage = gaps::explaining(&outages, symbol, *minute_ns);
            tally.fetched_again = tally.holds_all() && outage.is_some_and(|outage| outage.healed);
        }
    }
    if let Some(api) = &audit.api {
        let symbols: BTreeSet<String> = held.tallies.keys().map(|(symbol, _)| symbol.clone()).collect();
        for symbol in symbols {
            let mut of_symbol: Vec<_> = held.tallies.iter_mut().filter(|((of, _), _)| *of == symbol).collect();
            count_served::<R>(api, &connection, &symbol, &mut of_symbol).await?;
        }
    }
    Ok(Counted { held, outages, not_asked })
}

/// What PostgreSQL holds of these minutes, of one symbol or of all.
async fn count_stored<R: Audited>(
    connection: &Connection,
    symbol: Option<&str>,
    first: i64,
    last: i64,
) -> anyhow::Result<BTreeMap<Minute, Rows>> {
    let end = last + MINUTE_NS;
    let parameters: [Parameter<'_>; 3] = [(&first, Type::INT8), (&end, Type::INT8), (&symbol, Type::TEXT)];
    let rows = connection.query_typed(R::COUNT_BY_MINUTE, &parameters).await.context("PostgreSQL does not answer")?;
    Ok(rows
        .iter()
        .map(|row| {
            let count = |column| row.get::<_, i64>(column).unsigned_abs();
            ((row.get(0), row.get(1)), Rows { stored: count(2), holding: count(3) })
        })
        .collect())
}

/// One page of the API's answer, in Alpaca's shape.
#[derive(Debug, Deserialize)]
struct Page {
    #[serde(alias = "trades", alias = "bars")]
    records: Option<Vec<Served>>,
    next_page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Served {
    t: Timestamp,
}

/// Fills in what the API serves of a symbol, and what PostgreSQL held before and after it was asked; asks again while that changes.
async fn count_served<R: Audited>(
    api: &str,
    connection: &Connection,
    symbol: &str,
    tallies: &mut [(&Minute, &mut Tally)],
) -> anyhow::Result<()> {
    let minutes = || tallies.iter().map(|((_, minute_ns), _)| *minute_ns);
    let (Some(first), Some(last)) = (minutes().min(), minutes().max()) else { return Ok(()) };
    let mut before = count_stored::<R>(connection, Some(symbol), first, last).await?;
    for round in 1.. {
        let served = served_by_minute(api, symbol, R::API_NAME, first, last).await?;
        let after = count_stored::<R>(connection, Some(symbol), first, last).await?;
        if before == after || round == ROUNDS_MAX {
            for (minute, tally) in tallies.iter_mut() {
                let rows = |counted: &BTreeMap<Minute, Rows>| counted.get(*minute).copied().unwrap_or_default();
                let served = served.get(&minute.1).copied().unwrap_or_default();
                tally.served = Some(Answered { served, before: rows(&before), after: rows(&after) });
            }
            break;
        }
        before = after;
    }
    Ok(())
}

/// How many records of each minute the API serves, page by page.
async fn served_by_minute(
    api: &str,
    symbol: &str,
    name: &str,
    first: i64,
    last: i64,
) -> anyhow::Result<BTreeMap<i64, u64>> {
    let moment = |ns: i64| Timestamp::from_nanosecond(i128::from(ns));
    let (start, end) = (moment(first)?, moment(last + MINUTE_NS - 1)?);
    let mut served: BTreeMap<i64, u64> = BTreeMap::new();
    let mut token = String::new();
    loop {
        let path = format!(
            "/v2/stocks/{}/{name}?timeframe=1Min&start={start}&end={end}&limit=10000{token}",
            symbol.replace('/', "%2F").replace(' ', "%20"),
        );
        let Some(body) = http::get(api, &path).await? else { break };
        let page: Page = serde_json::from_str(&body)
            .with_context(|| format!("the answer of {api}{path} is not a page of {name}"))?;
        for record in page.records.iter().flatten() {
            let ns = i64::try_from(record.t.as_nanosecond())?;
            *served.entry(ns - ns.rem_euclid(MINUTE_NS)).or_default() += 1;
        }
        match page.next_page_token {
            Some(next) => token = format!("&page_token={next}"),
            None => break,
        }
    }
    Ok(served)
}

/// Prints what differs, and what explains it, and returns how often.
fn report(Counted { held, outages, not_asked }: &Counted) -> anyhow::Result<usize> {
    let mut out = std::io::stdout().lock();
    let mut differing = 0;
    let mut fetched_again = 0;
    for ((symbol, minute_ns), tally) in &held.tallies {
        for hop in tally.differences() {
            if differing == 0 {
                writeln!(out, "symbol\tminute\tnumbered\tKafka\tPostgreSQL\tAPI\tdiffers at")?;
            }
            differing += 1;
            let minute = Timestamp::from_nanosecond(i128::from(*minute_ns))?;
            let served = tally.served.map_or_else(|| "-".to_owned(), |answered| answered.served.to_string());
            let numbered = tally.sent.map_or(tally.kafka, |(sent, _)| sent) + tally.skipped;
            write!(out, "{symbol}\t{minute}\t{numbered}\t{}\t{}\t{served}\t{hop}", tally.kafka, tally.rows.stored)?;
            let outage = gaps::explaining(outages, symbol, *minute_ns).filter(|_| hop == Hop::ProducerToKafka);
            match outage {
                Some(outage) => writeln!(out, ", {} missing in the {outage}", tally.missing())?,
                None => writeln!(out)?,
            }
        }
        fetched_again += if tally.fetched_again { tally.missing() } else { 0 };
    }
    for sentence in not_asked {
        writeln!(out, "{sentence}")?;
    }
    for outage in outages.iter().filter(|outage| outage.healed && fetched_again > 0) {
        writeln!(out, "{outage}")?;
    }
    if fetched_again > 0 {
        writeln!(
            out,
            "{fetched_again} numbered records did not reach Kafka and were fetched again from the feed's history"
        )?;
    }
    let records: u64 = held.tallies.values().map(|tally| tally.kafka).sum();
    let sent: u64 = held.tallies.values().filter_map(|tally| tally.sent).map(|(sent, _)| sent).sum();
    let minutes = held.tallies.len();
    writeln!(
        out,
        "{records} records in {minutes} minutes of Kafka, {} dead letters, {differing} differences; the producer reports {sent} sent",
        held.dead_letters
    )?;
    Ok(differing)
}
