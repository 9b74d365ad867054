//! JSON elements.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::feeds::event::Skip;

use super::{DEPTH_MAX, Raw};

/// An element as its text.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(pub &'a str);

impl<'a> Raw<'a> for Json<'a> {
    fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    fn text_field(self, name: &'static str) -> Option<Cow<'a, str>> {
        first_field(self.0, name).map(Cow::Borrowed).or_else(|| {
            let fields: BTreeMap<Cow<'a, str>, &'a RawValue> = serde_json::from_str(self.0).ok()?;
            serde_json::from_str(fields.get(name)?.get()).ok().map(Cow::Owned)
        })
    }

    fn parse<W: Deserialize<'a>>(self) -> Result<W, Skip> {
        serde_json::from_str(self.0).map_err(|error| Skip::Field(error.to_string()))
    }
}

/// The text of the first field where that is `name` and nothing in it is escaped.
fn first_field<'a>(raw: &'a str, name: &str) -> Option<&'a str> {
    let value = raw.strip_prefix("{\"")?.strip_prefix(name)?.strip_prefix("\":\"")?;
    let (text, _) = value.split_once('"')?;
    (!text.contains('\\')).then_some(text)
}

/// Takes an array apart.
///
/// # Errors
/// [`Skip::Frame`] for a frame that is no array, or that nests too deep; nothing of it may be used.
pub fn split(frame: &[u8]) -> Result<Vec<&RawValue>, Skip> {
    let malformed = |what: &str| Err(Skip::Frame(what.to_owned()));
    if frame.is_empty() {
        return malformed("it is empty");
    }
    if nested_too_deep(frame) {
        return malformed("it nests deeper than 32 levels");
    }
    serde_json::from_slice(frame).or_else(|error| match error.is_data() {
        true => malformed("it is not an array"),
        false => malformed(&error.to_string()),
    })
}

/// The first element of what is left of an array.
///
/// # Errors
/// [`Skip::Frame`] where it is no JSON or nests too deep.
pub fn first(rest: &str) -> Result<&str, Skip> {
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
    let raw = values.next().and_then(Result::ok).ok_or_else(|| Skip::Frame("it is not JSON".to_owned()))?.get();
    // The array around it is one level already. White space in front of it is not in `raw`, so the caller sees that it cannot go on.
    let too_deep = brackets(raw.as_bytes()) >= DEPTH_MAX && nested_too_deep(format!("[{raw}]").as_bytes());
    if too_deep || !rest.starts_with(raw) { Err(Skip::Frame("it is not ordinary".to_owned())) } else { Ok(raw) }
}

/// Counts brackets outside strings, but only where there are enough of them to matter: an ordinary element has four.
pub fn nested_too_deep(frame: &[u8]) -> bool {
    if brackets(frame) <= DEPTH_MAX {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in frame {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Opening brackets, also those in texts.
fn brackets(frame: &[u8]) -> usize {
    frame.iter().filter(|byte| matches!(byte, b'[' | b'{')).count()
}
