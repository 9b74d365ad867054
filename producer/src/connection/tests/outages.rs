//! Extents of outages through a whole connection, on paused time: by our clock, whatever the records say.

use market::Gap;

use super::mute::{MINUTE, SECOND, at, serve};
use super::*;

const START: &str = "2024-06-03T14:00:00Z";

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap()
}

async fn trade_at(peer: &mut Peer, ms: i64) {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap();
    say(peer, &format!(r#"[{{"T":"t","S":"AAPL","i":1,"p":1,"s":1,"t":"{time}"}}]"#)).await;
}

/// The next gap that ended.
async fn ended(running: &mut Running) -> Gap {
    running.heal.recv().await.unwrap().gap
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_one_gap_by_our_clock_and_a_late_report_does_not_shrink_it() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    let last_ms = serve(&mut peer, at(START), 15 * SECOND, Some(SECOND)).await;
    let cut = Instant::now();
    drop(peer);
    // Failed attempts in between belong to the same outage.
    let mut peer = loop {
        let peer = running.peer().await;
        if cut.elapsed() > 110 * SECOND {
            break peer;
        }
    };
    greet(&mut peer).await;
    let back_ms = last_ms + ms(cut.elapsed());
    // The market pauses; the only record that comes was made one second after the outage began.
    serve(&mut peer, 0, 5 * SECOND, None).await;
    trade_at(&mut peer, last_ms + 1000).await;
    serve(&mut peer, 0, 5 * SECOND, None).await;
    let gap = ended(&mut running).await;
    assert!(gap.from <= last_ms && gap.from > last_ms - 5000, "{}", gap.from - last_ms);
    assert!(gap.to.unwrap() >= back_ms, "{} ms are missing", back_ms - gap.to.unwrap());
    assert!(gap.to.unwrap() < back_ms + 15_000);
    assert!(gap.cause.contains("closed") || gap.cause.contains("reset"), "{}", gap.cause);
    assert!(running.heal.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stamp_of_37_minutes_ahead_moves_neither_the_next_gap_nor_a_later_one() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    let mut now_ms = serve(&mut peer, at(START), 15 * SECOND, Some(SECOND)).await;
    trade_at(&mut peer, now_ms + 37 * 60_000).await;
    for _ in 0..2 {
        let (last_ms, cut) = (now_ms, Instant::now());
        drop(peer);
        peer = running.peer().await;
        greet(&mut peer).await;
        let back_ms = last_ms + ms(cut.elapsed());
        now_ms = serve(&mut peer, back_ms, 15 * SECOND, Some(SECOND)).await;
        let gap = ended(&mut running).await;
        assert!(gap.from <= last_ms && gap.from > last_ms - 5000, "{}", gap.from - last_ms);
        let to = gap.to.unwrap();
        assert!(to >= back_ms && to < back_ms + 15_000, "{}", to - back_ms);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_too_slow_fills_the_gap_from_history() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    let last_ms = serve(&mut peer, at(START), 15 * SECOND, Some(SECOND)).await;
    say(&mut peer, r#"[{"T":"error","code":407,"msg":"slow client"}]"#).await;
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    serve(&mut peer, last_ms + 7000, MINUTE, Some(SECOND)).await;
    let gap = ended(&mut running).await;
    assert!(gap.from <= last_ms && gap.to > Some(last_ms), "{gap:?}");
    assert!(gap.cause.contains("407") && gap.cause.contains("slow client"), "{}", gap.cause);
}
