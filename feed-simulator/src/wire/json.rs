//! Data messages as JSON, written by hand because this is the simulator's hottest loop.
//!
//! Nothing needs escaping: symbols, letters and status texts are plain ASCII without quotes by construction.

use super::text::{write_decimal, write_integer, write_time};
use crate::conditions::{Conditions, letter};
use crate::message::{Bar, Correction, Luld, Message, Quote, Report, Status, Trade};
use crate::symbols::SymbolTable;

/// Places of a price's unit.
const PRICE_PLACES: u32 = 4;
/// Places of a vwap's unit.
const VWAP_PLACES: u32 = 6;

/// Appends one element of a data frame.
pub fn write_element(message: &Message, symbols: &SymbolTable, out: &mut Vec<u8>) {
    let info = symbols.info(message.symbol());
    let tape = info.tape.letter();
    out.extend_from_slice(b"{\"T\":\"");
    out.extend_from_slice(message.kind().letter().as_bytes());
    out.extend_from_slice(b"\",\"S\":\"");
    out.extend_from_slice(info.name.as_bytes());
    out.push(b'"');
    match message {
        Message::Trade(trade) => write_trade(trade, tape, None, out),
        Message::Quote(quote) => write_quote(quote, tape, out),
        Message::Bar(_, bar) => write_bar(bar, out),
        Message::Correction(correction) => write_correction(correction, tape, out),
        Message::Cancel(cancel) => {
            integer(out, "i", cancel.trade.id);
            string(out, "x", letter(cancel.trade.exchange));
            price(out, "p", cancel.trade.price);
            integer(out, "s", cancel.trade.size.into());
            string(out, "a", letter(cancel.action));
            string(out, "z", tape);
            time(out, cancel.trade.ts_ns);
        }
        Message::Status(status) => write_status(status, tape, out),
        Message::Luld(luld) => write_luld(luld, tape, out),
    }
    out.push(b'}');
}

/// Appends a trade as an object without type and symbol, as REST answers have it. `update` is REST's `u`.
pub fn write_rest_trade(trade: &Trade, tape: &str, update: Option<&str>, out: &mut Vec<u8>) {
    object(out, |out| write_trade(trade, tape, update, out));
}

/// Appends a quote as an object without type and symbol.
pub fn write_rest_quote(quote: &Quote, tape: &str, out: &mut Vec<u8>) {
    object(out, |out| write_quote(quote, tape, out));
}

/// Appends a bar as an object without type and symbol.
pub fn write_rest_bar(bar: &Bar, out: &mut Vec<u8>) {
    object(out, |out| write_bar(bar, out));
}

/// The field writers put a comma before each field; the first one of an object becomes its brace.
fn object(out: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    fields(out);
    out[start] = b'{';
    out.push(b'}');
}

fn write_trade(trade: &Trade, tape: &str, update: Option<&str>, out: &mut Vec<u8>) {
    integer(out, "i", trade.id);
    string(out, "x", letter(trade.exchange));
    price(out, "p", trade.price);
    integer(out, "s", trade.size.into());
    conditions(out, "c", trade.conditions);
    time(out, trade.ts_ns);
    string(out, "z", tape);
    if let Some(update) = update {
        string(out, "u", update);
    }
}

fn write_quote(quote: &Quote, tape: &str, out: &mut Vec<u8>) {
    string(out, "bx", letter(quote.bid_exchange));
    price(out, "bp", quote.bid);
    integer(out, "bs", quote.bid_size.into());
    string(out, "ax", letter(quote.ask_exchange));
    price(out, "ap", quote.ask);
    integer(out, "as", quote.ask_size.into());
    conditions(out, "c", Conditions::new([b'R', 0, 0, 0]));
    string(out, "z", tape);
    time(out, quote.ts_ns);
}

fn write_bar(bar: &Bar, out: &mut Vec<u8>) {
    price(out, "o", bar.open);
    price(out, "h", bar.high);
    price(out, "l", bar.low);
    price(out, "c", bar.close);
    integer(out, "v", bar.volume);
    integer(out, "n", bar.trade_count);
    key(out, "vw");
    write_decimal(out, bar.vwap, VWAP_PLACES);
    time(out, bar.start_ns);
}

fn write_correction(correction: &Correction, tape: &str, out: &mut Vec<u8>) {
    string(out, "x", letter(correction.exchange));
    report(out, ["oi", "op", "os", "oc"], &correction.original);
    report(out, ["ci", "cp", "cs", "cc"], &correction.corrected);
    string(out, "z", tape);
    time(out, correction.ts_ns);
}

