//! Data messages as msgpack: maps whose first key is `T`, prices as float64, times as the timestamp extension (type -1).

use rmp::encode::{
    RmpWrite, ValueWriteError, write_array_len, write_ext_meta, write_f64, write_map_len, write_str, write_uint,
};
use rmpv::Value as Msgpack;
use serde_json::Value as Json;

use crate::conditions::{Conditions, letter};
use crate::message::{Bar, Cancel, Correction, Luld, Message, Quote, Report, Status, Trade};
use crate::symbols::SymbolTable;
use crate::units::NS_PER_SECOND;

/// The extension type of a timestamp.
const TIMESTAMP: i8 = -1;

type Written = Result<(), ValueWriteError<<Vec<u8> as RmpWrite>::Error>>;

/// Appends one element of a data frame.
pub fn write_element(message: &Message, symbols: &SymbolTable, out: &mut Vec<u8>) {
    try_write(message, symbols, out).expect("a Vec takes every write");
}

/// Appends the header of an array with `length` elements.
pub fn write_array_header(length: usize, out: &mut Vec<u8>) {
    let length = u32::try_from(length).expect("a frame holds fewer than 2^32 messages");
    write_array_len(out, length).expect("a Vec takes every write");
}

/// A control message, given as JSON, in msgpack.
#[must_use]
pub fn from_json(value: &Json) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, &to_msgpack(value)).expect("a Vec takes every write");
    out
}

/// A client's message as JSON; `None` when it is not one msgpack value, or holds what JSON has no word for.
#[must_use]
pub fn to_json(mut bytes: &[u8]) -> Option<Json> {
    let value = rmpv::decode::read_value_with_max_depth(&mut bytes, 32).ok()?;
    if bytes.is_empty() { json_of(value) } else { None }
}

fn to_msgpack(value: &Json) -> Msgpack {
    match value {
        Json::Null => Msgpack::Nil,
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => value.into(),
            (None, Some(value)) => value.into(),
            (None, None) => number.as_f64().unwrap_or_default().into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(values) => Msgpack::Array(values.iter().map(to_msgpack).collect()),
        Json::Object(fields) => {
            Msgpack::Map(fields.iter().map(|(key, value)| (key.as_str().into(), to_msgpack(value))).collect())
        }
    }
}

fn json_of(value: Msgpack) -> Option<Json> {
    Some(match value {
        Msgpack::Nil => Json::Null,
        Msgpack::Boolean(value) => value.into(),
        Msgpack::Integer(value) => value.as_u64().map(Json::from).or_else(|| value.as_i64().map(Json::from))?,
        Msgpack::F32(value) => value.into(),
        Msgpack::F64(value) => value.into(),
        Msgpack::String(text) => text.into_str()?.into(),
        Msgpack::Array(values) => values.into_iter().map(json_of).collect::<Option<Vec<_>>>()?.into(),
        Msgpack::Map(fields) => {
            let field = |(key, value): (Msgpack, Msgpack)| Some((key.as_str()?.to_owned(), json_of(value)?));
            Json::Object(fields.into_iter().map(field).collect::<Option<_>>()?)
        }
        Msgpack::Binary(_) | Msgpack::Ext(..) => return None,
    })
}

fn try_write(message: &Message, symbols: &SymbolTable, out: &mut Vec<u8>) -> Written {
    let info = symbols.info(message.symbol());
    let tape = info.tape.letter();
    let fields = match message {
        Message::Trade(_) | Message::Cancel(_) => 9,
        Message::Quote(_) | Message::Bar(..) => 11 - u32::from(matches!(message, Message::Bar(..))),
        Message::Correction(_) => 13,
        Message::Status(_) => 8,
        Message::Luld(_) => 7,
    };
    write_map_len(out, fields)?;
    string(out, "T", message.kind().letter())?;
    string(out, "S", &info.name)?;
    match message {
        Message::Trade(trade) => write_trade(trade, tape, out),
        Message::Quote(quote) => write_quote(quote, tape, out),
        Message::Bar(_, bar) => write_bar(bar, out),
        Message::Correction(correction) => write_correction(correction, tape, out),
        Message::Cancel(cancel) => write_cancel(cancel, tape, out),
        Message::Status(status) => write_status(status, tape, out),
        Message::Luld(luld) => write_luld(luld, tape, out),
    }
}

fn write_trade(trade: &Trade, tape: &str, out: &mut Vec<u8>) -> Written {
    integer(out, "i", trade.id)?;
    string(out, "x", letter(trade.exchange))?;
    price(out, "p", trade.price)?;
    integer(out, "s", trade.size.into())?;
    conditions(out, "c", trade.conditions)?;
    time(out, trade.ts_ns)?;
    string(out, "z", tape)
}

