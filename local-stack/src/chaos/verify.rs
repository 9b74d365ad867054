//! What was sent, beside what is stored.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::scene::Scene;

/// A symbol's minute, as the start of an RFC 3339 time: `2026-03-02T14:30`.
type Minute = (String, String);

/// Trades of one minute. Sums are whole numbers of the smallest parts, so that they are equal or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) trades: i64,
    /// Millionths of a share.
    shares: i128,
    /// Price in millionths of a dollar times millionths of a share.
    dollars: i128,
}

impl Sums {
    fn add(&mut self, price: f64, size: f64) {
        let (price, size) = (millionths(price), millionths(size));
        self.trades += 1;
        self.shares += size;
        self.dollars += price * size;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "prices and sizes are far below 2^127 millionths")]
fn millionths(value: f64) -> i128 {
    (value * 1e6).round() as i128
}

/// What the market made, minute by minute.
pub(super) async fn sent(scene: &Scene) -> Result<BTreeMap<Minute, Sums>> {
    let mut minutes: BTreeMap<Minute, Sums> = BTreeMap::new();
    for symbol in Scene::symbols() {
        let mut token = String::new();
        loop {
            let path = format!("/v2/stocks/{symbol}/trades?start=2000-01-01T00:00:00Z&limit=5000{token}");
            let page = scene.history(&path).await?;
            for trade in page["trades"].as_array().into_iter().flatten() {
                let time = trade["t"].as_str().and_then(|time| time.get(..16)).context("a trade has a time")?;
                let number = |name: &str| trade[name].as_f64().with_context(|| format!("a trade has `{name}`"));
                let sums = minutes.entry((symbol.to_owned(), time.to_owned())).or_default();
                sums.add(number("p")?, number("s")?);
            }
            match &page["next_page_token"] {
                Value::String(next) => token = format!("&page_token={next}"),
                _ => break,
            }
        }
    }
    Ok(minutes)
}

/// What PostgreSQL holds, minute by minute. One trade that is there twice would count twice.
pub(super) async fn stored(scene: &Scene) -> Result<BTreeMap<Minute, Sums>> {
    let sql = "SELECT symbol, to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI'), price, size
               FROM market_data_oltp.stock_trades_realtime";
    let mut minutes: BTreeMap<Minute, Sums> = BTreeMap::new();
    for row in scene.database().await.query(sql, &[]).await? {
        minutes.entry((row.get(0), row.get(1))).or_default().add(row.get(2), row.get(3));
    }
    Ok(minutes)
}

/// Both are equal in every minute; returns how many trades and minutes there are.
pub(super) fn compare(sent: &BTreeMap<Minute, Sums>, stored: &BTreeMap<Minute, Sums>) -> Result<(i64, usize)> {
    let minutes: BTreeSet<&Minute> = sent.keys().chain(stored.keys()).collect();
    let differing: Vec<String> = minutes
        .into_iter()
        .filter(|minute| sent.get(*minute) != stored.get(*minute))
        .map(|minute| format!("{minute:?}: sent {:?}, stored {:?}", sent.get(minute), stored.get(minute)))
        .collect();
    ensure!(differing.is_empty(), "{} minutes differ:\n{}", differing.len(), differing.join("\n"));
    Ok((sent.values().map(|sums| sums.trades).sum(), sent.len()))
}

/// The number of outages, all of which are healed. The silence that still lasts is not counted: the judge stops the market in its hours.
pub(super) async fn gaps(scene: &Scene) -> Result<i64> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE healed_at IS NULL), max(reason) FILTER (WHERE healed_at IS NULL)
               FROM market_data_oltp.stock_feed_gaps
               WHERE NOT (ended_at IS NULL AND cause LIKE 'the feed answers but has sent no record%')";
    let row = scene.database().await.query_one(sql, &[]).await?;
    let (all, open, reason): (i64, i64, Option<String>) = (row.get(0), row.get(1), row.get(2));
    ensure!(open == 0, "{open} of {all} gaps are not healed: {}", reason.as_deref().unwrap_or("no attempt so far"));
    Ok(all)
}

/// No record was taken for a bad one, and the audit agrees at every hop.
pub(super) async fn agree(scene: &Scene) -> Result<()> {
    let (api, port) = scene.api().await?;
    let url = format!("http://127.0.0.1:{port}");
    for consumer in ["consumer-trades", "consumer-bars"] {
        let letters = scene.command(consumer, &["dead-letters", "list"]).await?;
        ensure!(letters.trim() == "0 dead letters", "{consumer}: {letters}");
        let said = scene.command(consumer, &["audit", "--all", "--api", &url]).await?;
        ensure!(said.contains(" 0 differences"), "{consumer} audit: {said}");
    }
    api.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(trades: &[(f64, f64)]) -> BTreeMap<Minute, Sums> {
        let mut sums = Sums::default();
        trades.iter().for_each(|(price, size)| sums.add(*price, *size));
        BTreeMap::from([(("AAPL".to_owned(), "2026-03-02T14:30".to_owned()), sums)])
    }

    #[test]
    fn one_trade_too_few_too_many_or_changed_is_seen() {
        let sent = minutes(&[(100.25, 3.0), (0.000_1, 0.5)]);
        assert_eq!(compare(&sent, &minutes(&[(0.000_1, 0.5), (100.25, 3.0)])).unwrap(), (2, 1));
        for wrong in
            [&[(100.25, 3.0)][..], &[(100.25, 3.0), (0.000_1, 0.5), (0.000_1, 0.5)], &[(100.26, 3.0), (0.000_1, 0.5)]]
        {
            assert!(compare(&sent, &minutes(wrong)).unwrap_err().to_string().contains("1 minutes differ"));
        }
        assert!(compare(&sent, &BTreeMap::new()).is_err());
    }
}
