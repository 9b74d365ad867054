//! msgpack elements, found by a walk over the bytes that believes no declared length.

use std::borrow::Cow;

use serde::Deserialize;

use crate::feeds::event::Skip;

use super::{DEPTH_MAX, Raw};

/// An element as its bytes: one whole value.
#[derive(Clone, Copy, Debug)]
pub struct Msgpack<'a>(pub &'a [u8]);

impl<'a> Raw<'a> for Msgpack<'a> {
    fn is_object(self) -> bool {
        matches!(Walk::of(self.0).head(), Ok(Head::Map(_)))
    }

    fn text_field(self, name: &'static str) -> Option<Cow<'a, str>> {
        let mut walk = Walk::of(self.0);
        let Ok(Head::Map(fields)) = walk.head() else { return None };
        for _ in 0..fields {
            if walk.text()? == name {
                return walk.text().map(Cow::Borrowed);
            }
            walk.value(1).ok()?;
        }
        None
    }

    fn parse<W: Deserialize<'a>>(self) -> Result<W, Skip> {
        let field = |what: &str| Skip::Field(what.to_owned());
        let mut walk = Walk::of(self.0);
        walk.value(1).map_err(|broken| Skip::Field(broken.to_string()))?;
        if walk.foreign_text {
            return Err(field("a text is not UTF-8"));
        }
        if walk.foreign_key {
            return Err(field("a field's name is not text"));
        }
        rmp_serde::from_slice(self.0).map_err(|error| Skip::Field(error.to_string()))
    }
}

/// Takes an array apart.
///
/// # Errors
/// [`Skip::Frame`] for a frame that is no array, that ends too early or too late, or that nests too deep; nothing of it may be used.
pub fn split(frame: &[u8]) -> Result<Vec<&[u8]>, Skip> {
    let malformed = |broken: Broken| Skip::Frame(broken.to_string());
    if frame.is_empty() {
        return Err(Skip::Frame("it is empty".to_owned()));
    }
    let mut walk = Walk::of(frame);
    let Head::Array(count) = walk.head().map_err(malformed)? else {
        return Err(Skip::Frame("it is not an array".to_owned()));
    };
    let mut elements = Vec::new(); // grows with what is really there
    for _ in 0..count {
        let start = walk.rest;
        walk.value(1).map_err(malformed)?;
        elements.push(&start[..start.len() - walk.rest.len()]);
    }
    if walk.rest.is_empty() { Ok(elements) } else { Err(malformed(Broken::Trailing)) }
}

/// Why bytes are not msgpack that this decoder takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Broken {
    #[error("it ends in the middle of a value")]
    Cut,
    #[error("it nests deeper than 32 levels")]
    TooDeep,
    #[error("it holds a byte that begins no value")]
    Reserved,
    #[error("bytes follow its end")]
    Trailing,
}

/// The beginning of a value.
enum Head<'a> {
    /// That many values follow.
    Array(u32),
    /// That many pairs follow.
    Map(u32),
    /// Text, perhaps not UTF-8.
    Text(&'a [u8]),
    /// Anything else, which is over.
    Leaf,
}

/// A walk over values. Each step consumes at least one byte, so a false length only ends the walk.
struct Walk<'a> {
    rest: &'a [u8],
    /// A text that is not UTF-8 was met.
    foreign_text: bool,
    /// A map's key that is not text was met.
    foreign_key: bool,
}

