//! A feed that only speaks: Alpaca's handshake, then frames that were encoded beforehand. It costs next to nothing beside what is measured.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt as _, StreamExt as _};
use market::Trade;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Waits for the producer.
pub(crate) struct Feed {
    listener: TcpListener,
}

/// The producer, subscribed and waiting for frames.
pub(crate) struct Subscribed {
    frames: SplitSink<WebSocketStream<TcpStream>, Message>,
}

impl Feed {
    pub(crate) async fn listen() -> Result<Self> {
        Ok(Self { listener: TcpListener::bind("127.0.0.1:0").await? })
    }

    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// The variables that lead a producer here.
    pub(crate) fn env(&self) -> Result<Vec<(&'static str, String)>> {
        let address = self.address()?;
        Ok(vec![
            ("ALPACA_API_KEY", "demo".to_owned()),
            ("ALPACA_API_SECRET", "demo".to_owned()),
            ("ALPACA_DATA_WS_URL", format!("ws://{address}/v2/sip")),
            ("ALPACA_DATA_REST_URL", format!("http://{address}")),
            ("SUBSCRIBED_SYMBOLS", "*".to_owned()),
        ])
    }

    /// Welcomes the producer and takes its subscription.
    pub(crate) async fn accept(&self) -> Result<Subscribed> {
        let (stream, _) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut socket = tokio_tungstenite::accept_async(stream).await?;
        for (say, wait_for) in [
            (r#"[{"T":"success","msg":"connected"}]"#, "auth"),
            (r#"[{"T":"success","msg":"authenticated"}]"#, "subscribe"),
        ] {
            socket.send(Message::text(say)).await?;
            let heard = socket.next().await.context("the producer left")??;
            ensure!(heard.to_text()?.contains(wait_for), "expected {wait_for}, heard {heard}");
        }
        socket.send(Message::text(r#"[{"T":"subscription","trades":["*"]}]"#)).await?;
        let (frames, mut heard) = socket.split();
        // Whoever reads answers pings; a feed that answers none is left after twenty seconds.
        tokio::spawn(async move { while heard.next().await.is_some_and(|heard| heard.is_ok()) {} });
        Ok(Subscribed { frames })
    }
}

impl Subscribed {
    pub(crate) async fn send(&mut self, frame: Utf8Bytes) -> Result<()> {
        Ok(self.frames.send(Message::Text(frame)).await?)
    }

    /// Sends frames as fast as the producer takes them.
    pub(crate) async fn send_all(&mut self, frames: &[Utf8Bytes]) -> Result<()> {
        for frame in frames {
            self.frames.feed(Message::Text(frame.clone())).await?;
        }
        Ok(self.frames.flush().await?)
    }
}

/// Trades as Alpaca's frames, `per_frame` in each.
pub(crate) fn frames(trades: &[Trade], per_frame: usize) -> Vec<Utf8Bytes> {
    trades.chunks(per_frame).map(|chunk| frame(chunk).into()).collect()
}

fn frame(trades: &[Trade]) -> String {
    let element = |trade: &Trade| {
        let time = jiff::Timestamp::from_nanosecond(i128::from(trade.ts_ns)).unwrap_or_default();
        let conditions: Vec<String> = trade.conditions.iter().map(|code| format!("\"{code}\"")).collect();
        format!(
            r#"{{"T":"t","S":"{}","i":{},"x":"{}","p":{},"s":{},"c":[{}],"z":"{}","t":"{time}"}}"#,
            trade.symbol,
            trade.trade_id.as_deref().unwrap_or("0"),
            trade.exchange.as_deref().unwrap_or_default(),
            trade.price,
            trade.size,
            conditions.join(","),
            trade.tape.as_deref().unwrap_or_default(),
        )
    };
    format!("[{}]", trades.iter().map(element).collect::<Vec<_>>().join(","))
}
