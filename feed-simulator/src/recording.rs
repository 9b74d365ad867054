//! Replay of a file that `producer record` wrote: Alpaca's JSON frames, one a line, in the order in which they came.

use std::path::Path;

use serde_json::{Map, Value};

use crate::conditions::Conditions;
use crate::message::{Bar, BarKind, Cancel, Correction, Message, Quote, Report, Trade};
use crate::replay::read::ReadError;
use crate::source::{Batch, Pace, Source};
use crate::symbols::{SymbolId, SymbolTable, is_well_formed};
use crate::units::{NS_PER_MINUTE, UNITS_PER_DOLLAR};
use crate::wire::text::parse_time;

/// The frames of one file.
#[derive(Debug)]
pub struct Recording {
    batches: std::vec::IntoIter<Batch>,
    /// Stream time of the first frame.
    pub first_ns: i64,
    /// Elements that this simulator cannot play: of another type, malformed, or with fractions of shares.
    pub left_out: u64,
}

/// Reads a file whole; returns the symbols in it and what it plays.
///
/// # Errors
/// [`ReadError`] where the file cannot be read, a line is no JSON array, or nothing in it can be played.
pub fn load(path: &Path) -> Result<(SymbolTable, Recording), ReadError> {
    let fails = |problem: String| ReadError::File { path: path.to_owned(), problem };
    let text = std::fs::read_to_string(path).map_err(|error| fails(error.to_string()))?;
    let frame = |(at, line): (usize, &str)| {
        serde_json::from_str::<Vec<Value>>(line).map_err(|_| ReadError::Line {
            path: path.to_owned(),
            line: at + 1,
            problem: "is no JSON array: recordings are made with `producer record` and ALPACA_ENCODING=json".to_owned(),
        })
    };
    let frames = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(frame);
    let frames = frames.collect::<Result<Vec<_>, _>>()?;
    let names = frames.iter().flatten().filter_map(|element| element.get("S")?.as_str());
    let symbols = SymbolTable::new(names.filter(|name| is_well_formed(name)));

    let (mut batches, mut left_out, mut now_ns) = (Vec::new(), 0, i64::MIN);
    for frame in &frames {
        let mut messages = Vec::new();
        for element in frame.iter().filter(|element| !is_control(element)) {
            match element.as_object().and_then(|fields| message(fields, &symbols)) {
                Some((reported_ns, message)) => {
                    now_ns = now_ns.max(reported_ns);
                    messages.push(message);
                }
                None => left_out += 1,
            }
        }
        if !messages.is_empty() {
            batches.push(Batch { due_ns: now_ns, messages });
        }
    }
    let first_ns = batches.first().ok_or_else(|| fails("holds nothing that can be played".to_owned()))?.due_ns;
    Ok((symbols, Recording { batches: batches.into_iter(), first_ns, left_out }))
}

fn is_control(element: &Value) -> bool {
    matches!(element["T"].as_str(), Some("success" | "error" | "subscription"))
}

/// One element and the time at which it may have been reported, in Unix nanoseconds; `None` where it cannot be played.
fn message(fields: &Map<String, Value>, symbols: &SymbolTable) -> Option<(i64, Message)> {
    let symbol = symbols.id(fields.get("S")?.as_str()?)?;
    let ts_ns = parse_time(fields.get("t")?.as_str()?)?;
    let trade = || {
        let Report { id, price, size, conditions } = report(fields, ["i", "p", "s", "c"])?;
        Some(Trade { symbol, ts_ns, id, price, size, exchange: letter(fields, "x")?, conditions })
    };
    let bar = |kind, reported_ns| Some((reported_ns, Message::Bar(kind, bar(fields, symbol, ts_ns)?)));
    match fields.get("T")?.as_str()? {
        "t" => Some((ts_ns, Message::Trade(trade()?))),
        "x" => Some((ts_ns, Message::Cancel(Cancel { trade: trade()?, action: letter(fields, "a")? }))),
        "c" => {
            let original = report(fields, ["oi", "op", "os", "oc"])?;
            let corrected = report(fields, ["ci", "cp", "cs", "cc"])?;
            let exchange = letter(fields, "x")?;
            Some((ts_ns, Message::Correction(Correction { symbol, ts_ns, exchange, original, corrected })))
        }
        "q" => Some((
            ts_ns,
            Message::Quote(Quote {
                symbol,
                ts_ns,
                bid: units(fields, "bp")?,
                bid_size: whole(fields, "bs")?,
                bid_exchange: letter(fields, "bx")?,
                ask: units(fields, "ap")?,
                ask_size: whole(fields, "as")?,
                ask_exchange: letter(fields, "ax")?,
            }),
        )),
        "b" => bar(BarKind::Minute, ts_ns + NS_PER_MINUTE),
        "u" => bar(BarKind::Updated, ts_ns + NS_PER_MINUTE * 3 / 2),
        "d" => bar(BarKind::Daily, ts_ns), // the running day: it came when the frames around it did
        _ => None,
    }
}

fn report(fields: &Map<String, Value>, [id, price, size, conditions]: [&str; 4]) -> Option<Report> {
    Some(Report {
        id: fields.get(id)?.as_u64()?,
        price: units(fields, price)?,
        size: whole(fields, size).filter(|size| *size > 0)?,
        conditions: codes(fields.get(conditions))?,
    })
}

