//! A peer of the gateway: socketioxide as its documentation shows it. Redis pub/sub to rooms, `io.to(symbol).emit(event, record)`.
//!
//! Needs PORT, REDIS_HOST and REDIS_PORT. Measured by `bench/gateway.mjs`; decision 0020 says why the gateway is built otherwise.

use axum::Router;
use axum::routing::get;
use futures_util::StreamExt as _;
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::handler::ConnectHandler as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let (layer, io) = SocketIo::new_layer();
    // In a middleware, not in the connect handler: that one starts after the client was told that it is connected, and what the client
    // says at once would be lost.
    io.ns("/", (async || {}).with(listen));

    let redis = redis::Client::open(format!(
        "redis://{}:{}/",
        variable("REDIS_HOST", "127.0.0.1"),
        variable("REDIS_PORT", "6379")
    ))?;
    let mut records = redis.get_async_pubsub().await?;
    records.subscribe(&["stock:trades:pubsub", "stock:bars:pubsub"]).await?;
    tokio::spawn(async move {
        let mut records = records.into_on_message();
        while let Some(record) = records.next().await {
            let event = if record.get_channel_name() == "stock:bars:pubsub" { "bar" } else { "trade" };
            let Ok(record) = serde_json::from_slice::<Value>(record.get_payload_bytes()) else { continue };
            let Some(symbol) = record["symbol"].as_str().map(str::to_owned) else { continue };
            let _ = io.to(symbol).emit(event, &record).await; // a client whose queue is full loses the record
        }
    });

    let app = Router::new().route("/health", get(async || "ok")).layer(layer);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", variable("PORT", "5050").parse()?)).await?;
    Ok(axum::serve(listener, app).await?)
}

async fn listen(socket: SocketRef) -> Result<(), std::convert::Infallible> {
    socket.on("subscribe", async |socket: SocketRef, Data(symbols): Data<Value>, acknowledge: AckSender| {
        let symbols = match symbols {
            Value::Array(symbols) => symbols,
            one => vec![one],
        };
        for symbol in symbols.iter().filter_map(Value::as_str) {
            socket.join(symbol.to_owned());
        }
        acknowledge.send(&serde_json::json!({ "ok": true })).ok();
    });
    Ok(())
}
