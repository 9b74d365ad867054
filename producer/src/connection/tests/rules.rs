//! Every row of Alpaca's error table, and what happens to servers that break the rules of WebSocket.

use tokio::io::AsyncWriteExt as _;

use super::*;

/// What becomes of the service.
#[derive(Debug, PartialEq)]
enum Fate {
    Fatal,
    Reconnects,
    GoesOn,
}

/// Tells the client about an error, while it waits for the acknowledgement of its subscription or while records stream.
async fn fate(error: &str, streaming: bool) -> Fate {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    say(&mut peer, r#"[{"T":"success","msg":"connected"}]"#).await;
    hear(&mut peer).await;
    say(&mut peer, r#"[{"T":"success","msg":"authenticated"}]"#).await;
    hear(&mut peer).await;
    if streaming {
        say(&mut peer, ACKNOWLEDGEMENT).await;
    }
    say(&mut peer, &format!(r#"[{{"T":"error",{error}}}]"#)).await;
    if !streaming {
        let _ = peer.send(Message::text(ACKNOWLEDGEMENT)).await; // the connection may be over
    }
    let _ = peer.send(Message::text(TRADE)).await;
    let reader = tokio::spawn(async move { while let Some(Ok(_)) = peer.next().await {} });
    let fate = tokio::select! {
        biased;
        ended = &mut running.task => {
            let sentence = ended.unwrap().unwrap_err().to_string();
            assert!(sentence.contains(": ") && sentence.len() > 40, "a person must know what to do: {sentence}");
            Fate::Fatal
        }
        again = running.peers.recv() => {
            assert!(again.is_some());
            Fate::Reconnects
        }
        () = sleep(Duration::from_secs(2)) => Fate::GoesOn,
    };
    assert_eq!(running.taken() > 0, fate == Fate::GoesOn, "{error}: records flow exactly where the connection goes on");
    reader.abort();
    fate
}

#[tokio::test(start_paused = true)]
async fn every_row_of_the_error_table() {
    use Fate::{Fatal, GoesOn, Reconnects};
    let rows = [
        (r#""code":400,"msg":"invalid syntax""#, Fatal, GoesOn),
        (r#""code":402,"msg":"auth failed""#, Fatal, Fatal),
        (r#""code":403,"msg":"already authenticated""#, GoesOn, GoesOn),
        (r#""code":404,"msg":"auth timeout""#, Reconnects, Reconnects),
        (r#""code":405,"msg":"symbol limit exceeded""#, GoesOn, GoesOn),
        (r#""code":406,"msg":"connection limit exceeded""#, Reconnects, Reconnects),
        (r#""code":407,"msg":"slow client""#, Reconnects, Reconnects),
        (r#""code":408,"msg":"v2 not enabled""#, Fatal, Fatal),
        (r#""code":409,"msg":"insufficient subscription""#, Fatal, Fatal),
        (r#""code":410,"msg":"invalid subscribe action""#, Fatal, GoesOn),
        (r#""code":411,"msg":"insufficient scope""#, Fatal, Fatal),
        (r#""code":412,"msg":"only msgpack""#, Fatal, GoesOn),
        (r#""code":413,"msg":"star not allowed""#, Fatal, GoesOn),
        (r#""code":500,"msg":"internal error""#, Reconnects, Reconnects),
        (r#""code":599,"msg":"brand new""#, Reconnects, GoesOn),
        (r#""msg":"no code""#, Reconnects, GoesOn),
        (r#""code":"406","msg":7"#, Reconnects, GoesOn),
    ];
    for (error, connecting, streaming) in rows {
        assert_eq!(fate(error, false).await, connecting, "while connecting: {error}");
        assert_eq!(fate(error, true).await, streaming, "while streaming: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn error_401_is_answered_with_the_keys_once_more_and_then_fatal() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    say(&mut peer, r#"[{"T":"success","msg":"connected"}]"#).await;
    assert!(hear(&mut peer).await.contains("auth"));
    say(&mut peer, r#"[{"T":"error","code":401,"msg":"not authenticated"}]"#).await;
    assert!(hear(&mut peer).await.contains("auth"));
    say(&mut peer, r#"[{"T":"error","code":401,"msg":"not authenticated"}]"#).await;
    assert!(running.fatal().await.contains("sent twice"));
}

#[tokio::test(start_paused = true)]
async fn error_401_in_the_middle_of_the_stream_is_answered_with_the_keys_and_the_subscription() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    say(&mut peer, r#"[{"T":"error","code":401,"msg":"not authenticated"}]"#).await;
    assert!(hear(&mut peer).await.contains("auth"));
    say(&mut peer, r#"[{"T":"success","msg":"authenticated"}]"#).await;
    assert!(hear(&mut peer).await.contains(r#""trades":["AAPL"]"#));
    say(&mut peer, ACKNOWLEDGEMENT).await;
    say(&mut peer, r#"[{"T":"error","code":401,"msg":"not authenticated"}]"#).await;
    assert!(running.fatal().await.contains("sent twice"), "once on each connection");
}

#[tokio::test(start_paused = true)]
async fn a_connection_limit_is_waited_for_without_end_and_without_a_storm() {
    let mut running = start(&[]);
    let begin = Instant::now();
    for _ in 0..40 {
        let mut peer = running.peer().await;
        say(&mut peer, r#"[{"T":"success","msg":"connected"}]"#).await;
        hear(&mut peer).await;
        say(&mut peer, r#"[{"T":"error","code":406,"msg":"connection limit exceeded"}]"#).await;
    }
    assert!(begin.elapsed() > Duration::from_secs(300), "forty attempts took only {:?}", begin.elapsed());
    greet(&mut running.peer().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_no_ping_is_left_within_twenty_seconds() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    let since = Instant::now();
    // Records come, but nobody reads what the client says.
    let talking = tokio::spawn(async move {
        while peer.feed(Message::text(TRADE)).await.is_ok() && peer.flush().await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    let (at, _peer) = running.peers.recv().await.unwrap();
    let waited = at - since;
    assert!(waited >= Duration::from_secs(20) && waited < Duration::from_secs(23), "{waited:?}");
    talking.abort();
}

/// The close code that the client sends after `bytes`.
async fn close_code_after(bytes: &[u8]) -> u16 {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    peer.get_mut().write_all(bytes).await.unwrap();
    let code = loop {
        match peer.next().await {
            Some(Ok(Message::Close(Some(close)))) => break close.code.into(),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    drop(peer);
    greet(&mut running.peer().await).await; // it comes back
    code
}

#[tokio::test(start_paused = true)]
async fn a_message_just_below_the_limit_is_processed_whole() {
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    let one = &TRADE[1..TRADE.len() - 1];
    let trades = (MESSAGE_BYTES_MAX - 1) / (one.len() + 1);
    let message = format!("[{}]", vec![one; trades].join(","));
    assert!(message.len() <= MESSAGE_BYTES_MAX && message.len() + one.len() > MESSAGE_BYTES_MAX);
    say(&mut peer, &message).await;
    let mut taken = 0;
    while taken < trades {
        sleep(Duration::from_millis(10)).await;
        taken += running.taken();
    }
    assert_eq!(taken, trades);
    say(&mut peer, TRADE).await;
    assert!(running.peers.try_recv().is_err(), "the connection goes on");
}

#[tokio::test(start_paused = true)]
async fn broken_text_and_giant_messages_end_the_connection_and_say_why() {
    assert_eq!(close_code_after(&[0x81, 0x02, 0xff, 0xfe]).await, 1007);
    let mut giant = vec![0x82, 127];
    giant.extend_from_slice(&(17_u64 << 20).to_be_bytes());
    assert_eq!(close_code_after(&giant).await, 1009);
}
