//! Gives each record its position, encodes it once, and hands the same bytes to both paths.

pub mod cold;
pub mod forming;
pub mod hot;
pub mod lag;
pub mod positions;
pub mod record;

use std::time::SystemTime;

use bytes::Bytes;
use market::{Availability, Bar, Conditions, NS_PER_MS, Outcome, Position, Symbol, wire};
use metrics::Counter;
use tokio::time::Instant;

use crate::fanout::cold::Cold;
use crate::fanout::cold::overflow::Shortage;
use crate::fanout::forming::Forming;
use crate::fanout::hot::Hot;
use crate::fanout::lag::Lag;
use crate::fanout::positions::{Counters, Positions};
use crate::fanout::record::{Encoded, Stream};
use crate::feeds::event::Event;
use crate::feeds::finnhub;
use crate::feeds::occurrences::Occurrences;
use crate::feeds::protocol::{Feed, Step};
use crate::ledger::{Ledger, entry};

/// The point where the two paths part. Each feed has its own; the positions are shared.
pub struct Fanout {
    feed: Feed,
    positions: Positions,
    /// Feed time to which this frame's records are known, Unix nanoseconds; `None` until the feed's time is known.
    heard_ns: Option<i64>,
    /// Stamps of this frame's last trade and quote.
    stamps: [Option<i64>; 2],
    occurrences: Occurrences,
    forming: Forming,
    /// Forming bars that are to be sent, empty between two calls.
    formed: Vec<Bar>,
    buffer: Vec<u8>,
    frame: Vec<Encoded>,
    /// This frame's trades for the ledger, and how many they are.
    noted: (Vec<u8>, u64),
    ledger: Ledger,
    hot: Hot,
    cold: Cold,
    records: [Counter; Stream::ALL.len()],
    /// Of the streams whose records arrive as they happen.
    lags: [(Stream, Lag); 2],
}

impl Fanout {
    /// Nothing sent yet.
    #[must_use]
    pub fn new(feed: Feed, positions: Positions, hot: Hot, cold: Cold, ledger: Ledger) -> Self {
        let records = Stream::ALL.map(|stream| metrics::counter!("producer_records_total", "stream" => stream.name()));
        Self {
            feed,
            positions,
            heard_ns: None,
            stamps: [None; 2],
            occurrences: Occurrences::default(),
            forming: Forming::default(),
            formed: Vec::new(),
            buffer: Vec::with_capacity(1024),
            frame: Vec::new(),
            noted: (Vec::new(), 0),
            ledger,
            hot,
            cold,
            records,
            lags: [Stream::Trades, Stream::Quotes].map(|stream| (stream, Lag::new(feed, stream))),
        }
    }

    /// A new connection begins.
    pub fn connected(&mut self) {
        self.occurrences.restart();
        self.forming.restart();
    }

    /// What the cold path had no room for, once each: its beginning, and its extent when it is over.
    #[must_use]
    pub fn shortage(&self) -> Option<Shortage> {
        self.cold.shortage(self.feed)
    }

