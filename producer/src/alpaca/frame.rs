//! A frame into its elements. Server frames are arrays; one bad element never costs its neighbours.

use serde_json::value::RawValue;

use crate::event::{Event, Skip};

use super::element::{self, Control};

/// Deepest nesting that is believed; deeper frames are malformed.
const DEPTH_MAX: usize = 32;

/// What one element is: data for the pipeline, or part of the conversation.
#[derive(Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every element is an event; a box would cost each of them an allocation"
)]
pub enum Element {
    /// Data, or the reason why it is none.
    Event(Event),
    /// `success`, `error` or `subscription`.
    Control(Control),
}

/// Takes a JSON frame apart and hands each element to `each`, in order.
pub fn decode_json(frame: &[u8], each: &mut dyn FnMut(Element)) {
    let mut skip = |what: &str| each(Element::Event(Event::Skipped(Skip::Frame(what.to_owned()))));
    if frame.is_empty() {
        return skip("it is empty");
    }
    if nested_too_deep(frame) {
        return skip("it nests deeper than 32 levels");
    }
    match serde_json::from_slice::<Vec<&RawValue>>(frame) {
        Ok(elements) => elements.iter().for_each(|raw| each(element::decode(raw.get()))),
        Err(error) if error.is_data() => skip("it is not an array"),
        Err(error) => skip(&error.to_string()),
    }
}

/// Counts brackets outside strings, but only where there are enough of them to matter: an ordinary element has four.
fn nested_too_deep(frame: &[u8]) -> bool {
    let opening = |byte: &u8| matches!(byte, b'[' | b'{');
    if frame.iter().filter(|byte| opening(byte)).count() <= DEPTH_MAX {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn elements(frame: &str) -> Vec<Element> {
        let mut elements = Vec::new();
        decode_json(frame.as_bytes(), &mut |element| elements.push(element));
        elements
    }

    fn skip_of(element: &Element) -> &Skip {
        match element {
            Element::Event(Event::Skipped(skip)) => skip,
            other => panic!("{other:?} was not skipped"),
        }
    }

    const TRADE: &str = r#"{"T":"t","S":"AAPL","i":628,"x":"K","p":162.92,"s":3,"c":["@","F","T","I"],"z":"C","t":"2023-04-06T11:54:26.838232225Z"}"#;

    #[test]
    fn a_bad_element_does_not_cost_its_neighbours() {
        let frame = format!(r#"[{TRADE},{{"T":"t","S":"AAPL"}},7,null,{{"T":"?","p":{{"a":[1]}}}},{TRADE}]"#);
        let elements = elements(&frame);
        assert_eq!(elements.len(), 6);
        assert!(matches!(elements[0], Element::Event(Event::Trade(_))));
        let reasons: Vec<_> = elements[1..5].iter().map(|element| skip_of(element).reason()).collect();
        assert_eq!(reasons, ["bad_field", "not_an_object", "not_an_object", "unknown_type"]);
        assert!(matches!(elements[5], Element::Event(Event::Trade(_))));
    }

    #[test]
    fn what_is_not_an_array_is_one_skip_and_an_empty_array_is_nothing() {
        assert!(elements("[]").is_empty());
        let deep = format!("[{}1{}]", "[".repeat(40), "]".repeat(40));
        for frame in ["", "{}", "[1", "[1]x", "nonsense", "[NaN]", "3", &deep] {
            let elements = elements(frame);
            assert_eq!(elements.len(), 1, "{frame}");
            assert_eq!(skip_of(&elements[0]).reason(), "malformed_frame", "{frame}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            decode_json(&bytes, &mut |_| {});
        }

        #[test]
        fn no_broken_frame_makes_it_panic(cut in 0_usize..140, byte in any::<u8>()) {
            let mut frame = format!("[{TRADE},{TRADE}]").into_bytes();
            frame[cut] = byte;
            decode_json(&frame, &mut |_| {});
            decode_json(&frame[..cut], &mut |_| {});
        }
    }
}
