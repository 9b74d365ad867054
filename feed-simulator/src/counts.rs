//! Exact counts of messages, by type and by symbol, with the sums of the trades.

use serde_json::{Map, Value, json};

use crate::message::{Kind, Message, Trade};
use crate::symbols::{SymbolId, SymbolTable};
use crate::units::UNITS_PER_DOLLAR;

/// What was said about one symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages by [`Kind::index`].
    pub by_kind: [u64; Kind::COUNT],
    /// Σ size of the `t` messages in shares.
    pub size: u128,
    /// Σ price × size of the `t` messages in 1/10,000 dollar.
    pub notional: u128,
}

impl Tally {
    /// Counts one message.
    pub fn add(&mut self, message: &Message) {
        self.by_kind[message.kind().index()] += 1;
        if let Message::Trade(Trade { price, size, .. }) = message {
            self.size += u128::from(*size);
            self.notional += u128::from(price.unsigned_abs()) * u128::from(*size);
        }
    }

    fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.by_kind.iter_mut().zip(other.by_kind) {
            *ours += theirs;
        }
        self.size += other.size;
        self.notional += other.notional;
    }

    fn messages(&self) -> u64 {
        self.by_kind.iter().sum()
    }

    fn to_json(self) -> Map<String, Value> {
        let by_type = Kind::ALL
            .into_iter()
            .filter(|kind| self.by_kind[kind.index()] > 0)
            .map(|kind| (kind.letter().to_owned(), json!(self.by_kind[kind.index()])));
        let mut fields = Map::new();
        fields.insert("messages".into(), json!(self.messages()));
        fields.insert("by_type".into(), Value::Object(by_type.collect()));
        fields.insert("size".into(), json!(u64::try_from(self.size).unwrap_or(u64::MAX)));
        fields.insert("notional".into(), json!(dollars(self.notional)));
        fields
    }
}

/// Dollars as exact decimal text.
fn dollars(units: u128) -> String {
    let scale = u128::from(UNITS_PER_DOLLAR.unsigned_abs());
    format!("{}.{:04}", units / scale, units % scale)
}

/// Messages of one market by symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts(Vec<Tally>);

impl Counts {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(symbols: &SymbolTable) -> Self {
        Self(vec![Tally::default(); symbols.len()])
    }

    /// Counts one message.
    pub fn add(&mut self, message: &Message) {
        self.0[message.symbol() as usize].add(message);
    }

    /// Adds what `other` counted and sets that back to nothing.
    pub fn take_from(&mut self, other: &mut Self) {
        for (ours, theirs) in self.0.iter_mut().zip(&mut other.0) {
            ours.merge(theirs);
            *theirs = Tally::default();
        }
    }

    /// The sum over all symbols.
    #[must_use]
    pub fn total(&self) -> Tally {
        self.0.iter().fold(Tally::default(), |mut total, tally| {
            total.merge(tally);
            total
        })
    }

    /// Totals and, under `by_symbol`, every symbol with at least one message.
    #[must_use]
    pub fn to_json(&self, symbols: &SymbolTable) -> Map<String, Value> {
        let by_symbol = symbols.ids().zip(&self.0).filter(|(_, tally)| tally.messages() > 0);
        let by_symbol = by_symbol
            .map(|(id, tally): (SymbolId, &Tally)| (symbols.info(id).name.clone(), Value::Object(tally.to_json())));
        let mut fields = self.total().to_json();
        fields.insert("by_symbol".into(), Value::Object(by_symbol.collect()));
        fields
    }

    /// The totals in one line for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let total = self.total();
        let by_kind: Vec<String> = Kind::ALL
            .into_iter()
            .filter(|kind| total.by_kind[kind.index()] > 0)
            .map(|kind| format!("{} {}", kind.letter(), total.by_kind[kind.index()]))
            .collect();
        let kinds = if by_kind.is_empty() { "none".to_owned() } else { by_kind.join(", ") };
        format!(
            "{} messages ({kinds}; {} shares, {} dollars traded)",
            total.messages(),
            total.size,
            dollars(total.notional)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::Conditions;

    #[test]
    fn sums_are_exact() {
        let symbols = SymbolTable::new(["AAPL", "MSFT"]);
        let mut counts = Counts::new(&symbols);
        let trade = |symbol, price, size| {
            Message::Trade(Trade {
                symbol,
                ts_ns: 0,
                id: 1,
                price,
                size,
                exchange: b'D',
                conditions: Conditions::default(),
            })
        };
        counts.add(&trade(0, 1_000_001, 3));
        counts.add(&trade(0, 1, 1));
        let mut total = Counts::new(&symbols);
        total.take_from(&mut counts);
        total.take_from(&mut counts);
        let value = Value::Object(total.to_json(&symbols));
        assert_eq!(value["messages"], 2);
        assert_eq!(value["by_symbol"]["AAPL"]["size"], 4);
        assert_eq!(value["by_symbol"]["AAPL"]["notional"], "300.0004");
        assert_eq!(value["by_symbol"]["AAPL"]["by_type"], json!({"t": 2}));
        assert!(value["by_symbol"].get("MSFT").is_none());
        assert_eq!(total.summary(), "2 messages (t 2; 4 shares, 300.0004 dollars traded)");
    }
}