    /// This run.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.positions.lock().epoch()
    }

    /// Takes the events of one frame, and hands their records to both paths: to the hot one first, it is the one in a hurry.
    /// `heard_ns`: the feed time to which the feed is known once they are safe, Unix nanoseconds, if it is known.
    pub fn frame(&mut self, heard_ns: Option<i64>, decode: impl FnOnce(&mut dyn FnMut(Event)) -> Step) -> Step {
        (self.heard_ns, self.stamps) = (heard_ns, [None; 2]);
        let positions = self.positions.clone();
        let mut counters = positions.lock();
        let step = decode(&mut |event| self.event(event, &mut counters));
        self.forming.due(Instant::now(), &mut |bar| self.formed.push(bar));
        self.send_formed();
        if !self.frame.is_empty() {
            self.hot.publish(&self.frame);
            self.measure_lag();
            self.frame.retain(|record| !record.stream.is_hot_only());
            self.cold.accept(&mut self.frame);
            if self.noted.1 > 0 {
                self.ledger.note(&mut self.noted.0, std::mem::take(&mut self.noted.1));
            }
        }
        step
    }

    /// Tells clients what this feed does not carry, or carries again.
    pub fn tell(&self, news: &[Availability]) {
        let record = |news: &Availability| {
            let symbol = Symbol::new(news.symbol()).ok()?;
            let json = Bytes::from(news.encode());
            Some(Encoded {
                stream: Stream::Status,
                feed: Some(self.feed),
                symbol,
                ts_ns: 0,
                heard_ns: None,
                seq: 0,
                json,
            })
        };
        let records: Vec<Encoded> = news.iter().filter_map(record).collect();
        self.records[Stream::Status as usize].increment(records.len() as u64);
        self.hot.publish(&records);
    }

    /// How old the last record of each channel is when its frame comes.
    fn measure_lag(&mut self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        for ((_, lag), stamp) in self.lags.iter_mut().zip(self.stamps) {
            if let Some(ts_ns) = stamp {
                lag.note(ts_ns, now);
            }
        }
    }

    fn event(&mut self, event: Event, counters: &mut Counters) {
        match event {
            Event::Trade(trade) => {
                let trade = self.occurrences.named(trade);
                if let Some(letters) = tape_letters(self.feed, &trade.conditions) {
                    self.forming.add(&trade, letters, &mut |bar| self.formed.push(bar));
                    self.send_formed();
                }
                let seq = self.record(counters, (Stream::Trades, trade.symbol, trade.ts_ns), |position, out| {
                    wire::encode_trade(&trade, position, out)
                });
                entry::write(&trade, seq, &mut self.noted.0);
                self.noted.1 += 1;
            }
            Event::Bar(bar) => {
                self.forming.end(&bar, &mut |last| self.formed.push(last));
                self.send_formed();
                self.record(
                    counters,
                    (Stream::Bars, bar.symbol, bar.start_ms.saturating_mul(NS_PER_MS)),
                    |position, out| wire::encode_bar(&bar, position, out),
                );
            }
            Event::Quote(quote) => {
                self.record(counters, (Stream::Quotes, quote.symbol, quote.ts_ns), |position, out| {
                    wire::encode_quote(&quote, position, out)
                });
            }
            Event::Correction(correction) => {
                self.forming.void(&correction.void);
                let place = (Stream::Corrections, correction.void.symbol, correction.void.ts_ns);
                self.record(counters, place, |position, out| wire::encode_correction(&correction, position, out));
                if let Outcome::Corrected(trade) = correction.outcome {
                    self.event(Event::Trade(*trade), counters);
                }
            }
            Event::Halt(..) => metrics::counter!("producer_other_messages_total", "kind" => "status").increment(1),
            Event::Other(kind) => metrics::counter!("producer_other_messages_total", "kind" => kind).increment(1),
            Event::Skipped(skip) => {
                metrics::counter!("producer_skipped_total", "reason" => skip.reason()).increment(1);
                tracing::debug!(%skip, "skipped an element");
            }
        }
    }

    /// Sends bars of minutes that still run. They have no position: nobody misses one that a newer one has replaced.
    fn send_formed(&mut self) {
        for bar in self.formed.drain(..) {
            self.buffer.clear();
            wire::encode_bar(&bar, None, &mut self.buffer);
            self.records[Stream::FormingBars as usize].increment(1);
            let json = Bytes::copy_from_slice(&self.buffer);
            let (stream, symbol) = (Stream::FormingBars, bar.symbol);
            self.frame.push(Encoded { stream, feed: Some(self.feed), symbol, ts_ns: 0, heard_ns: None, seq: 0, json });
        }
    }

    /// Returns the record's number.
    fn record(
        &mut self,
        counters: &mut Counters,
        (stream, symbol, ts_ns): (Stream, Symbol, i64),
        encode: impl FnOnce(Position, &mut Vec<u8>),
    ) -> u64 {
        if let Some(at) = self.lags.iter().position(|(lagging, _)| *lagging == stream) {
            self.stamps[at] = Some(ts_ns);
        }
        self.buffer.clear();
        let position = counters.next(stream, symbol);
        encode(position, &mut self.buffer);
        self.records[stream as usize].increment(1);
        let json = Bytes::copy_from_slice(&self.buffer);
        let (feed, heard_ns) = (Some(self.feed), self.heard_ns);
        self.frame.push(Encoded { stream, feed, symbol, ts_ns, heard_ns, seq: position.seq, json });
        position.seq
    }
}

