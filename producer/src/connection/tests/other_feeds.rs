//! Finnhub and Massive on paused time.

use super::*;

#[tokio::test(start_paused = true)]
async fn finnhub_streams_at_once_and_its_pings_keep_a_quiet_connection() {
    let mut running = start_feed(finnhub(), &[]);
    let mut peer = running.peer().await;
    assert_eq!(hear(&mut peer).await, r#"{"symbol":"AAPL","type":"subscribe"}"#);
    let reader = async |peer: &mut Peer, time| {
        let _ = timeout(time, async { while peer.next().await.is_some() {} }).await;
    };
    for _ in 0..10 {
        say(&mut peer, r#"{"type":"ping"}"#).await;
        reader(&mut peer, Duration::from_secs(60)).await;
    }
    assert!(running.peers.try_recv().is_err(), "no second connection in ten quiet minutes");
    let silent_since = Instant::now() - Duration::from_secs(60);
    let answering = tokio::spawn(async move { while let Some(Ok(_)) = peer.next().await {} });
    let (at, _peer) = running.peers.recv().await.unwrap();
    let found_after = at - silent_since;
    assert!(found_after >= Duration::from_secs(150) && found_after < Duration::from_secs(152), "{found_after:?}");
    answering.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn finnhub_refuses_a_wrong_key_with_401_and_nothing_shows_the_key() {
    let message = start_feed(finnhub(), &[401]).fatal().await;
    assert!(message.contains("401") && message.contains("key") && !message.contains("swordfish"), "{message}");
}

#[tokio::test]
async fn no_address_that_fails_shows_the_key_in_it() {
    for address in
        ["nonsense", "http://127.0.0.1:1", "ws://127.0.0.1:1", "ws://no such host", "ws://[::1", "wss://127.0.0.1:1"]
    {
        let FeedSettings::Finnhub(settings) = finnhub() else { unreachable!() };
        let protocol = FeedSettings::Finnhub(FinnhubSettings { url: address.to_owned(), ..settings }).protocol();
        let endpoint = protocol.endpoint();
        assert!(endpoint.url.expose().contains("swordfish"));
        let dialled = crate::connection::dial::Internet { message_bytes_max: MESSAGE_BYTES_MAX }.dial(&endpoint).await;
        let (Ended::Lost(said) | Ended::Fatal(said)) = refused(&dialled.unwrap_err(), &endpoint) else {
            panic!("{address} is refused")
        };
        assert!(said.contains(address) && !said.contains("swordfish"), "{said}");
    }
}

const STATUS: fn(&str) -> String = |status| format!(r#"[{{"ev":"status","status":"{status}","message":""}}]"#);

pub(super) async fn greet_massive(peer: &mut Peer) {
    say(peer, &STATUS("connected")).await;
    assert!(hear(peer).await.contains("auth"));
    say(peer, &STATUS("auth_success")).await;
    assert_eq!(hear(peer).await, r#"{"action":"subscribe","params":"T.AAPL"}"#);
    say(peer, &STATUS("success")).await;
}

#[tokio::test(start_paused = true)]
async fn too_many_connections_at_massive_never_become_a_loop() {
    let mut running = start_feed(massive(), &[]);
    for _ in 0..5 {
        let mut peer = running.peer().await;
        greet_massive(&mut peer).await; // all looks well, and then:
        say(&mut peer, &STATUS("max_connections")).await;
        let thrown_out = Instant::now();
        let (at, _) = running.peers.recv().await.unwrap();
        let waited = at - thrown_out;
        assert!(waited >= Duration::from_secs(60) && waited <= Duration::from_secs(121), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mute_massive_is_found_within_thirty_seconds_and_a_quiet_one_is_left_alone() {
    let mut running = start_feed(massive(), &[]);
    let mut peer = running.peer().await;
    greet_massive(&mut peer).await;
    let weekend = Instant::now() + Duration::from_secs(3600);
    while Instant::now() < weekend {
        assert!(hear(&mut peer).await.contains("ZVZZT"));
        say(&mut peer, &STATUS("success")).await;
    }
    assert!(running.peers.try_recv().is_err(), "no second connection");
    let mute_since = Instant::now();
    let answering = tokio::spawn(async move { while let Some(Ok(_)) = peer.next().await {} });
    let (at, _peer) = running.peers.recv().await.unwrap();
    assert!(at - mute_since < Duration::from_secs(30), "{:?}", at - mute_since);
    answering.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn massives_statuses_end_the_service_or_only_the_connection() {
    for status in ["auth_failed", "not_authorized"] {
        let mut running = start_feed(massive(), &[]);
        let mut peer = running.peer().await;
        say(&mut peer, &STATUS("connected")).await;
        hear(&mut peer).await;
        say(&mut peer, &STATUS(status)).await;
        let message = running.fatal().await;
        assert!(message.contains(status) && message.contains("MASSIVE_"), "{message}");
    }
    let mut running = start_feed(massive(), &[]);
    let mut peer = running.peer().await;
    say(&mut peer, &STATUS("connected")).await;
    hear(&mut peer).await;
    say(&mut peer, &STATUS("auth_timeout")).await;
    greet_massive(&mut running.peer().await).await;
}
