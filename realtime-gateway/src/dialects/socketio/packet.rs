//! Socket.IO packets (protocol 5, and 4 of the older clients), as text and as msgpack. No I/O.

use bytes::Bytes;
use serde_json::Value;

use crate::records::encoding::{Encoding, Wire};
use crate::records::frame::{Opcode, frame};

/// What a client says.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    /// Wants to enter a namespace.
    Connect {
        /// `/` or a longer name.
        namespace: String,
        /// What it brings: token, recovery position.
        auth: Value,
    },
    /// Leaves a namespace.
    Disconnect {
        /// Which one.
        namespace: String,
    },
    /// An event.
    Event {
        /// Where.
        namespace: String,
        /// Wants an answer under this number.
        id: Option<u64>,
        /// Name and arguments.
        data: Vec<Value>,
        /// So many binary messages follow, which belong to it.
        attachments: usize,
    },
    /// Something this server has no use for.
    Other {
        /// So many binary messages follow, which belong to it.
        attachments: usize,
    },
}

/// Not a packet; the connection is closed, as the JavaScript server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Socket.IO packet")]
pub struct Malformed;

/// Most binary attachments of one packet.
const ATTACHMENTS_MAX: usize = 16;
/// Deepest nesting of a msgpack packet.
const DEPTH_MAX: usize = 32;

/// Reads a text packet such as `2/,12["subscribe","AAPL"]`, without the engine's leading `4`.
///
/// # Errors
/// [`Malformed`].
pub fn read_text(text: &str) -> Result<Packet, Malformed> {
    let kind = text.bytes().next().filter(u8::is_ascii_digit).ok_or(Malformed)?;
    let mut rest = &text[1..];
    let mut attachments = 0;
    if matches!(kind, b'5' | b'6') {
        let (count, after) = rest.split_once('-').ok_or(Malformed)?;
        attachments = count.parse().ok().filter(|count| *count <= ATTACHMENTS_MAX).ok_or(Malformed)?;
        rest = after;
    }
    let mut namespace = "/";
    if rest.starts_with('/') {
        let end = rest.find(',').unwrap_or(rest.len());
        namespace = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    // Protocol 4 puts the query behind the namespace's name.
    let namespace = namespace.split('?').next().unwrap_or("/").to_owned();
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let id = (digits > 0).then(|| rest[..digits].parse()).transpose().map_err(|_| Malformed)?;
    let json = &rest[digits..];
    let data = if json.is_empty() { Value::Null } else { serde_json::from_str(json).map_err(|_| Malformed)? };
    build(kind - b'0', namespace, id, data, attachments)
}

/// Reads a packet that the JavaScript msgpack parser wrote.
///
/// # Errors
/// [`Malformed`].
pub fn read_msgpack(mut bytes: &[u8]) -> Result<Packet, Malformed> {
    let packet = rmpv::decode::read_value_with_max_depth(&mut bytes, DEPTH_MAX).map_err(|_| Malformed)?;
    let Value::Object(mut packet) = to_json(packet) else { return Err(Malformed) };
    let kind = packet.get("type").and_then(Value::as_u64).and_then(|kind| u8::try_from(kind).ok()).ok_or(Malformed)?;
    let namespace = packet.get("nsp").and_then(Value::as_str).unwrap_or("/").to_owned();
    let id = packet.get("id").and_then(Value::as_u64);
    build(kind, namespace, id, packet.remove("data").unwrap_or_default(), 0)
}

/// Bytes and extensions have no JSON; the JavaScript encoder writes `undefined` as one. Both become null.
fn to_json(value: rmpv::Value) -> Value {
    match value {
        rmpv::Value::Boolean(flag) => flag.into(),
        rmpv::Value::Integer(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.into(),
            (None, number) => number.into(),
        },
        rmpv::Value::F32(number) => f64::from(number).into(),
        rmpv::Value::F64(number) => number.into(),
        rmpv::Value::String(text) => text.into_str().map_or(Value::Null, Value::from),
        rmpv::Value::Array(list) => list.into_iter().map(to_json).collect(),
        rmpv::Value::Map(map) => {
            let text = |key: rmpv::Value| key.as_str().map(str::to_owned);
            Value::Object(map.into_iter().filter_map(|(key, value)| Some((text(key)?, to_json(value)))).collect())
        }
        rmpv::Value::Nil | rmpv::Value::Binary(_) | rmpv::Value::Ext(..) => Value::Null,
    }
}

fn build(kind: u8, namespace: String, id: Option<u64>, data: Value, attachments: usize) -> Result<Packet, Malformed> {
    match (kind, data) {
        (0, auth @ (Value::Object(_) | Value::Null)) => Ok(Packet::Connect { namespace, auth }),
        (1, Value::Null) => Ok(Packet::Disconnect { namespace }),
        (2 | 5, Value::Array(data)) if data.first().is_some_and(|name| name.is_string() || name.is_number()) => {
            Ok(Packet::Event { namespace, id, data, attachments })
        }
        (3 | 6, Value::Array(_)) => Ok(Packet::Other { attachments }),
        _ => Err(Malformed),
    }
}

/// What the server says, apart from events.
#[derive(Clone, Debug)]
pub enum Reply<'a> {
    /// Lets a client in, with the numbers of its connection and of its session.
    Connect {
        /// The connection's id.
        sid: &'a str,
        /// The session's id, for clients that can come back by it.
        pid: Option<&'a str>,
    },
    /// Lets a client of protocol 4 in.
    ConnectLegacy,
    /// Does not let a client in.
    ConnectError {
        /// The namespace that it asked for.
        namespace: &'a str,
        /// Why.
        message: &'a str,
        /// Whether the client speaks protocol 4, which has the bare text.
        legacy: bool,
    },
    /// Puts a client out.
    Disconnect,
    /// Answers an event.
    Ack {
        /// Its number.
        id: u64,
        /// The answer, as JSON.
        json: &'a str,
    },
}