impl<'a> Walk<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, foreign_text: false, foreign_key: false }
    }

    /// Passes one value with everything in it. `depth`: how many containers it lies in.
    fn value(&mut self, depth: usize) -> Result<(), Broken> {
        let (values, pairs) = match self.head()? {
            Head::Leaf => return Ok(()),
            Head::Text(text) => {
                self.foreign_text |= std::str::from_utf8(text).is_err();
                return Ok(());
            }
            Head::Array(count) => (count, 0),
            Head::Map(count) => (0, count),
        };
        if depth >= DEPTH_MAX {
            return Err(Broken::TooDeep);
        }
        for _ in 0..values {
            self.value(depth + 1)?;
        }
        for _ in 0..pairs {
            self.foreign_key |= !matches!(self.rest.first(), Some(0xa0..=0xbf | 0xd9..=0xdb));
            self.value(depth + 1)?;
            self.value(depth + 1)?;
        }
        Ok(())
    }

    /// Reads the next value where it is UTF-8 text.
    fn text(&mut self) -> Option<&'a str> {
        match self.head() {
            Ok(Head::Text(text)) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    fn head(&mut self) -> Result<Head<'a>, Broken> {
        let [marker] = *self.take::<1>()?;
        let low = u32::from(marker);
        Ok(match marker {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Head::Leaf,
            0x80..=0x8f => Head::Map(low & 0x0f),
            0x90..=0x9f => Head::Array(low & 0x0f),
            0xa0..=0xbf => Head::Text(self.bytes(low & 0x1f)?),
            0xc1 => return Err(Broken::Reserved),
            0xcc | 0xd0 => self.leaf(1)?,
            0xcd | 0xd1 => self.leaf(2)?,
            0xca | 0xce | 0xd2 => self.leaf(4)?,
            0xcb | 0xcf | 0xd3 => self.leaf(8)?,
            0xd4..=0xd8 => self.leaf(1 + (1 << (low - 0xd4)))?, // an extension's type, and its 1 to 16 bytes
            0xc4 | 0xc7 | 0xd9 => self.long(marker, 1)?,
            0xc5 | 0xc8 | 0xda => self.long(marker, 2)?,
            0xc6 | 0xc9 | 0xdb => self.long(marker, 4)?,
            0xdc => Head::Array(self.length(2)?),
            0xdd => Head::Array(self.length(4)?),
            0xde => Head::Map(self.length(2)?),
            0xdf => Head::Map(self.length(4)?),
        })
    }

    /// Bytes, an extension or text whose length stands in the next `width` bytes.
    fn long(&mut self, marker: u8, width: u32) -> Result<Head<'a>, Broken> {
        let length = self.length(width)?;
        match marker {
            0xd9..=0xdb => return self.bytes(length).map(Head::Text),
            0xc7..=0xc9 => {
                self.take::<1>()?; // the extension's type
            }
            _ => {}
        }
        self.leaf(length)
    }

    fn leaf(&mut self, length: u32) -> Result<Head<'a>, Broken> {
        self.bytes(length).map(|_| Head::Leaf)
    }

    fn length(&mut self, width: u32) -> Result<u32, Broken> {
        Ok(self.bytes(width)?.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
    }

    fn bytes(&mut self, length: u32) -> Result<&'a [u8], Broken> {
        let length = usize::try_from(length).map_err(|_| Broken::Cut)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Broken::Cut)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], Broken> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Broken::Cut)?;
        self.rest = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn false_lengths_and_deep_nests_are_malformed_and_cost_no_memory() {
        let deep: Vec<u8> = std::iter::repeat_n(0x91, 40).chain([0x01]).collect();
        for (frame, word) in [
            (&[][..], "empty"),
            (&[0xdd, 0xff, 0xff, 0xff, 0xff], "middle"),
            (&[0xdf, 0xff, 0xff, 0xff, 0xff], "not an array"),
            (&[0x91, 0xdb, 0xff, 0xff, 0xff, 0xff, b'a'], "middle"),
            (&[0x91, 0xc9, 0xff, 0xff, 0xff, 0xff], "middle"),
            (&[0x91, 0xc1], "begins no value"),
            (&[0x90, 0x00], "follow"),
            (&deep, "deeper"),
        ] {
            let skip = split(frame).unwrap_err();
            assert!(skip.to_string().contains(word), "{frame:02x?}: {skip}");
        }
        assert!(split(&[0x90]).unwrap().is_empty());
    }

    #[test]
    fn thirty_two_levels_are_taken_and_no_more() {
        let nest = |levels: usize| -> Vec<u8> { std::iter::repeat_n(0x91, levels).chain([0x01]).collect() };
        assert!(split(&nest(DEPTH_MAX)).is_ok());
        assert!(split(&nest(DEPTH_MAX + 1)).is_err());
    }

    proptest! {
        #[test]
        fn any_value_that_was_encoded_is_passed_exactly(values in prop::collection::vec(prop::collection::vec(any::<f64>(), 0..40), 0..20)) {
            let frame = rmp_serde::to_vec(&values).unwrap();
            let elements = split(&frame).unwrap();
            prop_assert_eq!(elements.len(), values.len());
            for (element, value) in elements.iter().zip(&values) {
                prop_assert_eq!(element.to_vec(), rmp_serde::to_vec(value).unwrap());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = split(&bytes);
            let _ = Msgpack(&bytes).text_field("T");
            let _ = Msgpack(&bytes).parse::<serde_json::Value>();
        }
    }
}
