//! What the tests of this consumer share: a consumer in this process, bars made up and sent.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

#[path = "../../../consumer-trades/tests/support/mod.rs"]
pub(crate) mod support;

use consumer_bars::config;
use futures_util::TryFutureExt as _;
use market::{Bar, Position, Source, Symbol, Timeframe, wire};
use service::CancellationToken;
use support::{DAY_NS, PATIENCE, Place, Sender, eventually};
use tokio::task::JoinHandle;

pub(crate) const TABLE: &str = "market_data_oltp.stock_bars_staging";

/// A consumer in this process.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub(crate) fn start(place: &Place) -> Self {
        let config = place.vars().load(config::from_vars).unwrap();
        let stop = CancellationToken::new();
        let run = consumer_bars::run(config, stop.clone());
        let task = tokio::spawn(run.inspect_err(|error| eprintln!("the consumer ended: {error:#}")));
        Self { stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it stops").unwrap().unwrap();
    }
}

/// One version of the bar that starts `minute` minutes after the day's start. The close tells versions apart.
pub(crate) fn bar(symbol: &str, minute: i64, revision: u32, is_final: bool, close: f64) -> Bar {
    Bar {
        symbol: Symbol::new(symbol).unwrap(),
        timeframe: Timeframe::MINUTE,
        open: 10.0,
        high: 12.0,
        low: 9.0,
        close,
        volume: 100.0,
        trade_count: Some(7),
        vwap: Some(10.5),
        start_ms: DAY_NS / 1_000_000 + minute * 60_000,
        is_final,
        revision,
        source: Source::alpaca(),
    }
}

pub(crate) fn send(sender: &Sender, bar: &Bar, seq: u64) {
    let mut out = Vec::new();
    wire::encode_bar(bar, Position { epoch: 1_717_400_000_000, seq }, &mut out);
    sender.send(bar.symbol.as_str(), &out);
}

/// Sends a bar that is surely the last of its symbol's partition, and waits for it: everything before it is stored then.
pub(crate) async fn settle(place: &Place, sender: &Sender, symbol: &str, at_minute: i64) {
    send(sender, &bar(symbol, at_minute, 0, true, 1.0), u64::MAX >> 1);
    sender.flush();
    let client = place.database.connect().await;
    eventually("the last bar", async || {
        let sql = format!("SELECT count(*) FROM {TABLE} WHERE symbol = $1 AND timeframe = '1Min' AND ts_ns = $2");
        let ts_ns = DAY_NS + at_minute * 60_000_000_000;
        client.query_one(&sql, &[&symbol, &ts_ns]).await.ok().filter(|row| row.get::<_, i64>(0) == 1).map(drop)
    })
    .await;
}
