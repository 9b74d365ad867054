use service::redis::RedisConfig;
use service::{Health, Secret, Vars};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::*;
use crate::demand::{Wishes, always};
use crate::fanout::hot::Hot;
use crate::feeds::alpaca;
use crate::feeds::protocol::Feed;

#[test]
fn a_look_that_waits_does_not_keep_health_degraded_and_an_open_gap_does() {
    let gap = Gap { to: Some(2), ..Gap::open(&Feed::Alpaca.source(), 1, "cut") };
    assert!(!Task::LookAhead(Look::behind(&gap, 3, 4), 0).is_open_gap());
    assert!(Task::Heal(Box::new(Ended { gap, witnesses: Default::default() })).is_open_gap());
}

/// The task that heals, its journal, and what keeps both alive. The history is at `address`.
fn backfill(address: &str, wanted: &[Symbol]) -> (Backfill, (tempfile::TempDir, watch::Sender<Wishes>)) {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path().join("journal.json")).unwrap();
    let health = Health::new("test");
    let redis = Vars::from_pairs(&[]).load(RedisConfig::from_vars).unwrap();
    let (hot, _) = Hot::new(redis, health.part("redis"));
    let cold = Cold::default();
    let rest = alpaca::rest::Rest::new(address, "ws://x/v2/sip", Secret::new("k"), Secret::new("s")).unwrap();
    let (wishes, watched) = watch::channel(always(wanted));
    let backfill = Backfill {
        archive: Archive::Alpaca(rest),
        wanted: Watched::new(watched),
        wanted_before: Vec::new(),
        refusals: Refusals::default(),
        settings: BackfillSettings { hold_back: Duration::from_secs(60), margin: Duration::from_secs(60) },
        cold: cold.clone(),
        herald: Herald::new(hot, cold, journal.clone()),
        journal,
        part: health.part("backfill"),
    };
    (backfill, (folder, wishes))
}

#[tokio::test]
async fn symbols_with_records_are_asked_for_first_and_refused_names_not_at_all() {
    let symbol = |name: &str| Symbol::new(name).unwrap();
    let (mut backfill, _alive) = backfill("http://x", &["AAA.1", "AAPL", "MSFT"].map(symbol));
    backfill.journal.advance(Feed::Alpaca, 1, [symbol("MSFT"), symbol("OLD")]);
    backfill.wanted_before = vec![symbol("AAA.2"), symbol("TSLA")];
    assert_eq!(backfill.symbols(), ["MSFT", "AAA.1", "AAA.2", "AAPL", "TSLA"].map(symbol));
    backfill.refusals.note([symbol("AAA.1")], "invalid", Instant::now());
    assert_eq!(backfill.symbols(), ["MSFT", "AAA.2", "AAPL", "TSLA"].map(symbol));
}

#[tokio::test(start_paused = true)]
async fn the_history_of_a_gap_has_a_minute_to_be_complete_and_is_asked_for_beyond_both_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (backfill, _alive) = backfill(&address, &[Symbol::new("BRK.B").unwrap()]);
    let (sender, gaps) = mpsc::channel(1);
    let healing = tokio::spawn(backfill.run(gaps, CancellationToken::new()));

    let ms = |time: &str| time.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let gap = Gap::open(&Feed::Alpaca.source(), ms("2024-06-03T14:00:00Z"), "cut");
    let ended = Instant::now();
    let gap = Gap { to: Some(ms("2024-06-03T14:05:00Z")), ..gap };
    sender.send(Ended { gap, witnesses: Default::default() }).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let waited = ended.elapsed();
    assert!(waited >= Duration::from_secs(60) && waited < Duration::from_secs(62), "{waited:?}");
    let asked = BufReader::new(stream).lines().next_line().await.unwrap().unwrap();
    for part in
        ["/v2/stocks/trades?", "symbols=BRK.B", "start=2024-06-03T13%3A59%3A00Z", "end=2024-06-03T14%3A06%3A00Z"]
    {
        assert!(asked.contains(part), "{part} is not in {asked}");
    }
    healing.abort();
}
