//! A simulator inside the test, and real clients that talk to it.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use clap::Parser as _;
use feed_simulator::{Options, Simulator, start};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longest wait for a fact.
pub const LIMIT: Duration = Duration::from_secs(20);

pub const KEYS: [(&str, &str); 2] = [("APCA-API-KEY-ID", "demo"), ("APCA-API-SECRET-KEY", "demo")];
pub const MSGPACK: (&str, &str) = ("Content-Type", "application/msgpack");

pub async fn simulator(arguments: &[&str]) -> Simulator {
    let fixed = ["feed-simulator", "--listen", "127.0.0.1:0"];
    let options = Options::try_parse_from(fixed.iter().chain(arguments)).unwrap();
    start(options.check().unwrap()).await.unwrap()
}

/// A stream client that speaks JSON or msgpack.
pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    msgpack: bool,
}

impl Client {
    pub async fn open(simulator: &Simulator, feed: &str, headers: &[(&'static str, &str)]) -> Result<Self, Error> {
        let mut request = format!("ws://{}/v2/{feed}", simulator.address()).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = connect_async(request).await?;
        Ok(Self { socket, msgpack: headers.contains(&MSGPACK) })
    }

    /// Connected and authenticated by header.
    pub async fn ready(simulator: &Simulator, feed: &str) -> Self {
        let mut client = Self::open(simulator, feed, &KEYS).await.unwrap();
        client.expect("connected").await;
        client.expect("authenticated").await;
        client
    }

    pub async fn say(&mut self, value: &Value) {
        let message = if self.msgpack {
            Message::Binary(feed_simulator::wire::msgpack::from_json(value).into())
        } else {
            Message::Text(value.to_string().into())
        };
        self.socket.send(message).await.unwrap();
    }

    /// The next message of any kind; `None` when the connection has ended.
    pub async fn message(&mut self) -> Option<Message> {
        let next = timeout(LIMIT, self.socket.next()).await.expect("the server says something");
        next.and_then(Result::ok)
    }

    /// The next frame with something in it; `None` when the connection has ended.
    pub async fn frame(&mut self) -> Option<Value> {
        loop {
            match self.message().await? {
                Message::Text(text) => return Some(serde_json::from_str(&text).expect("valid JSON")),
                Message::Binary(bytes) => return Some(decode(&bytes)),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// The next control message must be this success.
    pub async fn expect(&mut self, text: &str) {
        assert_eq!(self.frame().await, Some(json!([{"T": "success", "msg": text}])));
    }

    /// The next control message must be this error.
    pub async fn expect_error(&mut self, code: u16) {
        let frame = self.control().await.expect("an answer");
        assert_eq!((&frame[0]["T"], &frame[0]["code"]), (&json!("error"), &json!(code)), "{frame}");
        assert!(frame[0]["msg"].is_string());
    }

    /// The next frame that is not data.
    pub async fn control(&mut self) -> Option<Value> {
        loop {
            let frame = self.frame().await?;
            if matches!(frame[0]["T"].as_str(), Some("success" | "error" | "subscription")) {
                assert_eq!(frame.as_array().unwrap().len(), 1, "control messages come alone");
                return Some(frame);
            }
        }
    }

    pub async fn subscribe(&mut self, channels: Value) -> Value {
        let mut message = json!({"action": "subscribe"});
        message.as_object_mut().unwrap().extend(channels.as_object().unwrap().clone());
        self.say(&message).await;
        let ack = self.control().await.expect("an acknowledgement");
        assert_eq!(ack[0]["T"], "subscription", "{ack}");
        ack[0].clone()
    }

    /// Data messages until `enough` says so.
    pub async fn data_until(&mut self, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut seen = Vec::new();
        while !enough(&seen) {
            let frame = self.frame().await.expect("the connection stays open");
            seen.extend(frame.as_array().expect("an array").iter().cloned());
        }
        seen
    }
}

/// Msgpack as JSON; a timestamp becomes `{"seconds":…,"nanos":…}`.
pub fn decode(mut bytes: &[u8]) -> Value {
    let value = rmpv::decode::read_value(&mut bytes).expect("valid msgpack");
    assert!(bytes.is_empty(), "one value a frame");
    plain(value)
}

fn plain(value: rmpv::Value) -> Value {
    match value {
        rmpv::Value::Array(items) => items.into_iter().map(plain).collect(),
        rmpv::Value::Map(fields) => {
            fields.into_iter().map(|(key, value)| (key.as_str().unwrap().to_owned(), plain(value))).collect()
        }
        rmpv::Value::Ext(-1, bytes) => timestamp(&bytes),
        rmpv::Value::String(text) => text.as_str().unwrap().into(),
        rmpv::Value::Integer(number) => number.as_u64().unwrap().into(),
        rmpv::Value::F64(number) => number.into(),
        other => panic!("unexpected {other}"),
    }
}

fn timestamp(bytes: &[u8]) -> Value {
    let both = match bytes.len() {
        4 => return json!({"seconds": u32::from_be_bytes(bytes.try_into().unwrap()), "nanos": 0}),
        8 => u64::from_be_bytes(bytes.try_into().unwrap()),
        other => panic!("a time of today in {other} bytes"),
    };
    json!({"seconds": both & ((1 << 34) - 1), "nanos": both >> 34})
}

pub async fn get(simulator: &Simulator, path: &str) -> (u16, Value) {
    let response = request(simulator, path).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or(Value::Null))
}

pub fn request(simulator: &Simulator, path: &str) -> reqwest::RequestBuilder {
    let mut request = reqwest::Client::new().get(format!("http://{}{path}", simulator.address()));
    for (name, value) in KEYS {
        request = request.header(name, value);
    }
    request
}

pub async fn post(simulator: &Simulator, path: &str, body: &str) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("http://{}{path}", simulator.address()));
    let response = request.body(body.to_owned()).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or(Value::Null))
}

/// Begins a fault that the simulator must accept.
pub async fn fault(simulator: &Simulator, body: &str) -> Value {
    let (status, answer) = post(simulator, "/control/faults", body).await;
    assert_eq!((status, &answer["ok"]), (200, &json!(true)), "{answer}");
    answer
}

pub async fn stats(simulator: &Simulator) -> Value {
    get(simulator, "/control/stats").await.1
}

/// Statistics that fulfil a condition, as soon as they do.
pub async fn stats_when(simulator: &Simulator, fact: &str, condition: impl Fn(&Value) -> bool) -> Value {
    let poll = async {
        loop {
            let stats = stats(simulator).await;
            if condition(&stats) {
                return stats;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, poll).await.unwrap_or_else(|_| panic!("it never happened that {fact}"))
}

/// All pages of a REST list of one symbol.
pub async fn all_pages(simulator: &Simulator, path: &str, list: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut request = request(simulator, path);
        if let Some(token) = &token {
            request = request.query(&[("page_token", token)]);
        }
        let page: Value = request.send().await.unwrap().json().await.unwrap();
        items.extend(page[list].as_array().cloned().unwrap_or_default());
        match page["next_page_token"].as_str() {
            Some(next) => token = Some(next.to_owned()),
            None => return items,
        }
    }
}