fn bar(fields: &Map<String, Value>, symbol: SymbolId, start_ns: i64) -> Option<Bar> {
    let count = |name: &str| fields.get(name).map_or(Some(0), Value::as_u64);
    let vwap = fields.get("vw").map_or(Some(0.0), Value::as_f64)?;
    Some(Bar {
        symbol,
        start_ns,
        open: units(fields, "o")?,
        high: units(fields, "h")?,
        low: units(fields, "l")?,
        close: units(fields, "c")?,
        volume: count("v")?,
        trade_count: count("n")?,
        vwap: rounded(vwap * 1e6)?,
    })
}

/// A price in 1/10,000 dollar.
#[expect(clippy::cast_precision_loss, reason = "a small constant")]
fn units(fields: &Map<String, Value>, name: &str) -> Option<i64> {
    rounded(fields.get(name)?.as_f64()? * UNITS_PER_DOLLAR as f64)
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be far below 2^63")]
fn rounded(value: f64) -> Option<i64> {
    (0.0..1e15).contains(&value).then(|| value.round() as i64)
}

fn whole(fields: &Map<String, Value>, name: &str) -> Option<u32> {
    u32::try_from(fields.get(name)?.as_u64()?).ok()
}

fn letter(fields: &Map<String, Value>, name: &str) -> Option<u8> {
    one_letter(fields.get(name)?)
}

fn one_letter(text: &Value) -> Option<u8> {
    let &[letter] = text.as_str()?.as_bytes() else { return None };
    (b' '..=b'~').contains(&letter).then_some(letter)
}

/// Up to four one-letter codes; missing is none.
fn codes(list: Option<&Value>) -> Option<Conditions> {
    let Some(list) = list.filter(|list| !list.is_null()) else { return Some(Conditions::default()) };
    let codes = list.as_array()?.iter().map(one_letter).collect::<Option<Vec<u8>>>()?;
    let mut positions = [0; 4];
    positions.get_mut(..codes.len())?.copy_from_slice(&codes);
    Some(Conditions::new(positions))
}

impl Source for Recording {
    fn next_batch(&mut self) -> Option<Batch> {
        self.batches.next()
    }

    fn set_pace(&mut self, _: Pace) -> Result<(), String> {
        Ok(()) // frames stay as they were recorded, whatever the pace
    }

    fn skip_to(&mut self, _: i64) {} // a recording leaves nothing out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Encoding, write_element};

    fn written(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    const FRAMES: [&str; 5] = [
        r#"{"T":"t","S":"AAPL","i":628,"x":"K","p":162.92,"s":3,"c":["@","F","T","I"],"z":"C","t":"2023-04-06T11:54:26.838232225Z"}"#,
        r#"{"T":"q","S":"AMD","bx":"U","bp":87.66,"bs":1,"ax":"X","ap":87.68,"as":4,"c":["R"],"z":"C","t":"2023-04-06T11:54:27.1Z"}"#,
        r#"{"T":"b","S":"SPY","o":388.985,"h":389.13,"l":388.975,"c":389.12,"v":49378,"n":461,"vw":389.062639,"t":"2023-04-06T11:54:00Z"}"#,
        r#"{"T":"x","S":"AAPL","i":628,"x":"K","p":162.92,"s":3,"a":"C","z":"C","t":"2023-04-06T11:55:01Z"}"#,
        r#"{"T":"c","S":"AAPL","x":"K","oi":1,"op":39.1582,"os":44,"oc":[" "],"ci":2,"cp":39.1809,"cs":44,"cc":[" ","7"],"z":"C","t":"2023-04-06T11:55:02Z"}"#,
    ];

    #[test]
    fn what_was_recorded_is_played_as_it_was() {
        let control = r#"[{"T":"success","msg":"connected"}]"#;
        let text =
            format!("{control}\n[{},{}]\n[{}]\n\n[{},{}]\n", FRAMES[0], FRAMES[1], FRAMES[2], FRAMES[3], FRAMES[4]);
        let (symbols, mut recording) = load(written(&text).path()).unwrap();
        assert_eq!(recording.left_out, 0);
        let mut played = Vec::new();
        let mut due = Vec::new();
        while let Some(batch) = recording.next_batch() {
            due.push((batch.due_ns, batch.messages.len()));
            for message in &batch.messages {
                let mut out = Vec::new();
                write_element(Encoding::Json, message, &symbols, &mut out);
                played.push(serde_json::from_slice::<Value>(&out).unwrap());
            }
        }
        let recorded: Vec<Value> = FRAMES.iter().map(|element| serde_json::from_str(element).unwrap()).collect();
        assert_eq!(played, recorded);
        let at = |text: &str| parse_time(text).unwrap();
        let expected = ["2023-04-06T11:54:27.1Z", "2023-04-06T11:55:00Z", "2023-04-06T11:55:02Z"].map(at);
        assert_eq!(due, [(expected[0], 2), (expected[1], 1), (expected[2], 2)]);
    }

    #[test]
    fn what_cannot_be_played_is_counted_and_what_is_no_recording_is_named() {
        let broken = r#"[{"T":"t","S":"AAPL"},7,{"T":"zz","S":"AAPL"}]"#;
        let (_, recording) = load(written(&format!("[{}]\n{broken}\n", FRAMES[0])).path()).unwrap();
        assert_eq!(recording.left_out, 3);
        for (text, word) in [("92c0\n", "line 1"), ("", "nothing"), (broken, "nothing")] {
            let error = load(written(text).path()).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
