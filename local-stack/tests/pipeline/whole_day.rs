//! A recorded day goes in at the feed, and comes out of PostgreSQL and of a stock Socket.IO client, each trade once.

use std::time::Duration;

use crate::client::Subscriber;
use crate::day::{Day, assert_same_minutes};
use crate::parts::Pipeline;

#[tokio::test(flavor = "multi_thread")]
async fn a_day_as_fast_as_possible_is_stored_exactly_also_when_a_consumer_is_killed() {
    let day = Day::load();
    let pipeline = Pipeline::prepare(&day, "max").await;
    let (mut trades, _) = pipeline.start("consumer-trades", "CONSUMER_TRADES_PORT").await;
    let (mut bars, _) = pipeline.start("consumer-bars", "CONSUMER_BARS_PORT").await;
    let (producer, _) = pipeline.start("producer", "PRODUCER_PORT").await;

    let total = i64::try_from(day.ticks.len()).unwrap();
    pipeline.until_stored(total / 10, Duration::from_secs(60)).await;
    trades.kill().await;
    bars.kill().await;
    trades.restart().await.unwrap();
    bars.restart().await.unwrap();
    pipeline.until_stored(total, Duration::from_secs(180)).await;

    assert!(producer.stop().await && trades.stop().await && bars.stop().await, "all stop by themselves");
    assert_eq!(pipeline.stored().await, total);
    assert_same_minutes(&pipeline.minutes().await, &day.minutes());
    assert_eq!(pipeline.sent().await, total, "the simulator agrees");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_ten_thousand_a_second_a_stock_client_gets_each_trade_once_in_order() {
    let day = Day::load();
    let pipeline = Pipeline::prepare(&day, "10000/s").await;
    let (gateway, gateway_port) = pipeline.start("realtime-gateway", "GATEWAY_PORT").await;
    let subscriber = Subscriber::start(gateway_port, &day.symbol, day.ticks.len()).await;
    let (trades, trades_port) = pipeline.start("consumer-trades", "CONSUMER_TRADES_PORT").await;
    let (producer, producer_port) = pipeline.start("producer", "PRODUCER_PORT").await;

    let seconds = u64::try_from(day.ticks.len() / 10_000).unwrap();
    let report = subscriber.report(Duration::from_secs(60 + 2 * seconds)).await;
    let (size, money) =
        day.ticks.iter().fold((0, 0), |(size, money), tick| (size + tick.size, money + tick.price * tick.size));
    assert_eq!(report, format!("{} trades in order, size {size}, money {money}", day.ticks.len()));

    pipeline.until_stored(i64::try_from(day.ticks.len()).unwrap(), Duration::from_secs(60)).await;
    assert_same_minutes(&pipeline.minutes().await, &day.minutes());
    assert_eq!(pipeline.dead_letters(trades_port).await, 0.0);
    for port in [producer_port, trades_port, gateway_port] {
        Pipeline::metrics_are_clean(port).await;
    }
    assert!(producer.stop().await && trades.stop().await && gateway.stop().await, "all stop by themselves");
}
