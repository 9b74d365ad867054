//! One archived trade, and the order and the digest of a day.

use std::cmp::Ordering;

use compact_str::CompactString;

/// A row of `stock_trades_realtime` as the archive keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct ArchivedTrade {
    /// Instrument.
    pub symbol: CompactString,
    /// Exchange time in Unix nanoseconds.
    pub ts_ns: i64,
    /// US dollars a share.
    pub price: f64,
    /// Shares.
    pub size: f64,
    /// Exchange code; empty if the feed gave none.
    pub exchange: CompactString,
    /// The exchange's id of the trade.
    pub trade_id: CompactString,
    /// Feed that reported it.
    pub source: CompactString,
    /// Tape; `None` if the feed gave none.
    pub tape: Option<CompactString>,
    /// Sale conditions separated by commas; `None` if there are none.
    pub conditions: Option<CompactString>,
    /// Run of the producer, Unix milliseconds.
    pub epoch: Option<i64>,
    /// Number within the epoch.
    pub seq: Option<i64>,
    /// Unix microseconds at which a correction declared the trade void; `None` while it holds.
    pub void_at_us: Option<i64>,
    /// `cancelled` or `corrected`; `None` while it holds.
    pub void_reason: Option<CompactString>,
}

impl ArchivedTrade {
    /// The natural key: what makes a trade unique, in the order in which a day is sorted.
    #[must_use]
    pub fn key(&self) -> (&str, i64, &str, &str, &str) {
        (&self.symbol, self.ts_ns, &self.exchange, &self.trade_id, &self.source)
    }

    /// The order of a day's file.
    #[must_use]
    pub fn by_key(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// What two copies of a day must agree on: the number of rows, the sum of their sizes, and a sum of hashes over every column. The order of
/// rows does not matter, so a table, a file and a restored table can be compared without sorting.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Digest {
    /// Rows.
    pub rows: u64,
    /// Rows that a correction declared void; they are kept, and counted in `rows` too.
    pub void: u64,
    /// Wrapping sum of a 64-bit hash of each row.
    pub hash: u64,
}

impl Digest {
    /// Adds a row.
    pub fn add(&mut self, trade: &ArchivedTrade) {
        self.rows += 1;
        self.void += u64::from(trade.void_at_us.is_some());
        self.hash = self.hash.wrapping_add(hash(trade));
    }
}

/// FNV-1a with a finishing step over length-prefixed columns. It is stable across versions and machines, which `std`'s hashers do not promise:
/// digests are stored and compared years later.
fn hash(trade: &ArchivedTrade) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    hash.text(Some(&trade.symbol));
    hash.number(Some(trade.ts_ns));
    hash.number(Some(trade.price.to_bits().cast_signed()));
    hash.number(Some(trade.size.to_bits().cast_signed()));
    hash.text(Some(&trade.exchange));
    hash.text(Some(&trade.trade_id));
    hash.text(Some(&trade.source));
    hash.text(trade.tape.as_deref());
    hash.text(trade.conditions.as_deref());
    hash.number(trade.epoch);
    hash.number(trade.seq);
    hash.number(trade.void_at_us);
    hash.text(trade.void_reason.as_deref());
    hash.finish()
}

struct Fnv(u64);

impl Fnv {
    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.0 ^= self.0 >> 29; // a plain multiplication never carries high bits down
    }

    fn number(&mut self, value: Option<i64>) {
        self.word(u64::from(value.is_some()));
        self.word(value.unwrap_or_default().cast_unsigned());
    }

    fn text(&mut self, text: Option<&str>) {
        let Some(text) = text else { return self.word(u64::MAX) };
        self.word(text.len() as u64);
        for chunk in text.as_bytes().chunks(8) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(bytes));
        }
    }

    fn finish(mut self) -> u64 {
        self.0 ^= self.0 >> 32;
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}
