//! The door for payloads: valid JSON with a `symbol` gets in, and whatever else it holds is nobody's business here.

use std::fmt;

use market::{Position, Symbol};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What the gateway reads of a payload; the rest is forwarded unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose record it is.
    pub symbol: Symbol,
    /// Its place in the live stream, where it has both numbers.
    pub position: Option<Position>,
    /// Whether it says `"final":false`: a bar of an interval that is still running.
    pub forming: bool,
}

/// Why a payload is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not UTF-8, not JSON, or not an object.
    #[error("not a JSON object")]
    NotJson,
    /// No `symbol`, or one that cannot be a symbol.
    #[error("no usable symbol")]
    NoSymbol,
}

impl Refusal {
    /// The metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::NoSymbol => "no_symbol",
        }
    }
}

/// Checks that `payload` is one JSON object and reads its header. Like `JSON.parse`, the last of several equal keys wins.
///
/// # Errors
/// [`Refusal`], which says what is wrong.
pub fn read_header(payload: &[u8]) -> Result<Header, Refusal> {
    // The whole text is checked first: serde_json does not look inside the strings that it skips.
    let text = std::str::from_utf8(payload).map_err(|_| Refusal::NotJson)?;
    let mut json = serde_json::Deserializer::from_str(text);
    let fields = json.deserialize_map(Fields::default()).map_err(|_| Refusal::NotJson)?;
    json.end().map_err(|_| Refusal::NotJson)?;
    let position = fields.epoch.zip(fields.seq).map(|(epoch, seq)| Position { epoch, seq });
    Ok(Header { symbol: fields.symbol.ok_or(Refusal::NoSymbol)?, position, forming: fields.forming })
}

#[derive(Default)]
struct Fields {
    symbol: Option<Symbol>,
    epoch: Option<i64>,
    seq: Option<u64>,
    forming: bool,
}

impl<'de> Visitor<'de> for Fields {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Symbol => self.symbol = symbol(map.next_value::<&RawValue>()?),
                Key::Epoch => self.epoch = map.next_value::<&RawValue>()?.get().parse().ok(),
                Key::Seq => self.seq = map.next_value::<&RawValue>()?.get().parse().ok(),
                Key::Final => self.forming = map.next_value::<&RawValue>()?.get() == "false",
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(self)
    }
}

fn symbol(raw: &RawValue) -> Option<Symbol> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return Symbol::stored(&serde_json::from_str::<String>(raw.get()).ok()?).ok();
    }
    Symbol::stored(inner).ok()
}

enum Key {
    Symbol,
    Epoch,
    Seq,
    Final,
    Other,
}

impl<'de> serde::Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                Ok(match key {
                    "symbol" => Key::Symbol,
                    "epoch" => Key::Epoch,
                    "seq" => Key::Seq,
                    "final" => Key::Final,
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Header, Refusal> {
        read_header(text.as_bytes())
    }

    #[test]
    fn a_symbol_and_valid_json_are_enough() {
        let header = read(r#" {"a":[1,{"symbol":"NO"}],"symbol":"BRK.B","epoch":"x","seq":1.5} "#).unwrap();
        assert_eq!((header.symbol.as_str(), header.position), ("BRK.B", None));
        let header = read(r#"{"epoch":1763700000000,"seq":7,"symbol":"\u0041APL"}"#).unwrap();
        assert_eq!(header.symbol.as_str(), "AAPL");
        assert_eq!(header.position, Some(Position { epoch: 1_763_700_000_000, seq: 7 }));
        assert_eq!(read(r#"{"symbol":"A","symbol":"B"}"#).unwrap().symbol.as_str(), "B");
    }

    #[test]
    fn what_is_not_json_stays_out() {
        for text in
            ["", "{", "[]", "\"AAPL\"", "null", r#"{"symbol":"A"}x"#, r#"{"symbol":"A",}"#, r#"{"symbol":"A","x":01}"#]
        {
            assert_eq!(read(text), Err(Refusal::NotJson), "{text}");
        }
        for text in ["{\"symbol\":\"A\",\"x\":\"\n\"}", r#"{"symbol":"A","x":"\q"}"#, r#"{"symbol":"A","x":nan}"#] {
            assert_eq!(read(text), Err(Refusal::NotJson), "{text}");
        }
        assert_eq!(read_header(b"{\"symbol\":\"A\",\"x\":\"\xff\"}"), Err(Refusal::NotJson));
    }

    #[test]
    fn a_payload_without_a_usable_symbol_stays_out() {
        for text in ["{}", r#"{"symbol":1}"#, r#"{"symbol":null}"#, r#"{"symbol":""}"#, r#"{"symbol":"É"}"#] {
            assert_eq!(read(text), Err(Refusal::NoSymbol), "{text}");
        }
    }

    proptest! {
        /// Whatever gets in, a full parser accepts too; and the other way round for objects with a symbol.
        #[test]
        fn agrees_with_a_full_parser(bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "\\{\"symbol\":\"[A-Z]{1,5}\",\"[a-z]{0,3}\":[\\[\\]\\{\\}\",:0-9eE+.\\\\nulltruefas-]{0,12}\\}".prop_map(String::into_bytes),
        ]) {
            let full = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes);
            match read_header(&bytes) {
                Ok(header) => {
                    let full = full.expect("what gets in is valid JSON");
                    prop_assert_eq!(full["symbol"].as_str(), Some(header.symbol.as_str()));
                }
                Err(Refusal::NotJson) => prop_assert!(full.is_err() || out_of_f64(&bytes)),
                Err(Refusal::NoSymbol) => {}
            }
        }
    }

    /// A full parser also refuses numbers that no `f64` holds, such as `1e999`; JavaScript reads them as infinity.
    fn out_of_f64(bytes: &[u8]) -> bool {
        serde_json::from_slice::<&RawValue>(bytes).is_ok()
    }
}
