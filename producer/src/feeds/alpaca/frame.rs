//! A frame into its elements.

use serde_json::value::RawValue;

use crate::feeds::event::{Event, Skip};
use crate::feeds::protocol::Frame;
use crate::feeds::raw::{Json, Msgpack, json, msgpack};

use super::element::{Element, decode};
use super::scan::Scan;

/// About as long as a trade or quote is: a guess at how many a frame holds.
const ELEMENT_BYTES: usize = 110;

/// How messages are written, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Encoding {
    /// Text.
    #[default]
    Json,
    /// Bytes.
    Msgpack,
}

impl std::str::FromStr for Encoding {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "msgpack" => Ok(Self::Msgpack),
            _ => Err("no such encoding"),
        }
    }
}

/// Takes a frame apart and hands each element to `each`, in order. A text frame is JSON in either encoding.
pub fn decode_frame(frame: Frame<'_>, encoding: Encoding, each: &mut dyn FnMut(Element)) {
    let whole = match (frame, encoding) {
        (Frame::Binary(bytes), Encoding::Msgpack) => {
            msgpack::split(bytes).map(|elements| elements.iter().for_each(|raw| each(decode(Msgpack(raw)))))
        }
        (Frame::Binary(bytes), Encoding::Json) => match std::str::from_utf8(bytes) {
            Ok(text) => decode_json(text, each),
            Err(_) => Err(Skip::Frame("it is not UTF-8".to_owned())),
        },
        (Frame::Text(text), _) => decode_json(text, each),
    };
    if let Err(skip) = whole {
        each(Element::skipped(skip));
    }
}

/// Reads ordinary elements in one pass and leaves the others to serde, each by itself. Nothing is handed on before the frame's end has
/// been seen, because nothing of a malformed frame may be used.
fn decode_json(text: &str, each: &mut dyn FnMut(Element)) -> Result<(), Skip> {
    let mut scan = Scan::new(text);
    if scan.take(b'[').is_none() || scan.peek() == Some(b']') {
        return decode_slowly(text, each); // not an array, empty, or written with white space
    }
    let mut elements = Vec::with_capacity(text.len() / ELEMENT_BYTES + 1);
    loop {
        elements.push(match scan.event() {
            Some(event) => Element::Event(event.unwrap_or_else(|reject| Event::Skipped(reject.into()))),
            None => match json::first(scan.rest()) {
                Ok(raw) => {
                    scan.pass(raw.len());
                    decode(Json(raw))
                }
                Err(_) => return decode_slowly(text, each), // it will say what is wrong
            },
        });
        if scan.take(b',').is_none() {
            break;
        }
    }
    if scan.rest() != "]" {
        return decode_slowly(text, each);
    }
    elements.into_iter().for_each(each);
    Ok(())
}

