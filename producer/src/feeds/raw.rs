//! Frames into elements, whatever their encoding. Server frames are arrays; one bad element never costs its neighbours.

pub mod json;
pub mod msgpack;

use std::borrow::Cow;

use serde::Deserialize;

use crate::feeds::event::Skip;

pub use json::Json;
pub use msgpack::Msgpack;

/// Deepest nesting that is believed; deeper frames are malformed.
pub const DEPTH_MAX: usize = 32;

/// One element of a frame, not yet decoded.
pub trait Raw<'a>: Copy {
    /// Whether it is an object.
    fn is_object(self) -> bool;

    /// The text in field `name`; `None` where there is none. Looks at the first field before it reads the others.
    fn text_field(self, name: &'static str) -> Option<Cow<'a, str>>;

    /// Reads it as a `W`.
    ///
    /// # Errors
    /// [`Skip::Field`], which names what is missing or mistyped.
    fn parse<W: Deserialize<'a>>(self) -> Result<W, Skip>;
}
