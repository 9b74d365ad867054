//! What is refused, skipped or lost is counted, and the names of the counters stay.

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::io::AsyncWriteExt as _;

use super::*;

#[tokio::test(start_paused = true)]
async fn everything_that_goes_wrong_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    for message in [
        r#"[{"T":"error","code":405,"msg":"symbol limit exceeded"}]"#,
        r#"[{"T":"error","code":"new","msg":7}]"#,
        r#"[{"T":"success","msg":"something new"}]"#,
        r#"[{"T":"t"},{"T":"zz"},{"T":"zz"},7,{"T":"t","S":"","p":1,"s":1,"t":"2024-06-03T14:00:00Z"}]"#,
        "nonsense",
        "[]",
        r#"[{"T":"s","S":"AAPL"}]"#,
        r#"[{"T":"subscription","trades":[]}]"#, // AAPL is gone
    ] {
        say(&mut peer, message).await;
    }
    peer.get_mut().write_all(&[0x81, 0x02, 0xff, 0xfe]).await.unwrap();
    greet(&mut running.peer().await).await;
    let counted = [
        (r#"producer_feed_errors_total{code="405"}"#, 1),
        (r#"producer_feed_errors_total{code="without a code"}"#, 1),
        ("producer_feed_notes_total", 1),
        (r#"producer_skipped_total{reason="bad_field"}"#, 1),
        (r#"producer_skipped_total{reason="unknown_type"}"#, 2),
        (r#"producer_skipped_total{reason="not_an_object"}"#, 1),
        (r#"producer_skipped_total{reason="out_of_limits"}"#, 1),
        (r#"producer_skipped_total{reason="malformed_frame"}"#, 1),
        (r#"producer_other_messages_total{kind="status"}"#, 1),
        ("producer_subscriptions_refused_total", 1),
        (r#"producer_feed_violations_total{code="1007"}"#, 1),
        (r#"producer_feed_reconnects_total{feed="alpaca"}"#, 1),
    ];
    assert_counted(&recorder.handle().render(), &counted);
}

fn assert_counted(rendered: &str, counted: &[(&str, u64)]) {
    for (name, times) in counted {
        let line = format!("{name} {times}");
        assert!(rendered.lines().any(|rendered| rendered == line), "{line} is not in\n{rendered}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_other_feeds_refuse_is_counted_and_no_word_of_theirs_becomes_a_name() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let mut running = start_feed(massive(), &[]);
    let mut peer = running.peer().await;
    other_feeds::greet_massive(&mut peer).await;
    for status in ["error", "brand_new", "newer_still", "max_connections"] {
        say(&mut peer, &format!(r#"[{{"ev":"status","status":"{status}","message":""}}]"#)).await;
    }
    running.peer().await;
    let counted = [
        (r#"producer_feed_errors_total{code="error"}"#, 1),
        (r#"producer_feed_errors_total{code="unknown"}"#, 2),
        (r#"producer_feed_errors_total{code="max_connections"}"#, 1),
        (r#"producer_feed_reconnects_total{feed="massive"}"#, 1),
    ];
    assert_counted(&recorder.handle().render(), &counted);

    let mut running = start_feed(finnhub(), &[]);
    let mut peer = running.peer().await;
    say(&mut peer, r#"{"type":"error","msg":"Invalid symbol"}"#).await;
    say(&mut peer, r#"{"type":"brand new"}"#).await;
    drop(peer);
    running.peer().await;
    let counted = [
        (r#"producer_feed_errors_total{code="finnhub"}"#, 1),
        (r#"producer_skipped_total{reason="unknown_type"}"#, 1),
        (r#"producer_feed_reconnects_total{feed="finnhub"}"#, 1),
    ];
    assert_counted(&recorder.handle().render(), &counted);
}

#[tokio::test(start_paused = true)]
async fn lag_is_measured_channel_by_channel() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let mut running = start(&[]);
    let mut peer = running.peer().await;
    greet(&mut peer).await;
    let quote = r#"{"T":"q","S":"AAPL","bp":1,"bs":1,"ap":2,"as":1,"t":"2024-06-03T14:00:00Z"}"#;
    say(&mut peer, &TRADE.replace('[', &format!("[{quote},"))).await;
    while running.taken() == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    let rendered = recorder.handle().render();
    for stream in ["trades", "quotes"] {
        let name = format!(r#"producer_feed_lag_seconds_count{{feed="alpaca",stream="{stream}"}} 1"#);
        assert!(rendered.contains(&name), "{name} is not in\n{rendered}");
    }
}
