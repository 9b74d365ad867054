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
    let rendered = recorder.handle().render();
    let count = |name: &str| {
        let value = rendered.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} is not in\n{rendered}")).parse::<u64>().unwrap()
    };
    for (name, times) in [
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
    ] {
        assert_eq!(count(name), times, "{name}");
    }
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
