//! Corrections meet their trades in PostgreSQL, whichever of the two comes first.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod support;

use market::{Correction, Outcome, Trade, VoidTrade, wire};
use support::{DAY_NS, Place, Program, Sender, encoded, eventually, rows_stored, trade};

const CONSUMER: &str = env!("CARGO_BIN_EXE_consumer-trades");
const SECOND_NS: i64 = 1_000_000_000;

/// A trade of AAPL.
fn apple(id: &str, price: f64, second: i64) -> Trade {
    let mut trade = trade(0);
    (trade.price, trade.ts_ns) = (price, DAY_NS + second * SECOND_NS);
    (trade.trade_id, trade.exchange) = (Some(id.into()), Some("D".into()));
    trade
}

/// Says a minute later that `void` does not hold.
fn correction(void: &Trade, outcome: Outcome) -> Vec<u8> {
    let correction = Correction {
        void: VoidTrade {
            symbol: void.symbol,
            price: void.price,
            size: void.size,
            ts_ns: void.ts_ns + 60 * SECOND_NS,
            trade_id: void.trade_id.clone(),
            exchange: void.exchange.clone(),
        },
        outcome,
        source: void.source.clone(),
    };
    let mut json = Vec::new();
    wire::encode_correction(&correction, None, &mut json);
    json
}

fn cancelled(void: &Trade) -> Vec<u8> {
    correction(void, Outcome::Cancelled("C".into()))
}

/// What a test does: sends trades and corrections, and looks.
struct Scene {
    place: Place,
    consumer: Program,
    trades: Sender,
    corrections: Sender,
}

impl Scene {
    async fn new() -> Self {
        let mut place = Place::new().await;
        place.extra = vec![("BATCH_SIZE", "50".to_owned())];
        place.make_topics().await;
        Self {
            consumer: place.start(CONSUMER),
            trades: Sender::new(&place),
            corrections: Sender::of_corrections(&place),
            place,
        }
    }

    fn trade(&self, trade: &Trade) {
        self.trades.send(trade.symbol.as_str(), &encoded(trade, 1));
        self.trades.flush();
    }

    fn correct(&self, json: &[u8]) {
        self.corrections.send("AAPL", json);
        self.corrections.flush();
    }

    async fn number(&self, sql: &str) -> i64 {
        // No table yet is nothing yet.
        self.place.database.connect().await.query_one(sql, &[]).await.map_or(0, |row| row.get(0))
    }

    async fn wait_for_corrections(&self, count: i64) {
        let sql = "SELECT count(*) FROM market_data_oltp.stock_trade_corrections";
        eventually("the corrections", async || (self.number(sql).await == count).then_some(())).await;
    }

    async fn wait_for_void(&self, count: i64) {
        let sql = "SELECT count(*) FROM market_data_oltp.stock_trades_realtime WHERE void_at IS NOT NULL";
        eventually("void trades", async || (self.number(sql).await == count).then_some(())).await;
    }