impl Reply<'_> {
    /// The packet in a Socket.IO encoding; `None` for the others.
    #[must_use]
    pub fn encode(&self, encoding: Encoding) -> Option<Bytes> {
        match encoding.wire()? {
            Wire::Frame => Some(frame(Opcode::Text, format!("4{}", self.text()).as_bytes()).into()),
            Wire::Text => Some(self.text().into()),
            Wire::MsgpackFrame => Some(frame(Opcode::Binary, &self.msgpack()?).into()),
            Wire::Msgpack => Some(self.msgpack()?.into()),
        }
    }

    fn text(&self) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        match self {
            Self::Connect { sid, pid: Some(pid) } => format!(r#"0{{"sid":"{sid}","pid":"{pid}"}}"#),
            Self::Connect { sid, pid: None } => format!(r#"0{{"sid":"{sid}"}}"#),
            Self::ConnectLegacy => "0".to_owned(),
            Self::ConnectError { namespace, message, legacy } => {
                let prefix = if *namespace == "/" { String::new() } else { format!("{namespace},") };
                let message = quoted(message);
                if *legacy { format!("4{prefix}{message}") } else { format!(r#"4{prefix}{{"message":{message}}}"#) }
            }
            Self::Disconnect => "1".to_owned(),
            Self::Ack { id, json } => format!("3{id}[{json}]"),
        }
    }

    fn msgpack(&self) -> Option<Vec<u8>> {
        use serde_json::json;
        let packet = match self {
            Self::Connect { sid, pid: Some(pid) } => json!({"type": 0, "data": {"sid": sid, "pid": pid}, "nsp": "/"}),
            Self::Connect { sid, pid: None } => json!({"type": 0, "data": {"sid": sid}, "nsp": "/"}),
            Self::ConnectLegacy => json!({"type": 0, "nsp": "/"}),
            Self::ConnectError { namespace, message, .. } => {
                json!({"type": 4, "data": {"message": message}, "nsp": namespace})
            }
            Self::Disconnect => json!({"type": 1, "nsp": "/"}),
            Self::Ack { id, json } => {
                let answer: Value = serde_json::from_str(json).ok()?;
                json!({"type": 3, "data": [answer], "nsp": "/", "id": id})
            }
        };
        rmp_serde::to_vec_named(&packet).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn event(id: Option<u64>, data: Value, attachments: usize) -> Packet {
        let Value::Array(data) = data else { panic!("a list") };
        Packet::Event { namespace: "/".to_owned(), id, data, attachments }
    }

    #[test]
    fn packets_of_the_protocol_documents() {
        let connect = |namespace: &str, auth| Packet::Connect { namespace: namespace.to_owned(), auth };
        assert_eq!(read_text("0"), Ok(connect("/", Value::Null)));
        assert_eq!(read_text(r#"0{"token":"123"}"#), Ok(connect("/", json!({"token": "123"}))));
        assert_eq!(read_text("0/admin,"), Ok(connect("/admin", Value::Null)));
        assert_eq!(read_text("0/admin?a=b"), Ok(connect("/admin", Value::Null)), "protocol 4");
        assert_eq!(read_text("1"), Ok(Packet::Disconnect { namespace: "/".to_owned() }));
        assert_eq!(read_text(r#"2["hello",1]"#), Ok(event(None, json!(["hello", 1]), 0)));
        assert_eq!(read_text(r#"212["hello"]"#), Ok(event(Some(12), json!(["hello"]), 0)));
        let placeholder = r#"51-["hello",{"_placeholder":true,"num":0}]"#;
        assert_eq!(read_text(placeholder), Ok(event(None, json!(["hello", {"_placeholder": true, "num": 0}]), 1)));
        assert_eq!(read_text("312[]"), Ok(Packet::Other { attachments: 0 }));
    }

    #[test]
    fn what_the_javascript_server_closes_for_is_malformed_here_too() {
        let long = format!("5{}-[\"x\"]", "9".repeat(40));
        for text in [
            "",
            "x",
            "2",
            "2{}",
            "2[]",
            "2[{}]",
            "2[",
            "0\"text\"",
            "0[]",
            "1{}",
            "7",
            "5[\"x\"]",
            "2é",
            "299999999999999999999[\"x\"]",
            &long,
        ] {
            assert_eq!(read_text(text), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn msgpack_packets_are_read_and_written() {
        let written = rmp_serde::to_vec_named(
            &json!({"type": 2, "data": ["subscribe", "AAPL"], "options": {"compress": true}, "nsp": "/", "id": 3}),
        );
        assert_eq!(read_msgpack(&written.unwrap()), Ok(event(Some(3), json!(["subscribe", "AAPL"]), 0)));
        let ack = Reply::Ack { id: 3, json: r#"{"ok":true}"# }.encode(Encoding::ENGINE.msgpack()).unwrap();
        let ack: Value = rmp_serde::from_slice(&ack).unwrap();
        assert_eq!(ack, json!({"type": 3, "data": [{"ok": true}], "nsp": "/", "id": 3}));
        assert_eq!(read_msgpack(b"\xc1"), Err(Malformed));
        // {type: 0, data: undefined, nsp: "/"} as the JavaScript encoder writes it
        let connect = read_msgpack(b"\x83\xa4type\x00\xa4data\xd4\x00\x00\xa3nsp\xa1/");
        assert_eq!(connect, Ok(Packet::Connect { namespace: "/".to_owned(), auth: Value::Null }));
    }

    #[test]
    fn replies_read_as_the_protocol_says() {
        let text = |reply: Reply<'_>| String::from_utf8(reply.encode(Encoding::ENGINE).unwrap().to_vec()).unwrap();
        assert_eq!(text(Reply::Connect { sid: "a", pid: Some("b") }), r#"0{"sid":"a","pid":"b"}"#);
        assert_eq!(text(Reply::Ack { id: 7, json: "{}" }), "37[{}]");
        let error = |legacy| Reply::ConnectError { namespace: "/x", message: "no", legacy };
        assert_eq!(text(error(false)), r#"4/x,{"message":"no"}"#);
        assert_eq!(text(error(true)), r#"4/x,"no""#);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[0-9]?[-/,0-9?a-zé\\[\\]{}\":]{0,40}", any in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = (read_text(&text), read_text(&any), read_msgpack(&bytes));
        }
    }
}
