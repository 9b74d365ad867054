//! Opens WebSocket connections. A trait, so that tests can play the server in memory and on paused time.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::feeds::protocol::Endpoint;

/// Larger messages end the connection, unless the settings say otherwise.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// An open connection.
pub type Socket<I> = WebSocketStream<I>;

/// A way to connect.
pub trait Dial: Send + Sync {
    /// What carries the bytes.
    type Io: AsyncRead + AsyncWrite + Unpin + Send;

    /// Connects and shakes hands.
    fn dial(&self, endpoint: &Endpoint) -> impl Future<Output = Result<Socket<Self::Io>, Error>> + Send;
}

/// TCP, with TLS for `wss://`.
#[derive(Clone, Copy, Debug)]
pub struct Internet {
    /// Larger messages end the connection.
    pub message_bytes_max: usize,
}

impl Dial for Internet {
    type Io = MaybeTlsStream<TcpStream>;

    async fn dial(&self, endpoint: &Endpoint) -> Result<Socket<Self::Io>, Error> {
        let mut request = endpoint.url.expose().into_client_request()?;
        for (name, value) in &endpoint.headers {
            let mut value = HeaderValue::from_str(value.expose())?;
            value.set_sensitive(true);
            request.headers_mut().insert(*name, value);
        }
        let no_delay = true;
        let connected = connect_async_with_config(request, Some(limits(self.message_bytes_max)), no_delay).await;
        connected.map(|(socket, _)| socket)
    }
}

/// Message limits of every connection.
#[must_use]
pub fn limits(message_bytes_max: usize) -> WebSocketConfig {
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(message_bytes_max);
    config.max_frame_size = Some(message_bytes_max);
    config
}