    /// Every trade as `id at price: why it is void`.
    async fn shown(&self) -> Vec<String> {
        let sql = "SELECT concat(trade_id, ' at ', price, ': ', coalesce(void_reason, 'holds'), to_char(void_at, ' HH24:MI:SS'))
                   FROM market_data_oltp.stock_trades_realtime ORDER BY ts_ns, trade_id, price";
        self.place.database.connect().await.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    async fn end(self) {
        assert_eq!(self.place.letters().await, []);
        assert_eq!(self.consumer.stop().await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trade_and_its_correction_meet_whichever_comes_first() {
    let scene = Scene::new().await;
    let (before, after, replaced) = (apple("1", 10.0, 0), apple("2", 20.0, 1), apple("3", 30.0, 2));
    let instead = apple("33", 30.5, 62);

    scene.trade(&before);
    rows_stored(&scene.place.database, 1).await;
    scene.correct(&cancelled(&before));
    scene.wait_for_void(1).await;

    scene.correct(&cancelled(&after));
    scene.wait_for_corrections(2).await;
    scene.trade(&after);
    scene.wait_for_void(2).await;

    scene.correct(&correction(&replaced, Outcome::Corrected(Box::new(instead.clone()))));
    scene.trade(&instead);
    rows_stored(&scene.place.database, 3).await;
    scene.trade(&replaced);
    scene.wait_for_void(3).await;

    // The feed's history gives void trades once more, and every message comes twice: nothing changes.
    for again in [&before, &after, &replaced] {
        scene.trade(again);
        scene.correct(&cancelled(&before));
    }
    scene.trade(&apple("4", 40.0, 100));
    rows_stored(&scene.place.database, 5).await;
    scene.correct(&cancelled(&apple("unknown", 1.0, 0)));
    scene.wait_for_corrections(4).await;
    assert_eq!(
        scene.shown().await,
        [
            "1 at 10: cancelled 14:01:00",
            "2 at 20: cancelled 14:01:01",
            "3 at 30: corrected 14:01:02",
            "33 at 30.5: holds",
            "4 at 40: holds"
        ]
    );
    let waiting = "SELECT count(*) FROM market_data_oltp.stock_trade_corrections WHERE void_ts_ns IS NULL AND trade_id = 'unknown'";
    assert_eq!(scene.number(waiting).await, 1, "a correction of a trade that is not here is kept");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn among_several_trades_with_one_id_price_size_exchange_and_day_decide() {
    let scene = Scene::new().await;
    let meant = apple("7", 10.0, 0);
    let others = [
        apple("7", 10.5, 1),
        Trade { size: meant.size + 1.0, ..apple("7", 10.0, 2) },
        Trade { exchange: Some("Q".into()), ..apple("7", 10.0, 3) },
        apple("7", 10.0, -86_400), // yesterday
    ];
    others.iter().chain([&meant]).for_each(|trade| scene.trade(trade));
    rows_stored(&scene.place.database, 5).await;
    scene.correct(&cancelled(&meant));
    scene.wait_for_void(1).await;
    let which = "SELECT ts_ns FROM market_data_oltp.stock_trades_realtime WHERE void_at IS NOT NULL";
    assert_eq!(scene.number(which).await, meant.ts_ns);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_that_keeps_time_and_id_changes_the_row_and_one_that_keeps_price_and_size_finds_the_old_one() {
    let scene = Scene::new().await;
    let wrong = apple("1", 10.0, 0);
    let right = Trade { price: 11.0, conditions: ["@"].into_iter().map(Into::into).collect(), ..wrong.clone() };
    let (early, late) = (apple("2", 20.0, 10), apple("2", 20.0, 15));
    scene.trade(&wrong);
    scene.trade(&late);
    rows_stored(&scene.place.database, 2).await;
    scene.correct(&correction(&wrong, Outcome::Corrected(Box::new(right.clone()))));
    scene.correct(&correction(&early, Outcome::Corrected(Box::new(late))));
    scene.wait_for_corrections(2).await;
    scene.trade(&right); // the same key: it is there already
    scene.trade(&early);
    scene.wait_for_void(1).await;
    assert_eq!(scene.shown().await, ["1 at 11: holds", "2 at 20: corrected 14:01:10", "2 at 20: holds"]);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trades_and_corrections_that_race_never_miss_each_other() {
    const TRADES: u32 = 6_000;
    const EVERY: u32 = 7;
    let scene = Scene::new().await;
    for number in 0..TRADES {
        let trade = trade(number);
        scene.trades.send(trade.symbol.as_str(), &encoded(&trade, u64::from(number) + 1));
        if number.is_multiple_of(EVERY) {
            scene.corrections.send(trade.symbol.as_str(), &cancelled(&trade));
        }
    }
    scene.trades.flush();
    scene.corrections.flush();
    rows_stored(&scene.place.database, i64::from(TRADES)).await;
    scene.wait_for_void(i64::from(TRADES.div_ceil(EVERY))).await;
    let wrong = format!(
        "SELECT count(*) FROM market_data_oltp.stock_trades_realtime
         WHERE (trade_id::integer % {EVERY} = 0) <> (void_at IS NOT NULL)"
    );
    assert_eq!(scene.number(&wrong).await, 0);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_correction_is_a_dead_letter_and_can_be_replayed_only_when_it_is_one() {
    let scene = Scene::new().await;
    scene.correct(b"{}");
    let other = Trade { symbol: market::Symbol::new("MSFT").unwrap(), ..apple("1", 1.0, 0) };
    scene.correct(&correction(&apple("1", 1.0, 0), Outcome::Corrected(Box::new(other))));
    eventually("dead letters", async || (scene.place.letters().await.len() == 2).then_some(())).await;
    let (code, said) = scene.place.command(CONSUMER, &["dead-letters", "list"]).await;
    assert!(code == Some(0) && said.contains("same symbol") && said.contains("2 dead letters"), "{said}");
    let (code, said) = scene.place.command(CONSUMER, &["dead-letters", "replay", "--all"]).await;
    assert!(code == Some(1) && said.contains("refused again"), "{said}");
    assert_eq!(scene.consumer.stop().await, Some(0));
}
