//! How a record looks to each kind of client. Every encoding of a batch is made once, however many clients speak it.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::channel::Channel;
use super::event::Event;
use crate::records::frame::{Opcode, put_header};

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Socket.IO.
    SocketIo {
        /// How its packets travel.
        wire: Wire,
        /// Whether each record is followed by its offset as one more argument, the mark by which connection state recovery goes on. A
        /// handler with a fixed number of arguments, as in Python, would choke on it.
        marked: bool,
    },
    /// The plain WebSocket dialect of `{"action":"subscribe"}`.
    Action,
    /// The plain WebSocket dialect of `{"type":"subscribe"}`.
    Type,
    /// Key-value notifications over a plain WebSocket.
    Notification,
    /// Server-Sent Events.
    Sse,
}

/// How Socket.IO packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Wire {
    /// Text in WebSocket frames, ready to write.
    Frame,
    /// Text for the engine that serves older clients.
    Text,
    /// The msgpack parser in WebSocket frames, ready to write.
    MsgpackFrame,
    /// The msgpack parser, for the engine.
    Msgpack,
}

impl Encoding {
    /// How many there are.
    pub const COUNT: usize = 12;
    /// Socket.IO over Engine.IO 4.
    pub const DIRECT: Self = Self::SocketIo { wire: Wire::Frame, marked: false };
    /// Socket.IO over Engine.IO 3.
    pub const ENGINE: Self = Self::SocketIo { wire: Wire::Text, marked: false };

    /// Its number below [`Self::COUNT`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::SocketIo { wire, marked } => wire as usize * 2 + usize::from(marked),
            Self::Action => 8,
            Self::Type => 9,
            Self::Notification => 10,
            Self::Sse => 11,
        }
    }

    /// The same with marks for connection state recovery.
    #[must_use]
    pub fn marked(self) -> Self {
        match self {
            Self::SocketIo { wire, .. } => Self::SocketIo { wire, marked: true },
            other => other,
        }
    }

    /// The same for the msgpack parser.
    #[must_use]
    pub fn msgpack(self) -> Self {
        match self {
            Self::SocketIo { wire: Wire::Frame, marked } => Self::SocketIo { wire: Wire::MsgpackFrame, marked },
            Self::SocketIo { wire: Wire::Text, marked } => Self::SocketIo { wire: Wire::Msgpack, marked },
            other => other,
        }
    }

    /// How Socket.IO packets travel to this client; `None` where it speaks something else.
    #[must_use]
    pub fn wire(self) -> Option<Wire> {
        match self {
            Self::SocketIo { wire, .. } => Some(wire),
            _ => None,
        }
    }

    /// Appends one record. A record that this kind of client does not know adds nothing.
    pub fn put_event(self, out: &mut Vec<u8>, event: &Event, payload: &[u8]) {
        match self {
            Self::SocketIo { wire, marked } => put_packet(out, wire, event, payload, marked.then_some(event.offset)),
            Self::Action => put_json(out, action(event, payload)),
            Self::Type => put_json(out, quote(event, payload)),
            Self::Notification => put_json(out, notification(event, payload)),
            Self::Sse => put_sse(out, event.channel.event(), Some(event.offset), payload),
        }
    }

    /// A server event that is no record: `heartbeat`, `status`, `lagged`, `snapshot`. `None` where this kind of client knows no
    /// such thing.
    #[must_use]
    pub fn notice(self, name: &str, json: &str) -> Option<Bytes> {
        let mut out = Vec::with_capacity(json.len() + name.len() + 16);
        match self {
            Self::SocketIo { wire: Wire::Frame, .. } => {
                let text = format!("42[\"{name}\",{json}]");
                put_header(&mut out, Opcode::Text, text.len());
                out.extend_from_slice(text.as_bytes());
            }
            Self::SocketIo { wire: Wire::Text, .. } => {
                out.extend_from_slice(format!("2[\"{name}\",{json}]").as_bytes())
            }
            Self::SocketIo { wire: Wire::MsgpackFrame, .. } => {
                let body = msgpack_event(name, json.as_bytes(), None)?;
                put_header(&mut out, Opcode::Binary, body.len());
                out.extend_from_slice(&body);
            }
            Self::SocketIo { wire: Wire::Msgpack, .. } => out = msgpack_event(name, json.as_bytes(), None)?,
            Self::Sse => put_sse(&mut out, name, None, json.as_bytes()),
            Self::Action | Self::Type | Self::Notification => return None,
        }
        Some(out.into())
    }

    /// Whether its clients know the `snapshot` event.
    #[must_use]
    pub fn knows_snapshots(self) -> bool {
        matches!(self, Self::SocketIo { .. } | Self::Sse)
    }

    /// What keeps the connection alive; `None` where the transport sees to that itself.
    #[must_use]
    pub fn ping(self) -> Option<&'static [u8]> {
        match self {
            Self::SocketIo { wire: Wire::Frame | Wire::MsgpackFrame, .. } => Some(b"\x81\x012"),
            Self::SocketIo { wire: Wire::Text | Wire::Msgpack, .. } => None,
            Self::Action | Self::Type | Self::Notification => Some(b"\x89\x00"),
            Self::Sse => Some(b": still here\n\n"),
        }
    }

    /// Whether the client answers [`Self::ping`], so that silence means it is gone.
    #[must_use]
    pub fn answers(self) -> bool {
        self.ping().is_some() && self != Self::Sse
    }
}

