//! `producer decode`: raw frames in, records out, without a connection.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::feeds::alpaca::{self, Encoding, control::Control};
use crate::feeds::event::{Element, Event, Skip};
use crate::feeds::finnhub;
use crate::feeds::massive;
use crate::feeds::occurrences::Occurrences;
use crate::feeds::protocol::{Feed, Frame};

use super::print;

/// What to decode.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Whose frames these are
    #[arg(long, value_enum)]
    pub feed: Feed,
    /// How they are encoded; msgpack is Alpaca's
    #[arg(long, value_enum, default_value_t)]
    pub encoding: Encoding,
    /// Frames, one a line, binary ones in hex; standard input where no file is named
    pub file: Option<PathBuf>,
}

/// Decodes until the input ends. Frames without a meaning are reported, not failures; exit code 1 means that the input cannot be read.
pub fn main(options: &Options) -> ExitCode {
    let input: anyhow::Result<Box<dyn BufRead>> = match &options.file {
        None => Ok(Box::new(io::stdin().lock())),
        Some(path) => File::open(path)
            .with_context(|| format!("cannot read {}", path.display()))
            .map(|file| Box::new(BufReader::new(file)) as Box<dyn BufRead>),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    match input.and_then(|input| decode(options.feed, options.encoding, input, &mut out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS, // the reader has seen enough
        Err(error) => {
            eprintln!("producer decode: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Decodes frames, one a line, and writes what they mean.
///
/// # Errors
/// Where reading or writing fails.
pub fn decode(feed: Feed, encoding: Encoding, mut input: impl BufRead, out: &mut impl Write) -> anyhow::Result<()> {
    let mut decoder = Decoder::new(feed, encoding);
    let (mut line, mut frame) = (Vec::new(), 0_u64);
    while input.read_until(b'\n', &mut line)? > 0 {
        let text = line.trim_ascii();
        if !text.is_empty() {
            frame += 1;
            let mut written = Ok(());
            let mut each = |event: Event| {
                if written.is_ok() {
                    written = print::line(&event, frame, out);
                }
            };
            match bytes_of(text, encoding) {
                Ok(bytes) => decoder.frame(Frame::Binary(&bytes), &mut each),
                Err(skip) => each(Event::Skipped(skip)),
            }
            written?;
        }
        line.clear();
    }
    Ok(out.flush()?)
}

/// A line's frame. Frames of JSON begin with a bracket, so a line of hex digits is a binary one.
fn bytes_of(line: &[u8], encoding: Encoding) -> Result<std::borrow::Cow<'_, [u8]>, Skip> {
    let is_hex = line.len().is_multiple_of(2) && line.iter().all(u8::is_ascii_hexdigit);
    if is_hex {
        let digit =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or_default();
        return Ok(line.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect());
    }
    match encoding {
        Encoding::Json => Ok(line.into()),
        Encoding::Msgpack => Err(Skip::Frame("a binary frame must be written in hex".to_owned())),
    }
}

/// One feed's decoder, with what it has to remember from frame to frame.
struct Decoder {
    feed: Feed,
    encoding: Encoding,
    occurrences: Occurrences,
}

impl Decoder {
    fn new(feed: Feed, encoding: Encoding) -> Self {
        Self { feed, encoding, occurrences: Occurrences::default() }
    }

    fn frame(&mut self, frame: Frame<'_>, each: &mut dyn FnMut(Event)) {
        match self.feed {
            Feed::Alpaca => alpaca::frame::decode_frame(frame, self.encoding, &mut |element| {
                each(event(element, |control| match control {
                    Control::Success(_) => "success",
                    Control::Error { .. } => "error",
                    Control::Subscription(_) => "subscription",
                }));
            }),
            Feed::Finnhub => finnhub::frame::decode_frame(frame, &mut self.occurrences, &mut |element| {
                each(event(element, |control| match control {
                    finnhub::frame::Control::Ping => "ping",
                    finnhub::frame::Control::Error(_) => "error",
                }));
            }),
            Feed::Massive => {
                massive::frame::decode_frame(frame, &mut |element| each(event(element, |_| "status")));
            }
        }
    }
}

/// The conversation is nothing that is stored.
fn event<C>(element: Element<C>, name: impl FnOnce(&C) -> &'static str) -> Event {
    match element {
        Element::Event(event) => event,
        Element::Control(control) => Event::Other(name(&control)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(feed: Feed, encoding: Encoding, input: &str) -> Vec<String> {
        let mut out = Vec::new();
        decode(feed, encoding, input.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_for_each_element_and_a_reason_for_each_that_was_skipped() {
        let lines = decoded(
            Feed::Alpaca,
            Encoding::Json,
            r#"[{"T":"success","msg":"connected"},{"T":"t","S":"AAPL","i":628,"x":"K","p":162.92,"s":3,"t":"2023-04-06T11:54:26.838232225Z"},{"T":"t"},{"T":"l"}]

nonsense"#,
        );
        assert_eq!(
            lines,
            [
                r#"{"frame":1,"other":"success"}"#,
                r#"{"symbol":"AAPL","price":162.92,"size":3,"timestamp":1680782066838,"timestamp_ns":"1680782066838232225","trade_id":"628","exchange":"K","source":"alpaca"}"#,
                r#"{"detail":"missing field `p` at line 1 column 9","frame":1,"skipped":"bad_field"}"#,
                r#"{"frame":1,"other":"luld"}"#,
                r#"{"detail":"malformed frame: expected ident at line 1 column 2","frame":2,"skipped":"malformed_frame"}"#,
            ]
        );
    }

    #[test]
    fn binary_frames_are_hex_in_both_encodings() {
        let trade =
            r#"[{"T":"x","S":"GOOGL","i":465,"x":"D","p":105.31,"s":300,"a":"C","t":"2023-04-06T13:15:42.83540958Z"}]"#;
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let value: serde_json::Value = serde_json::from_str(trade).unwrap();
        let packed = rmp_serde::to_vec_named(&value).unwrap();
        let expected = decoded(Feed::Alpaca, Encoding::Json, trade);
        assert!(expected[0].starts_with(r#"{"type":"cancel","symbol":"GOOGL""#), "{expected:?}");
        assert_eq!(decoded(Feed::Alpaca, Encoding::Json, &hex(trade.as_bytes())), expected);
        assert_eq!(decoded(Feed::Alpaca, Encoding::Msgpack, &hex(&packed)), expected);
        assert!(decoded(Feed::Alpaca, Encoding::Msgpack, trade)[0].contains("hex"));
    }

    #[test]
    fn each_feed_has_its_decoder() {
        let finnhub = r#"{"type":"trade","data":[{"s":"AAPL","p":129.58,"t":1672348887666,"v":1}]}"#;
        let twice = decoded(Feed::Finnhub, Encoding::Json, &format!("{finnhub}\n{finnhub}\n{{\"type\":\"ping\"}}"));
        assert!(twice[0].contains("-0\"") && twice[1].contains("-1\""), "{twice:?}");
        assert_eq!(twice[2], r#"{"frame":3,"other":"ping"}"#);
        let massive = r#"[{"ev":"T","sym":"MSFT","x":4,"p":114.125,"s":100,"t":1536036818784}]"#;
        assert!(decoded(Feed::Massive, Encoding::Json, massive)[0].contains(r#""source":"massive""#));
    }
}