/// The way for every frame that is not ordinary, and the measure of the fast one.
fn decode_slowly(text: &str, each: &mut dyn FnMut(Element)) -> Result<(), Skip> {
    let elements = json::split(text.as_bytes())?;
    elements.iter().copied().map(RawValue::get).for_each(|raw| each(decode(Json(raw))));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn elements(frame: Frame<'_>, encoding: Encoding) -> Vec<Element> {
        let mut elements = Vec::new();
        decode_frame(frame, encoding, &mut |element| elements.push(element));
        elements
    }

    fn json_elements(frame: &str) -> Vec<Element> {
        elements(Frame::Text(frame), Encoding::Json)
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
        let value: Value = serde_json::from_str(&frame).unwrap();
        let packed = rmp_serde::to_vec_named(&value).unwrap();
        for elements in [json_elements(&frame), elements(Frame::Binary(&packed), Encoding::Msgpack)] {
            assert_eq!(elements.len(), 6);
            assert!(matches!(elements[0], Element::Event(Event::Trade(_))));
            let reasons: Vec<_> = elements[1..5].iter().map(|element| skip_of(element).reason()).collect();
            assert_eq!(reasons, ["bad_field", "not_an_object", "not_an_object", "unknown_type"]);
            assert_eq!(elements[5], elements[0]);
        }
    }

    #[test]
    fn what_is_not_an_array_is_one_skip_and_an_empty_array_is_nothing() {
        assert!(json_elements("[]").is_empty());
        let deep = format!("[{}1{}]", "[".repeat(40), "]".repeat(40));
        for frame in ["", "{}", "[1", "[1]x", "nonsense", "[NaN]", "3", &deep] {
            let elements = json_elements(frame);
            assert_eq!(elements.len(), 1, "{frame}");
            assert_eq!(skip_of(&elements[0]).reason(), "malformed_frame", "{frame}");
        }
    }

    #[test]
    fn json_is_taken_from_a_binary_frame_too_and_text_while_msgpack_was_asked_for() {
        let frame = format!("[{TRADE}]");
        let taken = json_elements(&frame);
        assert_eq!(elements(Frame::Binary(frame.as_bytes()), Encoding::Json), taken);
        assert_eq!(elements(Frame::Text(&frame), Encoding::Msgpack), taken);
    }

    /// The trade above, packed, with `time` and `conditions` as given.
    fn packed(time: &[u8], conditions: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x91, 0x86];
        frame.extend_from_slice(b"\xa1T\xa1t\xa1S\xa4AAPL\xa1p\xcb\x40\x64\x5d\x70\xa3\xd7\x0a\x3d\xa1s\x03\xa1c");
        frame.extend_from_slice(conditions);
        frame.extend_from_slice(b"\xa1t");
        frame.extend_from_slice(time);
        frame
    }

    #[test]
    fn msgpack_times_come_in_three_sizes() {
        let none: &[u8] = b"\xc0";
        for (time, ns) in [
            (&b"\xd6\xff\x64\x2e\xb3\x12"[..], 1_680_782_098_000_000_000),
            (b"\xd7\xff\x00\x00\x00\x04\x64\x2e\xb3\x12", 1_680_782_098_000_000_001),
            (b"\xc7\x0c\xff\x00\x00\x00\x07\xff\xff\xff\xff\xff\xff\xff\xff", -999_999_993),
        ] {
            let elements = elements(Frame::Binary(&packed(time, none)), Encoding::Msgpack);
            let Element::Event(Event::Trade(trade)) = &elements[0] else { panic!("{elements:?}") };
            assert_eq!((trade.ts_ns, trade.price, trade.size), (ns, 162.92, 3.0));
        }
        for time in [
            &b"\xd6\x01\x64\x2e\xb3\x12"[..],                                // another extension
            b"\xd5\xff\x00\x00",                                             // of no timestamp's size
            b"\xd7\xff\xff\xff\xff\xfc\x64\x2e\xb3\x12",                     // a second has 10⁹ nanoseconds
            b"\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", // in a far future
            b"\x01",
        ] {
            let elements = elements(Frame::Binary(&packed(time, none)), Encoding::Msgpack);
            assert_eq!(skip_of(&elements[0]).reason(), "bad_field", "{time:02x?}");
        }
    }

    #[test]
    fn msgpack_conditions_may_be_one_text_and_foreign_text_costs_its_element_only() {
        let time = b"\xd6\xff\x64\x2e\xb3\x12";
        let elements_of = |conditions: &[u8]| elements(Frame::Binary(&packed(time, conditions)), Encoding::Msgpack);
        let one = elements_of(b"\xa1I");
        let Element::Event(Event::Trade(trade)) = &one[0] else { panic!("{one:?}") };
        assert_eq!(trade.conditions.as_slice(), ["I"]);
        assert!(skip_of(&elements_of(b"\xa1\xff")[0]).to_string().contains("UTF-8"));
        assert!(skip_of(&elements_of(b"\x91\xa1\xff")[0]).to_string().contains("UTF-8"));
        assert_eq!(skip_of(&elements_of(b"\x07")[0]).reason(), "bad_field");
    }

    /// Pieces of JSON as it comes and as it should not.
    fn piece() -> impl Strategy<Value = String> {
        let fields = [
            r#""S":"AAPL""#,
            r#""S":"BRK.B""#,
            r#""S":"""#,
            r#""S":"\u0041""#,
            r#""S":7"#,
            r#""i":628"#,
            r#""i":0"#,
            r#""i":007"#,
            r#""i":-5"#,
            r#""i":18446744073709551615"#,
            r#""i":18446744073709551616"#,
            r#""i":1.5"#,
            r#""x":"K""#,
            r#""x":null"#,
            r#""p":162.92"#,
            r#""p":0.1"#,
            r#""p":00.1"#,
            r#""p":1."#,
            r#""p":.5"#,
            r#""p":1e2"#,
            r#""p":9007199254740993"#,
            r#""p":0.12345678901234567"#,
            r#""p":123456789.123456789"#,
            r#""p":-1"#,
            r#""p":0"#,
            r#""p":"1""#,
            r#""s":3"#,
            r#""s":0.5"#,
            r#""s":1e400"#,
            r#""c":["@","I"]"#,
            r#""c":[]"#,
            r#""c":[" "]"#,
            r#""c":"I""#,
            r#""c":["@",]"#,
            r#""c":[7]"#,
            r#""c":null"#,
            r#""z":"C""#,
            r#""z":"\u0000""#,
            r#""t":"2023-04-06T11:54:26.838232225Z""#,
            r#""t":"2023-04-06T11:54:26Z""#,
            r#""t":"0001-01-01T00:00:00Z""#,
            r#""t":5"#,
            r#""bx":"V""#,
            r#""bp":1.25"#,
            r#""bs":100"#,
            r#""ax":"Q""#,
            r#""ap":0"#,
            r#""as":200"#,
            r#""u":{"a":[1]}"#,
            r#""new":"x""#,
            r#" "S": "A""#,
            r#""S""#,
            "",
            "7",
        ];
        let kinds = [r#""T":"t""#, r#""T":"q""#, r#""T":"b""#, r#""T":"success""#, r#""T":"?""#, r#""S":"A""#];
        let fields = prop::collection::vec(prop::sample::select(fields.to_vec()), 0..9);
        let full = (prop::sample::select(kinds.to_vec()), fields, any::<bool>()).prop_map(|(kind, fields, valid)| {
            let base = match (valid, kind) {
                (true, r#""T":"t""#) => r#","S":"AAPL","p":1.5,"s":2,"t":"2023-04-06T11:54:26Z""#,
                (true, r#""T":"q""#) => r#","S":"A","bp":1,"bs":2,"ap":3,"as":4,"t":"2023-04-06T11:54:26Z""#,
                _ => "",
            };
            let fields: String = fields.iter().take(if valid { 2 } else { 9 }).flat_map(|field| [",", field]).collect();
            format!("{{{kind}{base}{fields}}}")
        });
        let odd = prop::sample::select(vec!["7", "null", "[]", "{}", "{", "NaN", " ", ""]).prop_map(str::to_owned);
        prop_oneof![9 => full, 1 => odd]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn the_fast_way_and_the_slow_one_agree(
            pieces in prop::collection::vec(piece(), 0..4),
            end in prop::sample::select(vec!["]", "]", "]", "] ", "", ",]", "]]"]),
        ) {
            let frame = format!("[{}{end}", pieces.join(","));
            let mut slow = Vec::new();
            if let Err(skip) = decode_slowly(&frame, &mut |element| slow.push(element)) {
                slow.push(Element::skipped(skip));
            }
            prop_assert_eq!(json_elements(&frame), slow, "{}", frame);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            decode_frame(Frame::Binary(&bytes), Encoding::Json, &mut |_| {});
            decode_frame(Frame::Binary(&bytes), Encoding::Msgpack, &mut |_| {});
        }

        #[test]
        fn no_broken_frame_makes_it_panic(cut in 0_usize..140, byte in any::<u8>()) {
            let json = format!("[{TRADE},{TRADE}]").into_bytes();
            let value: Value = serde_json::from_slice(&json).unwrap();
            let packed = rmp_serde::to_vec_named(&value).unwrap();
            for (mut frame, encoding) in [(json, Encoding::Json), (packed, Encoding::Msgpack)] {
                let cut = cut.min(frame.len() - 1);
                frame[cut] = byte;
                decode_frame(Frame::Binary(&frame), encoding, &mut |_| {});
                decode_frame(Frame::Binary(&frame[..cut]), encoding, &mut |_| {});
            }
        }
    }
}