fn put_packet(out: &mut Vec<u8>, wire: Wire, event: &Event, payload: &[u8], mark: Option<u64>) {
    match wire {
        Wire::Frame => {
            put_header(out, Opcode::Text, 1 + socketio_length(event, payload, mark));
            out.push(b'4');
            put_socketio(out, event, payload, mark);
        }
        Wire::Text => put_socketio(out, event, payload, mark),
        Wire::MsgpackFrame => {
            let Some(body) = msgpack_event(event.channel.event(), payload, mark) else { return };
            put_header(out, Opcode::Binary, body.len());
            out.extend_from_slice(&body);
        }
        Wire::Msgpack => out.extend(msgpack_event(event.channel.event(), payload, mark).into_iter().flatten()),
    }
}

/// `2["trade",{…},"17"]`, or without the mark.
fn put_socketio(out: &mut Vec<u8>, event: &Event, payload: &[u8], mark: Option<u64>) {
    out.extend_from_slice(b"2[\"");
    out.extend_from_slice(event.channel.event().as_bytes());
    out.extend_from_slice(b"\",");
    out.extend_from_slice(payload);
    if let Some(mark) = mark {
        out.extend_from_slice(b",\"");
        put_decimal(out, mark);
        out.push(b'"');
    }
    out.push(b']');
}

fn socketio_length(event: &Event, payload: &[u8], mark: Option<u64>) -> usize {
    let mark = mark.map_or(0, |mark| b",\"\"".len() + decimals(mark));
    b"2[\"".len() + event.channel.event().len() + b"\",".len() + payload.len() + mark + b"]".len()
}

fn decimals(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn put_decimal(out: &mut Vec<u8>, mut value: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + u8::try_from(value % 10).unwrap_or(0));
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out[start..].reverse();
}

/// `{type: 2, data: [name, payload, offset], nsp: "/"}` as the JavaScript msgpack parser writes it.
fn msgpack_event(name: &str, json: &[u8], offset: Option<u64>) -> Option<Vec<u8>> {
    let payload: serde_json::Value = serde_json::from_slice(json).ok()?;
    let mut data = vec![name.into(), payload];
    data.extend(offset.map(|offset| serde_json::Value::from(offset.to_string())));
    let packet = serde_json::json!({ "type": 2, "data": data, "nsp": "/" });
    rmp_serde::to_vec_named(&packet).ok()
}

