//! The fast way to read a trade: the form that [`encode_trade`](super::encode_trade) writes, its fields in that order, in one pass.
//!
//! Anything else (an escape, white space, an exponent, another order, an unknown field) makes the scan give up, and serde reads the record
//! instead. So this module has no opinion about what is valid: it only recognises the ordinary case.

use std::borrow::Cow;

use super::WireTrade;
use crate::record::Conditions;

/// Above it a decimal number is not exact in an `f64`, and dividing by a power of ten would round twice.
const MANTISSA_MAX: u64 = 1 << 53;
/// Powers of ten that an `f64` holds exactly, as far as prices need them.
const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Reads a whole trade; `None` where it is not written the ordinary way.
pub(super) fn trade(bytes: &[u8]) -> Option<WireTrade<'_>> {
    let mut scan = Scan { rest: bytes };
    scan.expect(b"{\"symbol\":")?;
    let symbol = Cow::Borrowed(scan.text()?);
    scan.expect(b",\"price\":")?;
    let price = scan.number()?;
    scan.expect(b",\"size\":")?;
    let size = scan.number()?;
    scan.expect(b",\"timestamp\":")?;
    let timestamp = Some(i64::try_from(scan.whole()?).ok()?);
    scan.expect(b",\"timestamp_ns\":")?;
    let timestamp_ns = Some(Cow::Borrowed(scan.text()?));
    let trade_id = scan.optional(b",\"trade_id\":")?.map(Into::into);
    let exchange = scan.optional(b",\"exchange\":")?.map(Into::into);
    let conditions = if scan.takes(b",\"conditions\":[") { scan.texts()? } else { Conditions::new() };
    let tape = scan.optional(b",\"tape\":")?.map(Into::into);
    scan.expect(b",\"source\":")?;
    let source = Cow::Borrowed(scan.text()?);
    let (epoch, seq) = if scan.takes(b",\"epoch\":") {
        let epoch = i64::try_from(scan.whole()?).ok()?;
        scan.expect(b",\"seq\":")?;
        (Some(epoch), Some(scan.whole()?))
    } else {
        (None, None)
    };
    (scan.rest == b"}").then_some(WireTrade {
        symbol,
        price,
        size,
        timestamp,
        timestamp_ns,
        trade_id,
        exchange,
        conditions,
        tape,
        source,
        epoch,
        seq,
    })
}

/// A place in a record.
struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    /// Reads `literal` where it comes next.
    fn takes(&mut self, literal: &[u8]) -> bool {
        match self.rest.strip_prefix(literal) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, literal: &[u8]) -> Option<()> {
        self.takes(literal).then_some(())
    }

    /// A text that may be absent with its name; the outer `None` gives up.
    fn optional(&mut self, name: &[u8]) -> Option<Option<&'a str>> {
        if self.takes(name) { self.text().map(Some) } else { Some(None) }
    }

    /// A text without escapes.
    fn text(&mut self) -> Option<&'a str> {
        let inside = self.rest.strip_prefix(b"\"")?;
        let length = inside.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
        let (text, rest) = inside.split_at(length);
        self.rest = rest.strip_prefix(b"\"")?;
        std::str::from_utf8(text).ok()
    }

    /// What is left of a list of texts, with its end.
    fn texts(&mut self) -> Option<Conditions> {
        let mut texts = Conditions::new();
        loop {
            texts.push(self.text()?.into());
            if self.takes(b"]") {
                return Some(texts);
            }
            self.expect(b",")?;
        }
    }

    /// A whole number that is not negative.
    fn whole(&mut self) -> Option<u64> {
        let (value, digits) = self.digits(0)?;
        let ordinary = digits == 1 || (digits > 1 && value >= 10_u64.pow(u32::try_from(digits).ok()? - 1)); // no leading zero
        (ordinary && self.ends_number()).then_some(value)
    }

    /// A decimal number that is not negative and has no exponent.
    fn number(&mut self) -> Option<f64> {
        let leading_zero = self.rest.first() == Some(&b'0');
        let (whole, digits) = self.digits(0)?;
        let mut mantissa = whole;
        let mut places = 0;
        if self.takes(b".") {
            (mantissa, places) = self.digits(whole)?;
            if places == 0 {
                return None;
            }
        }
        let ordinary = digits > 0 && (digits == 1 || !leading_zero) && mantissa <= MANTISSA_MAX;
        if !ordinary || !self.ends_number() {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        let exact = mantissa as f64;
        POWERS.get(places).map(|power| exact / power) // both are exact, so the quotient is rounded once: correctly
    }

    /// Digits that continue `value`, and how many they are; none is fine. `None` beyond 64 bits.
    fn digits(&mut self, mut value: u64) -> Option<(u64, usize)> {
        let mut count = 0;
        while let Some(digit @ b'0'..=b'9') = self.rest.get(count) {
            value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            count += 1;
        }
        self.rest = &self.rest[count..];
        Some((value, count))
    }

    fn ends_number(&self) -> bool {
        matches!(self.rest.first(), Some(b',' | b'}'))
    }
}