/// A trade's sale conditions in the tapes' vocabulary; `None` for a feed whose numbers are not known here, and whose running minutes nobody
/// builds.
fn tape_letters(feed: Feed, conditions: &Conditions) -> Option<Conditions> {
    match feed {
        Feed::Alpaca => Some(conditions.clone()),
        Feed::Finnhub => Some(finnhub::conditions::letters(conditions)),
        Feed::Massive => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use market::{Correction, Source, Trade, VoidTrade};
    use service::redis::RedisConfig;
    use service::{Health, Vars};

    use super::*;

    fn trade(symbol: &str, source: Source) -> Trade {
        Trade {
            symbol: Symbol::new(symbol).unwrap(),
            price: 1.0,
            size: 1.0,
            ts_ns: 1_700_000_000_000_000_000,
            trade_id: None,
            exchange: None,
            conditions: Default::default(),
            tape: None,
            source,
        }
    }

    fn fanouts() -> (Fanout, Fanout, Cold) {
        let redis = Vars::from_pairs(&[]).load(RedisConfig::from_vars).unwrap();
        let (hot, _) = Hot::new(redis, Health::new("test").part("redis"));
        let (cold, positions) = (Cold::default(), Positions::new(7));
        let fanout = |feed| Fanout::new(feed, positions.clone(), hot.clone(), cold.clone(), Ledger::default());
        (fanout(Feed::Alpaca), fanout(Feed::Finnhub), cold)
    }

    fn taken(cold: &Cold) -> Vec<Encoded> {
        let mut records = Vec::new();
        cold.take(&mut records, usize::MAX, usize::MAX, Duration::ZERO);
        records
    }

    fn send(fanout: &mut Fanout, events: Vec<Event>) {
        fanout.frame(Some(1), |each| {
            events.into_iter().for_each(each);
            Step::default()
        });
    }

    #[test]
    fn a_running_minute_reaches_clients_only_and_has_no_position() {
        let (mut fanout, _, cold) = fanouts();
        let at = |minutes: i64| {
            let ts_ns = trade("A", Source::alpaca()).ts_ns + minutes * 60_000_000_000;
            Event::Trade(Trade { ts_ns, ..trade("A", Source::alpaca()) })
        };
        send(&mut fanout, vec![at(0), at(1)]);
        let hot = fanout.hot.queued();
        let forming = hot.iter().find(|record| record.stream == Stream::FormingBars).unwrap();
        let (bar, position) = wire::decode_bar(&forming.json).unwrap();
        assert_eq!((bar.is_final, bar.revision, position), (false, 0, None));
        assert!(taken(&cold).iter().all(|record| record.stream == Stream::Trades));
    }

    #[test]
    fn feeds_share_the_count_of_each_symbol_and_stream() {
        let (mut alpaca, mut finnhub, cold) = fanouts();
        for _ in 0..2 {
            send(&mut alpaca, vec![Event::Trade(trade("AAPL", Source::alpaca()))]);
            send(&mut finnhub, vec![Event::Trade(trade("AAPL", Source::finnhub()))]);
        }
        send(&mut finnhub, vec![Event::Trade(trade("MSFT", Source::finnhub()))]);
        let places = taken(&cold).into_iter().map(|record| {
            let (trade, position) = wire::decode_trade(&record.json).unwrap();
            assert_eq!(record.feed.unwrap().source(), trade.source);
            position.unwrap().seq
        });
        assert_eq!(places.collect::<Vec<_>>(), [1, 2, 3, 4, 1]);
    }

    #[test]
    fn a_trade_without_an_id_gets_the_same_one_from_the_stream_and_from_the_history() {
        let (mut fanout, _, cold) = fanouts();
        let unnamed = || Event::Trade(trade("AAPL", Source::alpaca()));
        send(&mut fanout, vec![unnamed(), unnamed()]);
        fanout.connected();
        send(&mut fanout, vec![unnamed()]);
        let mut occurrences = Occurrences::default();
        let history =
            [unnamed(), unnamed()].map(|event| crate::gaps::healing::encode(event, &mut occurrences).unwrap());
        let ids: Vec<_> = taken(&cold)
            .iter()
            .chain(&history)
            .map(|record| wire::decode_trade(&record.json).unwrap().0.trade_id.unwrap())
            .collect();
        assert_ne!(ids[0], ids[1], "two equal trades are two");
        assert_eq!(ids[2..], [&ids[..1], &ids[..2]].concat());
    }

    #[test]
    fn a_correction_is_a_record_of_its_own_and_the_corrected_trade_an_ordinary_one() {
        let (mut alpaca, _, cold) = fanouts();
        let held = Trade { trade_id: Some("2".into()), ..trade("AAPL", Source::alpaca()) };
        let void = VoidTrade {
            symbol: held.symbol,
            price: 2.0,
            size: 1.0,
            ts_ns: held.ts_ns,
            trade_id: Some("1".into()),
            exchange: None,
        };
        let correction = |outcome| {
            let source = Source::alpaca();
            Event::Correction(Box::new(Correction { void: void.clone(), outcome, source }))
        };
        let corrected = Outcome::Corrected(Box::new(held.clone()));
        send(&mut alpaca, vec![correction(corrected), correction(Outcome::Cancelled("C".into()))]);
        let records = taken(&cold);
        let streams: Vec<_> = records.iter().map(|record| record.stream).collect();
        assert_eq!(streams, [Stream::Corrections, Stream::Trades, Stream::Corrections]);
        assert_eq!(wire::decode_trade(&records[1].json).unwrap().0, held);
        assert_eq!(wire::decode_correction(&records[2].json).unwrap().1.unwrap().seq, 2);
    }
}
