//! Trades of archived days are served with those of the table: each once, in order, on pages of any size.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use archive::{Archive, ArchivedTrade, DayWriter};
use jiff::civil::{Date, date};
use serde_json::Value;
use tokio_postgres::Client;

use crate::common::{OPEN_MS, api, database, get, store_trades, with};

const MONDAY: Date = date(2024, 6, 3);
const FRIDAY: Date = date(2024, 5, 31);
const DAY_NS: i64 = 86_400_000_000_000;
/// The same time of day on the Friday.
const FRIDAY_NS: i64 = OPEN_MS * 1_000_000 - 3 * DAY_NS;

fn trade(symbol: &str, number: i64, start_ns: i64) -> ArchivedTrade {
    ArchivedTrade {
        symbol: symbol.into(),
        ts_ns: start_ns + number / 3 * 60_000_000_000, // three of each time
        price: 50.0 + number as f64,
        size: 1.0,
        exchange: "V".into(),
        trade_id: format!("{number:04}").as_str().into(),
        source: "alpaca".into(),
        tape: Some("C".into()),
        conditions: Some("@,I".into()),
        epoch: Some(7),
        seq: Some(number + 1),
        void_at_us: (number == 5).then_some(1),
        void_reason: (number == 5).then(|| "cancelled".into()),
    }
}

async fn publish(archive: &Archive, client: &Client, day: Date, trades: Vec<ArchivedTrade>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = DayWriter::new(file.reopen().unwrap()).unwrap();
    trades.into_iter().for_each(|trade| writer.push(trade).unwrap());
    let digest = writer.finish().unwrap();
    archive.publish(day, file.path(), digest).await.unwrap();
    let sql = "INSERT INTO market_data_oltp.archived_days (day, rows, void, hash, bytes) VALUES ($1, 0, 0, 0, 0)
               ON CONFLICT (day) DO UPDATE SET restored_at = NULL";
    client.execute(sql, &[&day]).await.unwrap();
}

/// Follows page tokens to the end; returns the prices.
async fn all_pages<B: MessageBody>(
    api: &impl Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    query: &str,
    limit: usize,
) -> Vec<f64> {
    let (mut prices, mut token) = (Vec::new(), String::new());
    loop {
        let page = get(api, &format!("/v2/stocks/AAPL/trades?{query}&limit={limit}{token}")).await.json();
        let trades = page["trades"].as_array().unwrap();
        assert!(trades.len() <= limit);
        prices.extend(trades.iter().map(|trade| trade["p"].as_f64().unwrap()));
        match &page["next_page_token"] {
            Value::String(next) => token = format!("&page_token={next}"),
            _ => return prices,
        }
    }
}

#[actix_web::test]
async fn archived_days_and_the_table_are_one_history_on_pages_of_any_size() {
    let (database, client) = database().await;
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::in_folder(folder.path()).unwrap();
    let path = folder.path().display().to_string();
    let friday: Vec<_> = ["AAPL", "MSFT"]
        .into_iter()
        .flat_map(|symbol| (0..40).map(move |number| trade(symbol, number, FRIDAY_NS)))
        .collect();
    publish(&archive, &client, FRIDAY, friday.clone()).await;
    store_trades(&client, "AAPL", 25).await; // on Monday
    let api = api(with(&database, &[("ARCHIVE_DIR", &path)])).await;

    let expected: Vec<f64> = (0..40)
        .filter(|number| *number != 5)
        .map(|number| 50.0 + f64::from(number))
        .chain((0..25).map(|at| 100.0 + f64::from(at)))
        .collect();
    let newest_first: Vec<f64> = expected.iter().rev().copied().collect();
    for limit in [1, 2, 7, 39, 40, 1000] {
        assert_eq!(all_pages(&api, "start=2024-05-01&end=2024-06-05", limit).await, expected, "limit {limit}");
        assert_eq!(
            all_pages(&api, "start=2024-05-01&end=2024-06-05&sort=desc", limit).await,
            newest_first,
            "limit {limit}"
        );
    }
    let before_the_archive = all_pages(&api, "start=2023-01-01&end=2024-05-30", 10).await;
    assert!(before_the_archive.is_empty());
    let minute = all_pages(&api, "start=2024-05-31T13:31:00Z&end=2024-05-31T13:31:59Z", 10).await;
    assert_eq!(minute, [53.0, 54.0]); // the third is void

    // Some of Monday is in both places, as while a day moves: each trade is served once.
    let sql = "SELECT ts_ns, price, size, exchange, trade_id FROM market_data_oltp.stock_trades_realtime ORDER BY symbol, ts_ns, exchange, trade_id";
    let monday = client.query(sql, &[]).await.unwrap();
    let monday = monday.iter().map(|row| ArchivedTrade {
        ts_ns: row.get(0),
        price: row.get(1),
        size: row.get(2),
        exchange: row.get::<_, &str>(3).into(),
        trade_id: row.get::<_, &str>(4).into(),
        ..trade("AAPL", 0, 0)
    });
    publish(&archive, &client, MONDAY, monday.collect()).await;
    assert_eq!(all_pages(&api, "start=2024-05-01&end=2024-06-05", 7).await, expected);
    client.batch_execute("DROP TABLE market_data_oltp.stock_trades_realtime_p20240603").await.unwrap();
    assert_eq!(all_pages(&api, "start=2024-05-01&end=2024-06-05", 7).await, expected);
    assert_eq!(all_pages(&api, "start=2024-05-01&end=2024-06-05&sort=desc", 7).await, newest_first);

    // A file that is replaced is read anew; a restored day is the table's alone.
    publish(&archive, &client, FRIDAY, friday[..3].to_vec()).await;
    assert_eq!(all_pages(&api, "start=2024-05-01&end=2024-06-01", 7).await, [50.0, 51.0, 52.0]);
    client.batch_execute("UPDATE market_data_oltp.archived_days SET restored_at = now()").await.unwrap();
    assert!(all_pages(&api, "start=2024-05-01&end=2024-06-01", 7).await.is_empty());
}

#[actix_web::test]
async fn a_damaged_archive_is_a_503_that_names_the_day() {
    let (database, client) = database().await;
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::in_folder(folder.path()).unwrap();
    publish(&archive, &client, FRIDAY, (0..40).map(|number| trade("AAPL", number, FRIDAY_NS)).collect()).await;
    let file = folder.path().join(format!("trades/day={FRIDAY}/trades.parquet"));
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 9]).unwrap();
    let api = api(with(&database, &[("ARCHIVE_DIR", &folder.path().display().to_string())])).await;
    let answer = get(&api, "/v2/stocks/AAPL/trades?start=2024-05-01&end=2024-06-05").await;
    assert_eq!(answer.status.as_u16(), 503);
    assert!(String::from_utf8_lossy(&answer.body).contains("2024-05-31"), "{}", String::from_utf8_lossy(&answer.body));
}