/// What the simpler dialects need of a trade; numbers stay as they were written.
#[derive(Deserialize)]
struct Numbers<'a> {
    #[serde(borrow)]
    price: &'a RawValue,
    #[serde(borrow)]
    size: &'a RawValue,
    #[serde(borrow)]
    timestamp: &'a RawValue,
}

fn numbers<'a>(event: &Event, payload: &'a [u8]) -> Option<Numbers<'a>> {
    (event.channel == Channel::Trades).then(|| serde_json::from_slice(payload).ok()).flatten()
}

fn action(event: &Event, payload: &[u8]) -> Option<String> {
    let Numbers { price, size, timestamp } = numbers(event, payload)?;
    let symbol = serde_json::to_string(event.symbol.as_str()).ok()?;
    Some(format!(
        r#"{{"type":"price_update","symbol":{symbol},"data":{{"price":{price},"volume":{size},"timestamp":{timestamp}}}}}"#
    ))
}

fn quote(event: &Event, payload: &[u8]) -> Option<String> {
    let Numbers { price, size, timestamp } = numbers(event, payload)?;
    let symbol = serde_json::to_string(event.symbol.as_str()).ok()?;
    let last: f64 = price.get().parse().ok()?;
    let change = event.day.map_or_else(String::new, |day| {
        let change = last - day.previous_close;
        let percent = change / day.previous_close * 100.0;
        format!(
            r#""change":{},"changePercent":{},"volume":{},"#,
            rounded(change, 4),
            rounded(percent, 4),
            rounded(day.volume, 6)
        )
    });
    Some(format!(
        r#"{{"type":"quote","symbol":{symbol},"data":{{"price":{price},"size":{size},{change}"timestamp":{timestamp}}}}}"#
    ))
}

/// A change of prices in `f64` carries noise in its last digits; nobody wants to see it.
fn rounded(value: f64, places: i32) -> f64 {
    let scale = 10_f64.powi(places);
    let rounded = (value * scale).round() / scale;
    if rounded.is_finite() { rounded + 0.0 } else { 0.0 }
}