fn report(out: &mut Vec<u8>, keys: [&str; 4], report: &Report) {
    integer(out, keys[0], report.id);
    price(out, keys[1], report.price);
    integer(out, keys[2], report.size.into());
    conditions(out, keys[3], report.conditions);
}

fn write_status(status: &Status, tape: &str, out: &mut Vec<u8>) {
    string(out, "sc", status.code);
    string(out, "sm", status.text);
    string(out, "rc", "");
    string(out, "rm", "");
    string(out, "z", tape);
    time(out, status.ts_ns);
}

fn write_luld(luld: &Luld, tape: &str, out: &mut Vec<u8>) {
    price(out, "u", luld.up);
    price(out, "d", luld.down);
    string(out, "i", "B");
    string(out, "z", tape);
    time(out, luld.ts_ns);
}

fn key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn string(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

fn integer(out: &mut Vec<u8>, name: &str, value: u64) {
    key(out, name);
    write_integer(out, value);
}

fn price(out: &mut Vec<u8>, name: &str, units: i64) {
    key(out, name);
    write_decimal(out, units, PRICE_PLACES);
}

fn time(out: &mut Vec<u8>, ts_ns: i64) {
    out.extend_from_slice(b",\"t\":\"");
    write_time(out, ts_ns);
    out.push(b'"');
}

fn conditions(out: &mut Vec<u8>, name: &str, codes: Conditions) {
    key(out, name);
    out.push(b'[');
    for (at, code) in codes.codes().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(code.as_bytes());
        out.push(b'"');
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{BarKind, Cancel};
    use crate::wire::text::parse_time;

    fn line(message: &Message) -> String {
        let mut out = Vec::new();
        write_element(message, &SymbolTable::new(["AAPL", "SPY"]), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn trade() -> Trade {
        Trade {
            symbol: 0,
            ts_ns: parse_time("2023-04-06T11:54:26.838232225Z").unwrap(),
            id: 628,
            price: 1_629_200,
            size: 3,
            exchange: b'K',
            conditions: Conditions::new(*b"@FTI"),
        }
    }

    #[test]
    fn a_trade_looks_like_the_real_one() {
        assert_eq!(
            line(&Message::Trade(trade())),
            r#"{"T":"t","S":"AAPL","i":628,"x":"K","p":162.92,"s":3,"c":["@","F","T","I"],"t":"2023-04-06T11:54:26.838232225Z","z":"C"}"#
        );
    }

    #[test]
    fn a_bar_looks_like_the_real_one() {
        let bar = Bar {
            symbol: 1,
            start_ns: parse_time("2021-02-22T19:15:00Z").unwrap(),
            open: 3_889_850,
            high: 3_891_300,
            low: 3_889_750,
            close: 3_891_200,
            volume: 49_378,
            trade_count: 461,
            vwap: 389_062_639,
        };
        let rest = r#"{"o":388.985,"h":389.13,"l":388.975,"c":389.12,"v":49378,"n":461,"vw":389.062639,"t":"2021-02-22T19:15:00Z"}"#;
        assert_eq!(line(&Message::Bar(BarKind::Minute, bar)), rest.replacen('{', r#"{"T":"b","S":"SPY","#, 1));
        let mut out = Vec::new();
        write_rest_bar(&bar, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), rest);
    }

    #[test]
    fn every_message_is_valid_json_with_its_type_and_symbol() {
        let trade = trade();
        let report = Report::from(&trade);
        let messages = [
            Message::Trade(trade),
            Message::Quote(Quote {
                symbol: 0,
                ts_ns: 0,
                bid: 10_000,
                bid_size: 100,
                bid_exchange: b'Q',
                ask: 10_100,
                ask_size: 200,
                ask_exchange: b'N',
            }),
            Message::Correction(Correction {
                symbol: 0,
                ts_ns: 0,
                exchange: b'D',
                original: report,
                corrected: report,
            }),
            Message::Cancel(Cancel { trade, action: b'C' }),
            Message::Status(Status { symbol: 0, ts_ns: 0, code: "T", text: "Trading Resumption" }),
            Message::Luld(Luld { symbol: 0, ts_ns: 0, up: 10, down: 5 }),
        ];
        for message in messages {
            let value: serde_json::Value = serde_json::from_str(&line(&message)).unwrap();
            assert_eq!(value["T"], message.kind().letter());
            assert_eq!(value["S"], "AAPL");
            assert!(value["t"].is_string());
            assert_eq!(value["z"], "C");
        }
    }
}
