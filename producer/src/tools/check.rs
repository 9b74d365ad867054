//! `producer check`: does the feed let us in, and does anything come?

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::bail;
use market::{NS_PER_MS, Symbol};
use service::{CancellationToken, Health};

use crate::connection::dial::{Dial, Internet};
use crate::connection::keep_connected;
use crate::connection::outlet::Outlet;
use crate::demand::Watched;
use crate::feeds::event::Event;
use crate::feeds::protocol::{Frame, Step};
use crate::feeds::{FeedSettings, part_name};

/// Connects to one feed after the other, listens to each for `time`, and prints what came.
///
/// # Errors
/// Where a feed is not as it should be; what is wrong has been printed.
pub async fn run(
    (feeds, internet): (Vec<FeedSettings>, Internet),
    time: Duration,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut wrong = 0;
    for settings in feeds {
        let (report, good) = listen(internet, &settings, time, &stop).await;
        println!("{report}");
        wrong += u32::from(!good);
    }
    if wrong > 0 {
        bail!("{wrong} of the feeds cannot be used as they are set up");
    }
    Ok(())
}

/// Listens to one feed for `time`; returns a report for people and whether the feed can be used.
async fn listen(dial: impl Dial, settings: &FeedSettings, time: Duration, stop: &CancellationToken) -> (String, bool) {
    let tally = Tally::default();
    let protocol = settings.protocol();
    let shown = protocol.endpoint().shown;
    let health = Health::new("check");
    let part = health.part(part_name(settings.feed()));
    let enough = stop.child_token();
    let connected = keep_connected(dial, protocol, tally.clone(), Watched::default(), part.clone(), enough.clone());
    tokio::pin!(connected);
    let ended = tokio::select! {
        ended = &mut connected => ended,
        () = tokio::time::sleep(time) => {
            let streaming = part.status() == service::health::Status::Ok;
            tally.lock().streaming = streaming;
            enough.cancel();
            connected.await
        }
    };
    let seen = tally.lock();
    let mut report = format!("{} at {shown}\n", settings.feed());
    seen.describe(settings.symbols().unwrap_or_default(), &mut report);
    if let Err(advice) = &ended {
        let _ = writeln!(report, "  wrong: {advice:#}");
    }
    (report, ended.is_ok() && seen.streaming)
}

/// Counts what comes. Clones share it.
#[derive(Clone, Default)]
struct Tally(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    streaming: bool,
    connections: u32,
    /// Why connections ended, and how often each reason came.
    lost: BTreeMap<String, u32>,
    events: BTreeMap<&'static str, u64>,
    symbols: BTreeMap<String, u64>,
    skipped: BTreeMap<String, u64>,
    newest_ns: Option<i64>,
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outlet for Tally {
    fn connected(&mut self) {
        self.lock().connections += 1;
    }

    fn frame(&mut self, _: Option<Frame<'_>>, decode: impl FnOnce(&mut dyn FnMut(Event)) -> Step) -> Step {
        let mut seen = self.lock();
        decode(&mut |event| seen.count(&event))
    }

    fn lost(&mut self, cause: &str) {
        *self.lock().lost.entry(cause.to_owned()).or_default() += 1;
    }
}

impl Seen {
    fn count(&mut self, event: &Event) {
        let (kind, symbol, ts_ns) = match event {
            Event::Trade(trade) => ("trades", Some(trade.symbol), Some(trade.ts_ns)),
            Event::Bar(bar) => ("bars", Some(bar.symbol), None),
            Event::Quote(quote) => ("quotes", Some(quote.symbol), Some(quote.ts_ns)),
            Event::Correction(correction) => ("corrections", Some(correction.void.symbol), None),
            Event::Halt(..) | Event::Other(_) => ("other messages", None, None),
            Event::Skipped(skip) => {
                *self.skipped.entry(skip.to_string()).or_default() += 1;
                ("skipped", None, None)
            }
        };
        *self.events.entry(kind).or_default() += 1;
        if let Some(symbol) = symbol {
            *self.symbols.entry(symbol.to_string()).or_default() += 1;
        }
        self.newest_ns = self.newest_ns.max(ts_ns);
    }

    /// `wanted`: the symbols that the feed always carries, where they are named.
    fn describe(&self, wanted: &[Symbol], report: &mut String) {
        let mut line = |text: String| report.extend(["  ", text.as_str(), "\n"]);
        line(match (self.streaming, self.connections) {
            (true, _) => "connected, authenticated and subscribed".to_owned(),
            (false, 0) => "never connected".to_owned(),
            (false, times) => format!("connected {times} times, but no stream came of it"),
        });
        if self.events.is_empty() && self.streaming {
            line("nothing came: the market is closed, or nobody trades these symbols now".to_owned());
        }
        for (kind, count) in &self.events {
            line(format!("{count} {kind}"));
        }
        if !self.symbols.is_empty() {
            let busiest = self.symbols.iter().take(20).map(|(symbol, count)| format!("{symbol} {count}"));
            line(format!("by symbol: {}", busiest.collect::<Vec<_>>().join(", ")));
        }
        let silent = wanted.iter().map(Symbol::as_str).filter(|symbol| !self.symbols.contains_key(*symbol));
        let silent: Vec<&str> = silent.collect();
        if !silent.is_empty() && !self.symbols.is_empty() {
            let shown = silent.iter().take(20).copied().collect::<Vec<_>>().join(", ");
            let more = if silent.len() > 20 { format!(" and {} more", silent.len() - 20) } else { String::new() };
            line(format!("no data as yet for: {shown}{more}"));
        }
        if let Some(newest_ns) = self.newest_ns {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
            line(format!("the newest record is {} ms old by this machine's clock", now_ms - newest_ns / NS_PER_MS));
        }
        for (skip, count) in self.skipped.iter().take(10) {
            line(format!("skipped {count}: {skip}"));
        }
        for (cause, times) in self.lost.iter().take(10) {
            let times = if *times > 1 { format!(" ({times} times)") } else { String::new() };
            line(format!("wrong: {cause}{times}"));
        }
    }
}
