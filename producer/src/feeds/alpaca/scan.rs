//! The fast way through a JSON frame: trades and quotes in the form that Alpaca writes, read in one pass.
//!
//! Everything unusual (an escape, white space, an exponent, `null`, an unknown or doubled field) makes a scan give up, and serde reads that
//! element instead. So this module never has an opinion about what is valid: it only recognises the ordinary case.

use std::borrow::Cow;

use market::{Conditions, Reject};

use crate::feeds::event::Event;
use crate::feeds::fields::{Codes, Id, Time};
use crate::feeds::time::rfc3339_ns;

use super::wire::{WireQuote, WireTrade};

/// Above it a decimal number is not exact in an `f64`, and dividing by a power of ten would round twice.
const MANTISSA_MAX: u64 = 1 << 53;
/// Powers of ten that an `f64` holds exactly, as far as prices need them.
const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// A place in a frame.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    /// At the frame's beginning.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Goes on behind `bytes` bytes that somebody else has read.
    pub(super) fn pass(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// The next byte, without reading it.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Reads `byte` where it comes next.
    pub(super) fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Reads one trade or quote; where it is none of the ordinary ones nothing has been read.
    pub(super) fn event(&mut self) -> Option<Result<Event, Reject>> {
        let mut scan = *self;
        let start = scan.rest().get(..8)?;
        scan.at += start.len();
        let event = match start {
            r#"{"T":"t""# => scan.trade()?.into_event(),
            r#"{"T":"q""# => scan.quote()?.into_event(),
            _ => return None,
        };
        *self = scan;
        Some(event)
    }

    fn trade(&mut self) -> Option<WireTrade<'a>> {
        let (mut symbol, mut id, mut exchange, mut price) = (None, None, None, None);
        let (mut size, mut conditions, mut time, mut tape) = (None, None, None, None);
        while self.has_field()? {
            match self.name()? {
                "S" => once(&mut symbol, self.string()?)?,
                "i" => once(&mut id, Id(self.digits()?.into()))?,
                "x" => once(&mut exchange, self.string()?.into())?,
                "p" => once(&mut price, self.number()?)?,
                "s" => once(&mut size, self.number()?)?,
                "c" => once(&mut conditions, Codes(self.codes()?))?,
                "t" => once(&mut time, Time(rfc3339_ns(self.string()?)?))?,
                "z" => once(&mut tape, self.string()?.into())?,
                _ => return None,
            }
        }
        let symbol = Cow::Borrowed(symbol?);
        Some(WireTrade {
            symbol,
            id,
            exchange,
            price: price?,
            size: size?,
            conditions,
            time: time?,
            tape,
            update: None,
        })
    }

    fn quote(&mut self) -> Option<WireQuote<'a>> {
        let (mut symbol, mut conditions, mut time, mut tape) = (None, None, None, None);
        let (mut bid_exchange, mut bid_price, mut bid_size) = (None, None, None);
        let (mut ask_exchange, mut ask_price, mut ask_size) = (None, None, None);
        while self.has_field()? {
            match self.name()? {
                "S" => once(&mut symbol, self.string()?)?,
                "bx" => once(&mut bid_exchange, self.string()?.into())?,
                "bp" => once(&mut bid_price, self.number()?)?,
                "bs" => once(&mut bid_size, self.number()?)?,
                "ax" => once(&mut ask_exchange, self.string()?.into())?,
                "ap" => once(&mut ask_price, self.number()?)?,
                "as" => once(&mut ask_size, self.number()?)?,
                "c" => once(&mut conditions, Codes(self.codes()?))?,
                "t" => once(&mut time, Time(rfc3339_ns(self.string()?)?))?,
                "z" => once(&mut tape, self.string()?.into())?,
                _ => return None,
            }
        }
        Some(WireQuote {
            symbol: Cow::Borrowed(symbol?),
            bid_exchange,
            bid_price: bid_price?,
            bid_size: bid_size?,
            ask_exchange,
            ask_price: ask_price?,
            ask_size: ask_size?,
            conditions,
            time: time?,
            tape,
        })
    }

    /// Reads `,` before one more field, or the `}` behind the last.
    fn has_field(&mut self) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            b'}' => Some(false),
            _ => None,
        }
    }

    fn name(&mut self) -> Option<&'a str> {
        let name = self.string()?;
        self.take(b':')?;
        Some(name)
    }

    /// A text without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' | 0..=0x1f => return None,
                _ => self.at += 1,
            }
        }
        let text = self.text.get(start..self.at);
        self.at += 1;
        text
    }

    /// A whole number that is not negative, as its digits.
    fn digits(&mut self) -> Option<&'a str> {
        let start = self.at;
        let mut value = 0_u64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            self.at += 1;
        }
        let digits = self.text.get(start..self.at)?;
        let ordinary = !digits.is_empty() && (digits.len() == 1 || !digits.starts_with('0'));
        (ordinary && self.ends_number()).then_some(digits)
    }

    /// A decimal number that is not negative and has no exponent.
    fn number(&mut self) -> Option<f64> {
        let start = self.at;
        let (mut mantissa, mut point) = (0_u64, None);
        loop {
            match self.peek()? {
                digit @ b'0'..=b'9' => mantissa = mantissa.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?,
                b'.' if point.is_none() => point = Some(self.at),
                _ => break,
            }
            self.at += 1;
        }
        let whole = point.unwrap_or(self.at) - start;
        let fraction = point.map_or(0, |point| self.at - point - 1);
        let leading_zero = whole > 1 && self.text.as_bytes().get(start) == Some(&b'0');
        let ordinary = whole > 0 && !leading_zero && (point.is_none() || fraction > 0) && mantissa <= MANTISSA_MAX;
        if !ordinary || !self.ends_number() {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        let exact = mantissa as f64;
        POWERS.get(fraction).map(|power| exact / power) // both are exact, so the quotient is rounded once: correctly
    }

    fn ends_number(&self) -> bool {
        matches!(self.peek(), Some(b',' | b'}'))
    }

    fn codes(&mut self) -> Option<Conditions> {
        self.take(b'[')?;
        let mut codes = Conditions::new();
        if self.take(b']').is_some() {
            return Some(codes);
        }
        loop {
            codes.push(self.string()?.into());
            match self.peek()? {
                b',' => self.at += 1,
                b']' => break,
                _ => return None,
            }
        }
        self.at += 1;
        Some(codes)
    }
}

/// A field that comes twice is not ordinary.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.is_none().then(|| *place = Some(value))
}
