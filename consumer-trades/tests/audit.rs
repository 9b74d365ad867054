//! The audit finds what is missing and names the hop; the views answer in `psql`.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod support;

use support::{Place, Sender, encoded, eventually, rows_stored, send_trades, trade};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const CONSUMER: &str = env!("CARGO_BIN_EXE_consumer-trades");

/// Sends trades of one symbol, numbered as the producer does, and waits until they are stored.
async fn store_numbered(place: &Place, numbers: impl Iterator<Item = u32>) {
    let sender = Sender::new(place);
    let mut count = 0;
    for number in numbers {
        let mut trade = trade(0);
        trade.trade_id = Some(number.to_string().into());
        trade.ts_ns += i64::from(number) * 1_000_000_000; // one a second
        sender.send("AAPL", &encoded(&trade, u64::from(number) + 1));
        count += 1;
    }
    sender.flush();
    rows_stored(&place.database, count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hop_that_loses_a_record_is_named() {
    let place = Place::new().await;
    place.make_topics().await;
    let consumer = place.start(CONSUMER);
    store_numbered(&place, 0..300).await;
    let audit = async |more: &[&str]| {
        let arguments = [&["audit", "--all"], more].concat();
        place.command(CONSUMER, &arguments).await
    };
    let (code, said) = audit(&[]).await;
    assert!(
        code == Some(0) && said.contains("300 records in 5 minutes of Kafka, 0 dead letters, 0 differences"),
        "{said}"
    );

    // A repeat and a dead letter are no differences.
    let sender = Sender::new(&place);
    let mut repeat = trade(0);
    repeat.trade_id = Some("0".into());
    sender.send("AAPL", &encoded(&repeat, 1));
    sender.send("AAPL", b"no trade");
    sender.flush();
    eventually("the dead letter", async || (place.letters().await.len() == 1).then_some(())).await;
    let (code, said) = audit(&[]).await;
    assert!(code == Some(0) && said.contains("300 records in 5 minutes of Kafka, 1 dead letters"), "{said}");

    // Numbers 301 to 310 never came.
    store_numbered(&place, (310..320).chain(0..300)).await;
    rows_stored(&place.database, 310).await;
    let (code, said) = audit(&[]).await;
    assert!(
        code == Some(1) && said.contains("2024-06-03T14:05:00Z\t20\t10\t10") && said.contains("producer → Kafka"),
        "{said}"
    );
    let client = place.database.connect().await;
    let sql = "SELECT seq_before, missing FROM market_data_oltp.tapeline_seq_steps WHERE symbol = 'AAPL'";
    let gap = client.query_one(sql, &[]).await.unwrap();
    assert_eq!((gap.get::<_, i64>(0), gap.get::<_, i64>(1)), (300, 10));

    let one = "DELETE FROM market_data_oltp.stock_trades_realtime WHERE trade_id = '7'";
    assert_eq!(client.execute(one, &[]).await.unwrap(), 1);
    let (code, said) = audit(&[]).await;
    assert!(code == Some(1) && said.contains("2024-06-03T14:00:00Z\t60\t60\t59\t-\tKafka → PostgreSQL"), "{said}");

    // An API that serves one page too few.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    let serve = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            let body = if request[..read].starts_with(b"GET /openapi.json ") {
                r#"{"paths":{"/v2/stocks/{symbol}/trades":{}}}"#
            } else {
                r#"{"trades":[{"t":"2024-06-03T14:00:01Z"}],"symbol":"AAPL","next_page_token":null}"#
            };
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let (code, said) = audit(&["--api", &api]).await;
    assert!(code == Some(1) && said.contains("\t59\t1\tPostgreSQL → API"), "{said}");
    serve.abort();

    // What could not be asked is no difference: nobody there, and somebody else there.
    let nobody = format!("http://127.0.0.1:{}", local_stack::port::free().unwrap());
    let (code, said) = audit(&["--api", &nobody]).await;
    assert!(code == Some(2) && said.contains(&nobody) && said.contains("could not be asked"), "{code:?} {said}");
    let (code, said) = audit(&["--api", &format!("http://127.0.0.1:{}", consumer.port)]).await;
    assert!(code == Some(2) && said.contains("is not Tapeline's history API"), "{code:?} {said}");
    assert_eq!(consumer.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_users_see_lag_counts_and_minutes_and_can_write_nothing() {
    let place = Place::new().await;
    place.make_topics().await;
    let consumer = place.start(CONSUMER);
    send_trades(&place, 0..1_000).await;
    rows_stored(&place.database, 1_000).await;
    let client = place.database.connect().await;
    let lag = "SELECT count(*), sum(log_end)::bigint, sum(lag_records)::bigint FROM market_data_oltp.tapeline_lag WHERE topic = $1 AND log_end IS NOT NULL";
    eventually("the lag of all partitions", async || {
        let row = client.query_one(lag, &[&place.topic]).await.unwrap();
        let seen = (row.get::<_, i64>(0), row.get::<_, Option<i64>>(1), row.get::<_, Option<i64>>(2));
        (seen == (6, Some(1_000), Some(0))).then_some(())
    })
    .await;
    let minutes = "SELECT trades, shares FROM market_data_oltp.tapeline_minutes WHERE symbol = 'AAPL'";
    let row = client.query_one(minutes, &[]).await.unwrap();
    let shares: f64 = (0..1_000).step_by(8).map(|number| trade(number).size).sum();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, f64>(1)), (125, shares));
    assert_eq!(consumer.stop().await, Some(0));

    let mut reader = place.database.config();
    let (reader, connection) = reader.user("tapeline_reader").connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for view in ["progress", "lag", "freshness", "counts", "minutes", "seq_steps", "gaps", "empty_minutes"] {
        let sql = format!("SELECT * FROM tapeline_{view} LIMIT 1"); // its search path knows the schema
        reader.query(&sql, &[]).await.unwrap();
    }
    let write = reader.execute("DELETE FROM stock_trades_realtime", &[]).await.unwrap_err();
    assert!(matches!(write.code().map(|code| code.code()), Some("25006" | "42501")), "{write:?}");
    let limit: String = reader.query_one("SHOW statement_timeout", &[]).await.unwrap().get(0);
    assert_eq!(limit, "30s");
}
