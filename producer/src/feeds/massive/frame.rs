//! A frame into its elements. Frames are arrays of JSON objects.

use crate::feeds::event::Skip;
use crate::feeds::protocol::Frame;
use crate::feeds::raw::{Json, json};

use super::element::{Element, decode};

/// Takes a frame apart and hands each element to `each`, in order.
pub fn decode_frame(frame: Frame<'_>, each: &mut dyn FnMut(Element)) {
    let whole: Result<(), Skip> =
        json::split(frame.bytes()).map(|elements| elements.iter().for_each(|raw| each(decode(Json(raw.get())))));
    if let Err(skip) = whole {
        each(Element::skipped(skip));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: &str = r#"[{"ev":"status","status":"success","message":"subscribed to: T.MSFT"},{"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"ds":"100.0","c":[0,12],"t":1536036818784,"q":3681328},7]"#;

    #[test]
    fn status_and_data_may_share_a_frame() {
        let mut kinds = Vec::new();
        decode_frame(Frame::Text(FRAME), &mut |element| {
            kinds.push(match element {
                Element::Control(status) => status.message,
                Element::Event(event) => format!("{event:?}").chars().take(6).collect(),
            });
        });
        assert_eq!(kinds, ["subscribed to: T.MSFT", "Trade(", "Skippe"]);
    }

    proptest! {
        #[test]
        fn no_broken_frame_makes_it_panic(at in 0_usize..190, byte in any::<u8>()) {
            let mut frame = FRAME.as_bytes().to_vec();
            frame[at] = byte;
            decode_frame(Frame::Binary(&frame), &mut |_| {});
            decode_frame(Frame::Binary(&frame[..at]), &mut |_| {});
        }
    }
}