fn write_quote(quote: &Quote, tape: &str, out: &mut Vec<u8>) -> Written {
    string(out, "bx", letter(quote.bid_exchange))?;
    price(out, "bp", quote.bid)?;
    integer(out, "bs", quote.bid_size.into())?;
    string(out, "ax", letter(quote.ask_exchange))?;
    price(out, "ap", quote.ask)?;
    integer(out, "as", quote.ask_size.into())?;
    conditions(out, "c", Conditions::new([b'R', 0, 0, 0]))?;
    string(out, "z", tape)?;
    time(out, quote.ts_ns)
}

fn write_bar(bar: &Bar, out: &mut Vec<u8>) -> Written {
    price(out, "o", bar.open)?;
    price(out, "h", bar.high)?;
    price(out, "l", bar.low)?;
    price(out, "c", bar.close)?;
    integer(out, "v", bar.volume)?;
    integer(out, "n", bar.trade_count)?;
    write_str(out, "vw")?;
    write_f64(out, bar.vwap as f64 / 1e6)?;
    time(out, bar.start_ns)
}

fn write_correction(correction: &Correction, tape: &str, out: &mut Vec<u8>) -> Written {
    string(out, "x", letter(correction.exchange))?;
    report(out, ["oi", "op", "os", "oc"], &correction.original)?;
    report(out, ["ci", "cp", "cs", "cc"], &correction.corrected)?;
    string(out, "z", tape)?;
    time(out, correction.ts_ns)
}

fn report(out: &mut Vec<u8>, keys: [&str; 4], report: &Report) -> Written {
    integer(out, keys[0], report.id)?;
    price(out, keys[1], report.price)?;
    integer(out, keys[2], report.size.into())?;
    conditions(out, keys[3], report.conditions)
}

fn write_cancel(cancel: &Cancel, tape: &str, out: &mut Vec<u8>) -> Written {
    integer(out, "i", cancel.trade.id)?;
    string(out, "x", letter(cancel.trade.exchange))?;
    price(out, "p", cancel.trade.price)?;
    integer(out, "s", cancel.trade.size.into())?;
    string(out, "a", letter(cancel.action))?;
    string(out, "z", tape)?;
    time(out, cancel.trade.ts_ns)
}

fn write_status(status: &Status, tape: &str, out: &mut Vec<u8>) -> Written {
    string(out, "sc", status.code)?;
    string(out, "sm", status.text)?;
    string(out, "rc", "")?;
    string(out, "rm", "")?;
    string(out, "z", tape)?;
    time(out, status.ts_ns)
}

fn write_luld(luld: &Luld, tape: &str, out: &mut Vec<u8>) -> Written {
    price(out, "u", luld.up)?;
    price(out, "d", luld.down)?;
    string(out, "i", "B")?;
    string(out, "z", tape)?;
    time(out, luld.ts_ns)
}

fn string(out: &mut Vec<u8>, key: &str, value: &str) -> Written {
    write_str(out, key)?;
    write_str(out, value)
}

fn integer(out: &mut Vec<u8>, key: &str, value: u64) -> Written {
    write_str(out, key)?;
    write_uint(out, value).map(|_| ())
}

fn price(out: &mut Vec<u8>, key: &str, units: i64) -> Written {
    write_str(out, key)?;
    write_f64(out, units as f64 / 1e4)
}

fn conditions(out: &mut Vec<u8>, key: &str, codes: Conditions) -> Written {
    write_str(out, key)?;
    write_array_len(out, u32::try_from(codes.len()).unwrap_or(0))?;
    codes.codes().try_for_each(|code| write_str(out, code))
}

