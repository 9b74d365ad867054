//! One numbered trade, as the ledger's file has it: `symbol length u8, symbol, minute i64, seq u64, millionths i64`, integers
//! little-endian. Pure.

use std::collections::{BTreeMap, HashMap};

use market::{MS_PER_MINUTE, NS_PER_MS, Sent, SentReport, Symbol, Trade, sent::millionths};

/// Bytes behind the symbol.
const NUMBERS: usize = 24;
/// Symbols in one part of a report: some 100 kB.
const SYMBOLS_PER_PART: usize = 2_000;

/// Appends a trade that got the number `seq`.
pub fn write(trade: &Trade, seq: u64, out: &mut Vec<u8>) {
    let symbol = trade.symbol.as_bytes();
    out.push(u8::try_from(symbol.len()).unwrap_or(u8::MAX)); // a symbol has 32 bytes at most
    out.extend_from_slice(symbol);
    out.extend_from_slice(&trade.ts_ns.div_euclid(MS_PER_MINUTE * NS_PER_MS).to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&millionths(trade.size).to_le_bytes());
}

/// Trades by symbol and minute.
#[derive(Debug, Default)]
pub struct Cells(HashMap<Symbol, BTreeMap<i64, Sent>>);

impl Cells {
    /// Adds entries. An entry that a kill cut short is the last one, and is not counted.
    pub fn read(&mut self, mut entries: &[u8]) {
        while let Some((symbol, [minute, seq, size], rest)) = next(entries) {
            let sent = Sent::one(u64::from_le_bytes(seq), i64::from_le_bytes(size));
            let minutes = self.0.entry(symbol).or_default();
            minutes.entry(i64::from_le_bytes(minute)).and_modify(|known| known.add(sent)).or_insert(sent);
            entries = rest;
        }
    }

    /// The parts of a report of these, which are empty afterwards. `report` says everything but parts and trades.
    pub fn take(&mut self, report: &SentReport) -> Vec<SentReport> {
        let cells = std::mem::take(&mut self.0).into_iter();
        let cells: BTreeMap<String, _> = cells.map(|(symbol, minutes)| (symbol.to_string(), minutes)).collect();
        let mut cells = cells.into_iter().peekable(); // in order, so that parts are the same whoever makes them
        let mut parts = Vec::new();
        while parts.is_empty() || cells.peek().is_some() {
            let trades = cells.by_ref().take(SYMBOLS_PER_PART).collect();
            let part = u32::try_from(parts.len()).unwrap_or(u32::MAX);
            parts.push(SentReport { part, trades, ..report.clone() });
        }
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        parts.iter_mut().for_each(|part| part.parts = count);
        parts
    }
}

type Numbers = [[u8; 8]; 3];

fn next(entries: &[u8]) -> Option<(Symbol, Numbers, &[u8])> {
    let (&length, rest) = entries.split_first()?;
    let (symbol, rest) = rest.split_at_checked(usize::from(length))?;
    let (numbers, rest) = rest.split_first_chunk::<NUMBERS>()?;
    let mut parts = numbers.chunks_exact(8).filter_map(|part| part.try_into().ok());
    let numbers = [parts.next()?, parts.next()?, parts.next()?];
    let symbol = Symbol::stored(std::str::from_utf8(symbol).ok()?).ok()?; // nothing else was ever written
    Some((symbol, numbers, rest))
}

#[cfg(test)]
mod tests {
    use market::Source;
    use proptest::prelude::*;

    use super::*;

    fn trade(symbol: u8, minute: i64, size: u32) -> Trade {
        Trade {
            symbol: Symbol::new(&format!("S{symbol}")).unwrap(),
            price: 1.0,
            size: f64::from(size) / 1000.0,
            ts_ns: minute * 60_000_000_000 + 5,
            trade_id: None,
            exchange: None,
            conditions: Default::default(),
            tape: None,
            source: Source::alpaca(),
        }
    }

    proptest! {
        /// However the entries are cut into reports, and wherever a kill ends the file, the reports add up to the whole entries.
        #[test]
        fn reports_add_up_to_what_was_numbered_wherever_they_are_cut(
            trades in prop::collection::vec((0_u8..5, -3_i64..3, 1_u32..1_000_000), 0..80),
            cuts in prop::collection::vec(0_usize..80, 0..6),
            torn in 0_usize..30,
        ) {
            let mut counters = [0_u64; 5];
            let (mut file, mut ends) = (Vec::new(), vec![0]);
            for (symbol, minute, size) in &trades {
                counters[usize::from(*symbol)] += 1;
                write(&trade(*symbol, *minute, *size), counters[usize::from(*symbol)], &mut file);
                ends.push(file.len());
            }
            let whole = ends.iter().filter(|end| **end <= file.len().saturating_sub(torn)).count() - 1;
            file.truncate(file.len().saturating_sub(torn));
            let mut places: Vec<usize> = cuts.into_iter().map(|cut| ends[cut.min(whole)]).chain([0, file.len()]).collect();
            places.sort_unstable();
            let mut sum: BTreeMap<(String, i64), Sent> = BTreeMap::new();
            for pair in places.windows(2) {
                let mut cells = Cells::default();
                cells.read(&file[pair[0]..pair[1]]);
                for part in cells.take(&SentReport::default()) {
                    for (symbol, minutes) in part.trades {
                        for (minute, sent) in minutes {
                            sum.entry((symbol.clone(), minute)).and_modify(|known| known.add(sent)).or_insert(sent);
                        }
                    }
                }
            }
            let count: u64 = sum.values().map(|sent| sent.count).sum();
            prop_assert_eq!(count, whole as u64);
            let size: i64 = sum.values().map(|sent| sent.millionths).sum();
            prop_assert_eq!(size, trades[..whole].iter().map(|(_, _, size)| i64::from(*size) * 1000).sum::<i64>());
        }
    }

    #[test]
    fn a_whole_market_is_several_parts_and_an_empty_report_is_one() {
        let mut cells = Cells::default();
        let mut entries = Vec::new();
        for at in 0..SYMBOLS_PER_PART + 1 {
            let symbol = Symbol::new(&format!("S{at}")).unwrap();
            write(&Trade { symbol, ..trade(0, 1, 1) }, 1, &mut entries);
        }
        cells.read(&entries);
        let parts = cells.take(&SentReport { report: 3, ..SentReport::default() });
        assert_eq!(
            parts.iter().map(|part| (part.report, part.part, part.parts)).collect::<Vec<_>>(),
            [(3, 0, 2), (3, 1, 2)]
        );
        assert_eq!(cells.take(&SentReport::default()).len(), 1);
    }
}
