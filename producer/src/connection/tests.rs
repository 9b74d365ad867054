//! A scripted server in memory, on paused time: hours of outages pass in milliseconds.

use std::sync::{Arc, Mutex};

use market::Symbol;
use service::redis::RedisConfig;
use service::{Health, Secret, Vars};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::connection::dial::MESSAGE_BYTES_MAX;
use crate::demand::{Watched, Wish, Wishes, always};
use crate::fanout::Fanout;
use crate::fanout::cold::Cold;
use crate::fanout::hot::Hot;
use crate::fanout::positions::Positions;
use crate::feeds::FeedSettings;
use crate::feeds::alpaca::{AlpacaSettings, Authentication, Encoding};
use crate::feeds::finnhub::FinnhubSettings;
use crate::feeds::massive::MassiveSettings;
use crate::feeds::protocol::Endpoint;
use crate::gaps::{Gaps, Herald};
use crate::journal::Journal;
use crate::pipeline::Pipeline;

mod counts;
mod demand;
mod mute;
mod other_feeds;
mod outages;
mod rules;

type Peer = WebSocketStream<DuplexStream>;

/// In place of an HTTP status: the dial is never answered.
const NEVER: u16 = 0;

/// Gives the server's end of each new connection to the test, which may refuse it with an HTTP status instead.
struct Script {
    peers: mpsc::Sender<(Instant, Peer)>,
    refusals: Arc<Mutex<Vec<u16>>>,
}

impl Dial for Script {
    type Io = DuplexStream;

    async fn dial(&self, _: &Endpoint) -> Result<Socket<DuplexStream>, tungstenite::Error> {
        let refusal = self.refusals.lock().unwrap().pop();
        if refusal == Some(NEVER) {
            std::future::pending::<()>().await;
        }
        if let Some(status) = refusal {
            let response = Response::builder().status(status).body(None).unwrap();
            return Err(tungstenite::Error::Http(Box::new(response)));
        }
        let (near, far) = tokio::io::duplex(1 << 16);
        let peer = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
        self.peers.send((Instant::now(), peer)).await.unwrap();
        Ok(WebSocketStream::from_raw_socket(
            near,
            Role::Client,
            Some(crate::connection::dial::limits(MESSAGE_BYTES_MAX)),
        )
        .await)
    }
}

struct Running {
    heal: mpsc::Receiver<crate::gaps::Ended>,
    hot: Hot,
    part: Part,
    wishes: watch::Sender<Wishes>,
    _folder: tempfile::TempDir,
    peers: mpsc::Receiver<(Instant, Peer)>,
    cold: Cold,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

fn start(refusals: &[u16]) -> Running {
    start_feed(alpaca(), refusals)
}

fn symbols() -> Vec<Symbol> {
    vec![Symbol::new("AAPL").unwrap()]
}

fn alpaca() -> FeedSettings {
    FeedSettings::Alpaca(AlpacaSettings {
        url: "ws://script".to_owned(),
        key: Secret::new("k"),
        secret: Secret::new("s"),
        symbols: Some(symbols()),
        encoding: Encoding::Json,
        authentication: Authentication::Message,
        rest_url: String::new(),
        symbols_max: None,
        channels: vec!["trades".to_owned()],
    })
}

fn finnhub() -> FeedSettings {
    let url = "ws://script".to_owned();
    FeedSettings::Finnhub(FinnhubSettings {
        url,
        rest_url: String::new(),
        key: Secret::new("swordfish"),
        symbols: symbols(),
        symbols_max: None,
    })
}

fn massive() -> FeedSettings {
    FeedSettings::Massive(MassiveSettings {
        url: "ws://script".to_owned(),
        rest_url: String::new(),
        key: Secret::new("k"),
        symbols: Some(symbols()),
        symbols_max: None,
        channels: vec!["T".to_owned()],
    })
}

fn start_feed(settings: FeedSettings, refusals: &[u16]) -> Running {
    let health = Health::new("test");
    let redis = Vars::from_pairs(&[]).load(RedisConfig::from_vars).unwrap();
    let (hot, _) = Hot::new(redis, health.part("redis"));
    let cold = Cold::default();
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path().join("journal.json")).unwrap();
    let (heal_sender, heal) = mpsc::channel(8);
    let herald = Herald::new(hot.clone(), cold.clone(), journal.clone());
    let gaps = Gaps::resume(settings.feed(), &journal, herald, Some(heal_sender), wall_clock_ms());
    let fanout =
        Fanout::new(settings.feed(), Positions::new(1), hot.clone(), cold.clone(), crate::ledger::Ledger::default());
    let (wishes, watched) = watch::channel(always(&symbols()));
    let (sender, peers) = mpsc::channel(1);
    let refusals = Arc::new(Mutex::new(refusals.iter().rev().copied().collect()));
    let (stop, part) = (CancellationToken::new(), health.part("feed"));
    let task = tokio::spawn(keep_connected(
        Script { peers: sender, refusals },
        settings.protocol(),
        Pipeline::new(fanout, gaps),
        Watched::new(watched),
        part.clone(),
        stop.clone(),
    ));
    Running { heal, hot, part, wishes, _folder: folder, peers, cold, stop, task }
}