/// The shortest of the three timestamp forms that holds the time.
fn time(out: &mut Vec<u8>, ts_ns: i64) -> Written {
    write_str(out, "t")?;
    let seconds = ts_ns.div_euclid(NS_PER_SECOND);
    let nanos = ts_ns.rem_euclid(NS_PER_SECOND).unsigned_abs();
    match (u32::try_from(seconds), u64::try_from(seconds)) {
        (Ok(seconds), _) if nanos == 0 => {
            write_ext_meta(out, 4, TIMESTAMP)?;
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        (_, Ok(seconds)) if seconds < 1 << 34 => {
            write_ext_meta(out, 8, TIMESTAMP)?;
            out.extend_from_slice(&(nanos << 34 | seconds).to_be_bytes());
        }
        _ => {
            write_ext_meta(out, 12, TIMESTAMP)?;
            out.extend_from_slice(&u32::try_from(nanos).unwrap_or(0).to_be_bytes());
            out.extend_from_slice(&seconds.to_be_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::BarKind;
    use crate::wire::{json, text::parse_time};

    /// Reads an element back; its time becomes nanoseconds again.
    fn read(message: &Message) -> (Vec<String>, Json, i64) {
        let symbols = SymbolTable::new(["AAPL"]);
        let mut out = Vec::new();
        write_element(message, &symbols, &mut out);
        let mut rest = out.as_slice();
        let Msgpack::Map(mut fields) = rmpv::decode::read_value(&mut rest).unwrap() else {
            panic!("not a map");
        };
        assert!(rest.is_empty(), "the map's length is right");
        let keys = fields.iter().map(|(key, _)| key.as_str().unwrap().to_owned()).collect();
        let at = fields.iter().position(|(key, _)| key.as_str() == Some("t")).unwrap();
        let Msgpack::Ext(TIMESTAMP, bytes) = fields.remove(at).1 else {
            panic!("t is no timestamp");
        };
        (keys, json_of(Msgpack::Map(fields)).unwrap(), read_time(&bytes))
    }

    fn read_time(bytes: &[u8]) -> i64 {
        match *bytes {
            [a, b, c, d] => i64::from(u32::from_be_bytes([a, b, c, d])) * NS_PER_SECOND,
            [a, b, c, d, e, f, g, h] => {
                let both = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                i64::try_from(both & ((1 << 34) - 1)).unwrap() * NS_PER_SECOND + i64::try_from(both >> 34).unwrap()
            }
            _ => {
                let nanos = u32::from_be_bytes(bytes[..4].try_into().unwrap());
                i64::from_be_bytes(bytes[4..].try_into().unwrap()) * NS_PER_SECOND + i64::from(nanos)
            }
        }
    }

    #[test]
    fn msgpack_says_the_same_as_json() {
        let trade = Trade {
            symbol: 0,
            ts_ns: parse_time("2023-04-06T11:54:26.838232225Z").unwrap(),
            id: 71_697_353_758_036,
            price: 1_629_201,
            size: 3,
            exchange: b'K',
            conditions: Conditions::new(*b"@F\0I"),
        };
        let on_the_second = parse_time("2021-02-22T19:15:00Z").unwrap();
        let bar = Bar {
            symbol: 0,
            start_ns: on_the_second,
            open: 3_889_850,
            high: 3_891_300,
            low: 3_889_750,
            close: 3_891_200,
            volume: 49_378,
            trade_count: 461,
            vwap: 389_062_639,
        };
        let quote = Quote {
            symbol: 0,
            ts_ns: -1,
            bid: 10_000,
            bid_size: 100,
            bid_exchange: b'Q',
            ask: 10_100,
            ask_size: 200,
            ask_exchange: b'N',
        };
        let report = Report::from(&trade);
        let messages = [
            Message::Trade(trade),
            Message::Bar(BarKind::Updated, bar),
            Message::Quote(quote),
            Message::Correction(Correction {
                symbol: 0,
                ts_ns: 5,
                exchange: b'D',
                original: report,
                corrected: report,
            }),
            Message::Cancel(Cancel { trade, action: b'E' }),
            Message::Status(Status { symbol: 0, ts_ns: 1, code: "T", text: "Trading Resumption" }),
            Message::Luld(Luld { symbol: 0, ts_ns: 1, up: 10, down: 5 }),
        ];
        for message in messages {
            let mut line = Vec::new();
            json::write_element(&message, &SymbolTable::new(["AAPL"]), &mut line);
            let mut expected: Json = serde_json::from_slice(&line).unwrap();
            let time = expected.as_object_mut().unwrap().remove("t").unwrap();
            let (keys, fields, ts_ns) = read(&message);
            assert_eq!(keys[0], "T", "the first key is the type");
            assert_eq!(Some(ts_ns), parse_time(time.as_str().unwrap()));
            for (key, value) in expected.as_object().unwrap() {
                let same = fields[key] == *value || fields[key].as_f64() == value.as_f64();
                assert!(same, "{key} of {}: {} is not {value}", message.kind().letter(), fields[key]);
            }
            assert_eq!(fields.as_object().unwrap().len(), expected.as_object().unwrap().len());
        }
    }

    #[test]
    fn client_messages_are_read_and_rubbish_is_not() {
        let subscribe = serde_json::json!({"action": "subscribe", "trades": ["AAPL"]});
        assert_eq!(to_json(&from_json(&subscribe)), Some(subscribe.clone()));
        let mut trailing = from_json(&subscribe);
        trailing.push(0xc0);
        assert_eq!(to_json(&trailing), None);
        assert_eq!(to_json(&[0x92, 0xc0]), None);
        assert_eq!(to_json(&[]), None);
    }
}