fn notification(event: &Event, payload: &[u8]) -> Option<String> {
    let Numbers { price, timestamp, .. } = numbers(event, payload)?;
    let key = serde_json::to_string(&format!("stock:{}", event.symbol)).ok()?;
    Some(format!(r#"{{"type":"notification","key":{key},"value":"{price}","timestamp":{timestamp}}}"#))
}

fn put_json(out: &mut Vec<u8>, text: Option<String>) {
    if let Some(text) = text {
        put_header(out, Opcode::Text, text.len());
        out.extend_from_slice(text.as_bytes());
    }
}

/// One event of a Server-Sent Events stream; a payload with line breaks becomes several `data` lines, which the browser joins again.
fn put_sse(out: &mut Vec<u8>, name: &str, id: Option<u64>, payload: &[u8]) {
    if let Some(id) = id {
        out.extend_from_slice(b"id: ");
        put_decimal(out, id);
        out.push(b'\n');
    }
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    for line in payload.split(|byte| matches!(byte, b'\n' | b'\r')) {
        out.extend_from_slice(b"\ndata: ");
        out.extend_from_slice(line);
    }
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::super::event::Day;
    use super::*;
    use market::Symbol;
    use proptest::prelude::*;

    const TRADE: &[u8] = br#"{"symbol":"AAPL","price":150.250,"size":100,"timestamp":1700000000123,"new":[1]}"#;

    fn event(channel: Channel) -> Event {
        let symbol = Symbol::new("AAPL").unwrap();
        Event { symbol, channel, offset: 17, position: None, day: None }
    }

    fn text(encoding: Encoding, event: &Event) -> String {
        let mut out = Vec::new();
        encoding.put_event(&mut out, event, TRADE);
        let header = match (encoding, out.get(1)) {
            (Encoding::SocketIo { wire: Wire::Text, .. } | Encoding::Sse, _) => 0,
            (_, Some(126)) => 4,
            _ => 2,
        };
        String::from_utf8(out.get(header..).unwrap_or_default().to_vec()).unwrap()
    }

    #[test]
    fn each_dialect_to_the_letter() {
        let trade = event(Channel::Trades);
        let payload = std::str::from_utf8(TRADE).unwrap();
        assert_eq!(text(Encoding::DIRECT, &trade), format!(r#"42["trade",{payload}]"#));
        assert_eq!(text(Encoding::DIRECT.marked(), &trade), format!(r#"42["trade",{payload},"17"]"#));
        assert_eq!(text(Encoding::ENGINE.marked(), &trade), format!(r#"2["trade",{payload},"17"]"#));
        assert_eq!(
            text(Encoding::Action, &trade),
            r#"{"type":"price_update","symbol":"AAPL","data":{"price":150.250,"volume":100,"timestamp":1700000000123}}"#
        );
        assert_eq!(
            text(Encoding::Notification, &trade),
            r#"{"type":"notification","key":"stock:AAPL","value":"150.250","timestamp":1700000000123}"#
        );
        let day = Some(Day { previous_close: 149.05, volume: 12_345_678.0 });
        assert_eq!(
            text(Encoding::Type, &Event { day, ..trade.clone() }),
            r#"{"type":"quote","symbol":"AAPL","data":{"price":150.250,"size":100,"change":1.2,"changePercent":0.8051,"volume":12345678,"timestamp":1700000000123}}"#
        );
        assert_eq!(text(Encoding::Sse, &trade), format!("id: 17\nevent: trade\ndata: {payload}\n\n"));
    }

    #[test]
    fn dialects_that_know_no_bars_get_none() {
        for encoding in [Encoding::Action, Encoding::Type, Encoding::Notification] {
            assert_eq!(text(encoding, &event(Channel::Bars)), "");
            assert_eq!(encoding.notice("heartbeat", "{}"), None);
        }
    }

    #[test]
    fn every_encoding_has_a_number_of_its_own() {
        let socketio =
            [Encoding::DIRECT, Encoding::ENGINE].into_iter().flat_map(|encoding| [encoding, encoding.msgpack()]);
        let socketio = socketio.flat_map(|encoding| [encoding, encoding.marked()]);
        let others = [Encoding::Action, Encoding::Type, Encoding::Notification, Encoding::Sse];
        let mut numbers: Vec<usize> = socketio.chain(others).map(Encoding::index).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..Encoding::COUNT).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_break_in_a_payload_does_not_end_a_server_sent_event() {
        let mut out = Vec::new();
        put_sse(&mut out, "trade", None, b"{\n\"symbol\":\"A\"\r\n}");
        assert_eq!(out, b"event: trade\ndata: {\ndata: \"symbol\":\"A\"\ndata: \ndata: }\n\n");
    }

    #[test]
    fn msgpack_holds_what_the_json_holds() {
        let mut out = Vec::new();
        Encoding::ENGINE.msgpack().marked().put_event(&mut out, &event(Channel::Trades), TRADE);
        let packet: serde_json::Value = rmp_serde::from_slice(&out).unwrap();
        let payload: serde_json::Value = serde_json::from_slice(TRADE).unwrap();
        assert_eq!(packet, serde_json::json!({ "type": 2, "data": ["trade", payload, "17"], "nsp": "/" }));
    }

    proptest! {
        #[test]
        fn a_frame_says_its_own_length(offset: u64, marked: bool, padding in 0_usize..70_000) {
            let event = Event { offset, ..event(Channel::Quotes) };
            let as_marked = |encoding: Encoding| if marked { encoding.marked() } else { encoding };
            let payload = format!(r#"{{"symbol":"A","x":"{}"}}"#, "y".repeat(padding));
            let mut framed = Vec::new();
            as_marked(Encoding::DIRECT).put_event(&mut framed, &event, payload.as_bytes());
            let mut plain = Vec::new();
            as_marked(Encoding::ENGINE).put_event(&mut plain, &event, payload.as_bytes());
            plain.insert(0, b'4');
            prop_assert_eq!(framed, crate::records::frame::frame(Opcode::Text, &plain));
        }
    }
}
