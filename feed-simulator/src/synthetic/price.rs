//! How one symbol's price moves, and what trades and quotes look like around it.

use crate::conditions::Conditions;
use crate::dice::{Dice, whole};
use crate::message::{Quote, Trade};
use crate::symbols::{SymbolId, Tape};
use crate::units::NS_PER_SECOND;

/// Price units of a cent.
const CENT: i64 = 100;
/// Standard deviation of the relative price change over one second, for about 45 % a year of trading time.
const VOLATILITY: f64 = 1.85e-4;
/// Seconds in which the volatility returns to its mean.
const VOLATILITY_RETURNS_S: f64 = 300.0;
/// Seconds in which the price returns to its anchor, which keeps a market that runs for weeks plausible.
const PRICE_RETURNS_S: f64 = 7_200.0;

/// Exchanges of trades, with their parts of a thousand; the listing exchange gets the first part.
const EXCHANGES: [(u8, i64); 12] = [
    (b'D', 390),
    (b'P', 100),
    (b'K', 95),
    (b'Z', 75),
    (b'U', 50),
    (b'V', 35),
    (b'J', 30),
    (b'Y', 20),
    (b'B', 15),
    (b'X', 10),
    (b'H', 10),
    (b'Q', 170),
];

/// A price that follows a random walk whose variance is itself random and returns to its mean (Heston's model).
#[derive(Clone, Debug)]
pub(super) struct Price {
    mid: f64,
    anchor: f64,
    /// Relative to its mean.
    variance: f64,
    at_ns: i64,
}

impl Price {
    /// A price of `units` at `at_ns`.
    pub(super) fn new(units: i64, at_ns: i64) -> Self {
        let mid = units as f64;
        Self { mid, anchor: mid, variance: 1.0, at_ns }
    }

    /// Moves on to `now_ns`.
    pub(super) fn advance(&mut self, now_ns: i64, dice: &mut Dice) {
        let seconds = ((now_ns - self.at_ns) as f64 / NS_PER_SECOND as f64).clamp(0.0, 60.0);
        self.at_ns = now_ns;
        let pull = (1.0 - self.variance) * seconds / VOLATILITY_RETURNS_S;
        let shock = 0.08 * (self.variance * seconds).sqrt() * dice.normal();
        self.variance = (self.variance + pull + shock).clamp(0.1, 9.0);
        let walk = VOLATILITY * (self.variance * seconds).sqrt() * dice.normal();
        let back = (self.anchor / self.mid - 1.0) * seconds / PRICE_RETURNS_S;
        self.mid = (self.mid * (1.0 + walk + back)).max(2.0 * CENT as f64);
    }

    /// Best bid and offer in price units, at least a cent apart.
    fn best(&self) -> (i64, i64) {
        let half = (self.mid * 4e-5).max(CENT as f64 / 2.0);
        let bid = (whole(self.mid - half) / CENT * CENT).max(CENT);
        (bid, bid + (whole(2.0 * half) / CENT * CENT).max(CENT))
    }

    /// Highest and lowest price that the limit-up limit-down rule allows: 5 % either way.
    pub(super) fn band(&self) -> (i64, i64) {
        let band = |factor: f64| whole(self.mid * factor) / CENT * CENT;
        (band(1.05), band(0.95).max(CENT))
    }

    /// A quote around the price.
    pub(super) fn quote(&self, symbol: SymbolId, ts_ns: i64, tape: Tape, dice: &mut Dice) -> Quote {
        let (bid, ask) = self.best();
        let mut lots = || u32::try_from(100 * dice.between(1, 12)).unwrap_or(100);
        let (bid_size, ask_size) = (lots(), lots());
        let mut exchange = || loop {
            let exchange = exchange(tape, dice);
            if exchange != b'D' {
                return exchange;
            }
        };
        Quote { symbol, ts_ns, bid, bid_size, bid_exchange: exchange(), ask, ask_size, ask_exchange: exchange() }
    }

    /// A trade near the price; its id is still to be given.
    pub(super) fn trade(&self, symbol: SymbolId, ts_ns: i64, tape: Tape, extended: bool, dice: &mut Dice) -> Trade {
        let exchange = exchange(tape, dice);
        let (bid, ask) = self.best();
        let side = if dice.chance(0.5) { bid } else { ask };
        let price = match exchange {
            b'D' if dice.chance(0.3) => i64::midpoint(bid, ask),
            b'D' if dice.chance(0.3) => bid + dice.between(1, CENT),
            _ => side,
        };
        let size = size(dice);
        let odd_lot = size < 100;
        let sweep = exchange != b'D' && dice.chance(0.3);
        let conditions = Conditions::new([
            Conditions::settlement(tape),
            if sweep { b'F' } else { 0 },
            if extended { b'T' } else { 0 },
            if odd_lot { b'I' } else { 0 },
        ]);
        Trade { symbol, ts_ns, id: 0, price, size, exchange, conditions }
    }
}

/// Shares: half odd lots, then round lots, now and then a block.
fn size(dice: &mut Dice) -> u32 {
    let shares = match dice.between(0, 100) {
        0..=24 => dice.between(1, 20),
        25..=44 => dice.between(20, 100),
        45..=84 => 100,
        85..=95 => 100 * dice.between(2, 10),
        96..=98 => 100 * dice.between(10, 50),
        _ => dice.between(5_000, 20_000),
    };
    u32::try_from(shares).unwrap_or(100)
}

fn exchange(tape: Tape, dice: &mut Dice) -> u8 {
    let listing = match tape {
        Tape::A => b'N',
        Tape::B => b'P',
        Tape::C => b'Q',
    };
    let mut ticket = dice.between(0, 1_000);
    for (exchange, part) in EXCHANGES {
        if ticket < part {
            return if exchange == b'Q' { listing } else { exchange };
        }
        ticket -= part;
    }
    listing
}