impl Running {
    async fn peer(&mut self) -> Peer {
        self.peers.recv().await.unwrap().1
    }

    fn taken(&self) -> usize {
        let mut batch = Vec::new();
        self.cold.take(&mut batch, usize::MAX, usize::MAX, Duration::ZERO);
        batch.iter().filter(|record| record.stream != crate::fanout::record::Stream::Gaps).count()
    }

    async fn fatal(self) -> String {
        self.task.await.unwrap().unwrap_err().to_string()
    }
}

async fn say(peer: &mut Peer, text: &str) {
    peer.send(Message::text(text)).await.unwrap();
}

/// The next text message from the client; pings are answered by the library on the way.
async fn hear(peer: &mut Peer) -> String {
    loop {
        match peer.next().await.unwrap().unwrap() {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

const ACKNOWLEDGEMENT: &str = r#"[{"T":"subscription","trades":["AAPL"]}]"#;
const TRADE: &str = r#"[{"T":"t","S":"AAPL","i":1,"p":1,"s":1,"t":"2024-06-03T14:00:00Z"}]"#;

async fn greet(peer: &mut Peer) {
    say(peer, r#"[{"T":"success","msg":"connected"}]"#).await;
    assert!(hear(peer).await.contains("auth"));
    say(peer, r#"[{"T":"success","msg":"authenticated"}]"#).await;
    assert!(hear(peer).await.contains("subscribe"));
    say(peer, ACKNOWLEDGEMENT).await;
}

/// Keeps the connection alive for `time`, with data, as a healthy feed does.
async fn feed_for(peer: &mut Peer, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        say(peer, TRADE).await;
        let _ = timeout(Duration::from_secs(1), peer.next()).await; // takes pings, so that pongs go out
    }
}

#[tokio::test(start_paused = true)]
async fn records_flow_and_a_stop_is_clean() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    say(&mut peer, TRADE).await;
    say(&mut peer, "nonsense").await;
    say(&mut peer, TRADE).await;
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut taken = 0;
    while taken < 2 && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
        taken += running.taken();
    }
    assert_eq!(taken, 2);
    running.stop.cancel();
    let (stopped, _) = tokio::join!(running.task, async { while let Some(Ok(_)) = peer.next().await {} });
    stopped.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn waits_grow_until_a_stream_has_been_stable_for_ten_seconds() {
    let mut running = start(&[]);
    // Greeted and thrown out at once, again and again: the waits must reach tens of seconds although each time all looked well.
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    for _ in 0..20 {
        let (at, mut peer) = running.peers.recv().await.unwrap();
        longest = longest.max(at - last);
        greet(&mut peer).await;
        last = Instant::now();
    }
    assert!(longest > Duration::from_secs(15), "the longest wait was {longest:?}");
    assert!(longest <= Duration::from_secs(61));
    // After ten seconds of streaming the next wait is short again.
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    feed_for(&mut peer, Duration::from_secs(11)).await;
    drop(peer);
    let lost = Instant::now();
    let (at, _peer) = running.peers.recv().await.unwrap();
    assert!(at - lost <= Duration::from_millis(500), "{:?}", at - lost);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_nine_seconds_makes_no_wait_short_again() {
    let mut running = start(&[]);
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    for _ in 0..20 {
        let (at, mut peer) = running.peers.recv().await.unwrap();
        longest = longest.max(at - last);
        greet(&mut peer).await;
        feed_for(&mut peer, Duration::from_secs(8)).await;
        drop(peer);
        last = Instant::now();
    }
    assert!(longest > Duration::from_secs(15), "the longest wait was {longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_mute_server_is_found_within_thirty_seconds() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    let mute_since = Instant::now();
    // It still answers pings, which its library does by itself, but says nothing any more.
    let answering = tokio::spawn(async move { while let Some(Ok(_)) = peer.next().await {} });
    let (at, _peer) = running.peers.recv().await.unwrap();
    assert!(at - mute_since < Duration::from_secs(30), "{:?}", at - mute_since);
    answering.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_quiet_server_that_answers_is_left_alone() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    mute::serve(&mut peer, mute::at("2024-06-07T20:05:00Z"), Duration::from_secs(10), Some(Duration::from_secs(1)))
        .await;
    let weekend = Instant::now() + Duration::from_secs(60 * 3600);
    while Instant::now() < weekend {
        assert!(hear(&mut peer).await.contains(r#""trades":["AAPL"]"#), "a probe asks for what is subscribed");
        say(&mut peer, ACKNOWLEDGEMENT).await;
    }
    assert!(running.peers.try_recv().is_err(), "no second connection");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_owes_an_answer_is_left_after_three_seconds() {
    let says = [
        (r#"[{"T":"success","msg":"connected"}]"#, "auth"),
        (r#"[{"T":"success","msg":"authenticated"}]"#, "subscribe"),
    ];
    for said in 0..=says.len() {
        let mut running = start(&[]);
        let mut peer = running.peer().await;
        for (what, answer) in &says[..said] {
            say(&mut peer, what).await;
            assert!(hear(&mut peer).await.contains(answer));
        }
        let silent_since = Instant::now();
        let (at, _again) = running.peers.recv().await.unwrap();
        let waited = at - silent_since;
        assert!(waited >= Duration::from_secs(3) && waited <= Duration::from_millis(3_600), "{said}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_nobody_answers_is_given_up_after_ten_seconds() {
    let begin = Instant::now();
    let mut running = start(&[NEVER]);
    running.peer().await;
    let waited = begin.elapsed();
    assert!(waited >= Duration::from_secs(10) && waited <= Duration::from_millis(10_600), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_first_message_that_is_no_welcome_ends_the_connection_and_waits_grow() {
    let mut running = start(&[]);
    let begin = Instant::now();
    for first in ["nonsense", TRADE, r#"[{"T":"success","msg":"hello"}]"#, ACKNOWLEDGEMENT].iter().cycle().take(20) {
        let mut peer = running.peer().await;
        say(&mut peer, first).await;
        assert!(!matches!(peer.next().await, Some(Ok(Message::Text(_)))), "no key goes to a stranger");
    }
    assert!(begin.elapsed() > Duration::from_secs(60), "twenty attempts took only {:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_fewer_handshakes_is_not_stormed() {
    let begin = Instant::now();
    let mut running = start(&[429; 40]);
    greet(&mut running.peer().await).await;
    assert!(begin.elapsed() > Duration::from_secs(300), "forty attempts took only {:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn refused_handshakes_are_retried_or_fatal_by_their_status() {
    let mut running = start(&[429, 503, 500]);
    greet(&mut running.peer().await).await; // three refusals later it is in
    for status in [400, 401, 403, 404] {
        let message = start(&[status]).fatal().await;
        assert!(message.contains(&status.to_string()) && message.contains("check"), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_keys_stop_with_a_sentence_and_without_the_keys() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    say(&mut peer, r#"[{"T":"success","msg":"connected"}]"#).await;
    hear(&mut peer).await;
    say(&mut peer, r#"[{"T":"error","code":402,"msg":"auth failed"}]"#).await;
    assert!(running.fatal().await.contains("check ALPACA_API_KEY and ALPACA_API_SECRET"));
}

#[tokio::test(start_paused = true)]
async fn what_arrives_in_one_frame_with_the_end_of_a_connection_is_taken() {
    for settings in [alpaca(), massive()] {
        let (mut running, is_alpaca) = (start_feed(settings.clone(), &[]), matches!(settings, FeedSettings::Alpaca(_)));
        let mut peer = running.peer().await;
        let frame = if is_alpaca {
            greet(&mut peer).await;
            TRADE.replace(r#"}]"#, r#"},{"T":"error","code":407,"msg":"slow client"},{"T":"t","S":"AAPL","i":2,"p":1,"s":1,"t":"2024-06-03T14:00:01Z"}]"#)
        } else {
            say(&mut peer, r#"[{"ev":"status","status":"connected","message":""}]"#).await;
            hear(&mut peer).await;
            say(&mut peer, r#"[{"ev":"status","status":"auth_success","message":""}]"#).await;
            hear(&mut peer).await;
            say(&mut peer, r#"[{"ev":"status","status":"success","message":"subscribed to: T.AAPL"}]"#).await;
            let trade =
                |id| format!(r#"{{"ev":"T","sym":"AAPL","x":4,"i":"{id}","z":3,"p":1,"s":1,"t":1717423200000}}"#);
            let end = r#"{"ev":"status","status":"max_connections","message":"too many"}"#;
            format!("[{},{end},{}]", trade(1), trade(2))
        };
        say(&mut peer, &frame).await;
        let _again = running.peers.recv().await.unwrap();
        let trades =
            running.hot.queued().into_iter().filter(|record| record.stream == crate::fanout::record::Stream::Trades);
        assert_eq!(trades.count(), 2, "{frame}");
    }
}
