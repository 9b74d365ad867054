//! What must hold for any bytes: the fuzz target and the test that runs its corpus share this.

use market::wire;
use producer::feeds::alpaca::{self, Encoding};
use producer::feeds::event::{Element, Event};
use producer::feeds::finnhub;
use producer::feeds::massive;
use producer::feeds::occurrences::Occurrences;
use producer::feeds::protocol::Frame;

/// The first byte picks the decoder, the rest is the frame. No frame may panic or overflow the stack, and every record that comes out
/// must read back from its own wire format.
pub(crate) fn decode(input: &[u8]) {
    let Some((decoder, frame)) = input.split_first() else { return };
    let frame = Frame::Binary(frame);
    match decoder % 4 {
        0 => alpaca::frame::decode_frame(frame, Encoding::Json, &mut check),
        1 => alpaca::frame::decode_frame(frame, Encoding::Msgpack, &mut check),
        2 => finnhub::frame::decode_frame(frame, &mut Occurrences::default(), &mut check),
        _ => massive::frame::decode_frame(frame, &mut check),
    }
}

fn check<C>(element: Element<C>) {
    let Element::Event(event) = element else { return };
    let mut out = Vec::new();
    match event {
        Event::Trade(trade) => {
            wire::encode_trade(&trade, None, &mut out);
            assert_eq!(wire::decode_trade(&out).expect("a trade reads back").0, trade);
        }
        Event::Bar(bar) => {
            wire::encode_bar(&bar, None, &mut out);
            assert_eq!(wire::decode_bar(&out).expect("a bar reads back").0, bar);
        }
        Event::Correction(correction) => {
            wire::encode_correction(&correction, None, &mut out);
            assert_eq!(wire::decode_correction(&out).expect("a correction reads back").0, *correction);
        }
        Event::Quote(quote) => wire::encode_quote(&quote, None, &mut out),
        Event::Skipped(skip) => assert!(!skip.to_string().is_empty() && !skip.reason().is_empty()),
        Event::Halt(..) | Event::Other(_) => {}
    }
}
