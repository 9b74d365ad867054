//! Trade ids as exchanges give them: counted per symbol and exchange, anew each day, on some exchanges from a large number.

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// NYSE's group starts its ids here.
const LARGE: u64 = 52_983_525_000_000;

/// The counters of one symbol.
#[derive(Clone, Debug)]
pub(super) struct Ids([u32; LETTERS.len()]);

impl Default for Ids {
    fn default() -> Self {
        Self([0; LETTERS.len()])
    }
}

impl Ids {
    /// The next id on this exchange.
    pub(super) fn next(&mut self, exchange: u8) -> u64 {
        let counter = &mut self.0[usize::from(exchange.wrapping_sub(b'A')).min(LETTERS.len() - 1)];
        *counter += 1;
        let base = if matches!(exchange, b'N' | b'P' | b'A' | b'M' | b'C') { LARGE } else { 0 };
        base + u64::from(*counter)
    }
}
