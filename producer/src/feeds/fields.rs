//! Field types that several feeds share: what serde alone would take too strictly or not strictly enough.

use std::fmt;

use compact_str::CompactString;
use market::{Conditions, NS_PER_MS};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::feeds::time::{MSGPACK_TIMESTAMP, rfc3339_ns, timestamp_ns};

/// A trade id: any integer from −2⁶³ to 2⁶⁴−1, kept as decimal text because JavaScript cannot hold it.
pub struct Id(pub CompactString);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer id")
            }
            fn visit_i64<E: de::Error>(self, id: i64) -> Result<Id, E> {
                Ok(Id(itoa::Buffer::new().format(id).into()))
            }
            fn visit_u64<E: de::Error>(self, id: u64) -> Result<Id, E> {
                Ok(Id(itoa::Buffer::new().format(id).into()))
            }
        }
        deserializer.deserialize_any(Digits)
    }
}

/// A list of codes, or a single one. Codes are texts.
#[derive(Default)]
pub struct Codes(pub Conditions);

impl<'de> Deserialize<'de> for Codes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Codes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of condition codes")
            }
            fn visit_str<E: de::Error>(self, code: &str) -> Result<Codes, E> {
                Ok(Codes(Conditions::from_iter([code.into()])))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Codes, A::Error> {
                let mut codes = Conditions::new();
                while let Some(code) = list.next_element()? {
                    codes.push(code);
                }
                Ok(Codes(codes))
            }
        }
        deserializer.deserialize_any(List)
    }
}

/// An RFC 3339 time, or msgpack's timestamp, in Unix nanoseconds.
pub struct Time(pub i64);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Moment;
        impl<'de> Visitor<'de> for Moment {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time between 1678 and 2262")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                rfc3339_ns(text).map(Time).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
            /// msgpack's extensions come this way, as type and bytes.
            fn visit_newtype_struct<D: Deserializer<'de>>(self, extension: D) -> Result<Time, D::Error> {
                let (kind, bytes) = <(i8, &[u8])>::deserialize(extension)?;
                let ns = (kind == MSGPACK_TIMESTAMP).then(|| timestamp_ns(bytes)).flatten();
                ns.map(Time).ok_or_else(|| de::Error::custom("not a timestamp between 1678 and 2262"))
            }
        }
        deserializer.deserialize_any(Moment)
    }
}

/// Unix milliseconds as an integer. Smaller numbers than 10¹¹ (1973) are seconds in disguise and refused.
#[derive(Clone, Copy)]
pub struct Millis(pub i64);

impl Millis {
    const MIN: i64 = 100_000_000_000;

    /// `None` where it is no time in Unix milliseconds.
    #[must_use]
    pub fn new(ms: i64) -> Option<Self> {
        (Self::MIN..=i64::MAX / NS_PER_MS).contains(&ms).then_some(Self(ms))
    }

    /// In Unix nanoseconds.
    #[must_use]
    pub fn ns(self) -> i64 {
        self.0 * NS_PER_MS // cannot overflow, see below
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ms = i64::deserialize(deserializer)?;
        Self::new(ms).ok_or_else(|| de::Error::custom(format_args!("{ms} is no time in Unix milliseconds")))
    }
}

/// A number, or the decimal text of one; `None` where the text is none.
#[derive(Clone, Copy)]
pub struct Decimal(pub Option<f64>);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Decimal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number as text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Decimal, E> {
                let decimal = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'); // no `inf`, no `nan`
                Ok(Decimal(decimal.then(|| text.parse().ok()).flatten()))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Decimal, E> {
                Ok(Decimal(Some(value)))
            }
            #[expect(clippy::cast_precision_loss, reason = "as every other number of shares")]
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Decimal, E> {
                Ok(Decimal(Some(value as f64)))
            }
        }
        deserializer.deserialize_any(Number)
    }
}
