//! A feed that answers every question and delivers nothing, on paused time.

use market::Gap;

use super::*;

/// Unix milliseconds of a time.
pub(super) fn at(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap()
}

/// Plays a server for `time` that acknowledges what it is asked, and sends a trade after each `pause`, if there is one, with times from
/// `ms` on. Returns feed time at the end, in Unix milliseconds.
pub(super) async fn serve(peer: &mut Peer, ms: i64, time: Duration, pause: Option<Duration>) -> i64 {
    let begin = Instant::now();
    let now_ms = || ms + i64::try_from(begin.elapsed().as_millis()).unwrap();
    let mut next = pause.map(|pause| begin + pause);
    loop {
        tokio::select! {
            biased;
            () = sleep_until(next.unwrap_or(begin)), if next.is_some() => {
                let time = jiff::Timestamp::from_millisecond(now_ms()).unwrap();
                say(peer, &format!(r#"[{{"T":"t","S":"AAPL","i":1,"p":1,"s":1,"t":"{time}"}}]"#)).await;
                next = pause.map(|pause| Instant::now() + pause);
            }
            () = sleep_until(begin + time) => return now_ms(),
            message = peer.next() => match message {
                Some(Ok(Message::Text(_))) => say(peer, ACKNOWLEDGEMENT).await,
                Some(Ok(_)) => {}
                _ => return now_ms(), // given up
            }
        }
    }
}

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_feed_that_answers_but_delivers_nothing_while_the_market_is_open_is_left_within_thirty_seconds() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    let last_ms = serve(&mut peer, at("2024-06-03T14:00:00Z"), 2 * MINUTE, Some(SECOND)).await;
    let mute_since = Instant::now();
    let answering = tokio::spawn(async move { serve(&mut peer, last_ms, 60 * MINUTE, None).await });
    let mut peer = running.peer().await;
    assert!(mute_since.elapsed() < Duration::from_secs(30), "{:?}", mute_since.elapsed());
    answering.await.unwrap();

    // As long as nothing comes the gap is open, whatever is acknowledged, and health says so.
    let told = |running: &Running| {
        let gaps = running.hot.queued().into_iter().filter_map(|record| Gap::decode(&record.json).ok());
        gaps.collect::<Vec<_>>()
    };
    let mut now_ms = last_ms + ms(mute_since.elapsed());
    for _ in 0..3 {
        greet(&mut peer).await;
        assert_ne!(running.part.status(), service::health::Status::Ok);
        now_ms = serve(&mut peer, now_ms, MINUTE / 6, None).await;
        assert_ne!(running.part.status(), service::health::Status::Ok);
        assert!(running.heal.try_recv().is_err(), "it has not ended");
        assert_eq!(told(&running).len(), 1);
        now_ms = serve(&mut peer, now_ms, 3 * MINUTE, None).await; // until it is left
        let waits = Instant::now();
        peer = running.peer().await;
        now_ms += ms(waits.elapsed());
    }
    let open = told(&running).remove(0);
    assert!(open.to.is_none() && open.from <= last_ms && open.from > last_ms - 5000, "{open:?}");
    assert!(open.cause.contains("no record for 10 s while the market is open"), "{}", open.cause);
    greet(&mut peer).await;
    let first_ms = now_ms;
    serve(&mut peer, now_ms, 15 * SECOND, Some(SECOND)).await;
    let gap = running.heal.recv().await.unwrap().gap;
    assert!(gap.from == open.from && gap.to.unwrap() >= first_ms, "{gap:?}");
    assert_eq!(running.part.status(), service::health::Status::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_is_silent_from_its_first_second_on_is_an_open_gap_within_thirty_seconds() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    // The feed's time is known from an earlier connection, which told it by a few records.
    greet(&mut peer).await;
    let last_ms = serve(&mut peer, at("2024-06-03T14:00:00Z"), 10 * SECOND, Some(SECOND)).await;
    drop(peer);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    serve(&mut peer, last_ms, 10 * SECOND, Some(SECOND)).await;
    running.heal.recv().await.unwrap();
    let begun = running.hot.queued().len();
    serve(&mut peer, last_ms, 31 * SECOND, None).await;
    let told = running.hot.queued().split_off(begun);
    let gap = told.iter().find_map(|record| Gap::decode(&record.json).ok()).expect("a gap is declared");
    assert_eq!(gap.to, None);
    assert_ne!(running.part.status(), service::health::Status::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_sparse_feed_an_evening_a_saturday_a_holiday_and_a_half_day_are_left_alone() {
    for (last_minutes, pause, silence) in [
        ("2024-06-03T14:00:00Z", 40 * SECOND, 3 * MINUTE), // sparse, in the middle of a day
        ("2024-06-03T19:58:00Z", SECOND, 2 * 60 * MINUTE), // an evening
        ("2024-06-07T19:58:00Z", SECOND, 20 * 60 * MINUTE), // a Saturday
        ("2024-07-03T16:58:00Z", SECOND, 24 * 60 * MINUTE), // a half day and the holiday behind it
    ] {
        let mut running = start(&[]);
        let mut peer = running.peer().await;
        greet(&mut peer).await;
        let streamed = if pause == SECOND { 2 * MINUTE } else { 20 * MINUTE };
        let last_ms = serve(&mut peer, at(last_minutes), streamed, Some(pause)).await;
        serve(&mut peer, last_ms, silence, None).await;
        assert!(running.peers.try_recv().is_err(), "{last_minutes}: no second connection");
    }
}
