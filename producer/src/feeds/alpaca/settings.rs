//! What a person decides about Alpaca.

use market::Symbol;
use service::Secret;

use super::frame::Encoding;

/// What to subscribe, with which keys.
#[derive(Clone, Debug)]
pub struct AlpacaSettings {
    /// Stream address with version and feed, e.g. `wss://stream.data.alpaca.markets/v2/iex`.
    pub url: String,
    /// Key id.
    pub key: Secret,
    /// Secret key.
    pub secret: Secret,
    /// Symbols; `None` asks for all (`*`).
    pub symbols: Option<Vec<Symbol>>,
    /// Encoding of both sides' messages.
    pub encoding: Encoding,
    /// Where the keys go.
    pub authentication: Authentication,
    /// REST history without a path, e.g. `https://data.alpaca.markets`.
    pub rest_url: String,
    /// Most symbols that the plan carries; `None` leaves it to the server to say so.
    pub symbols_max: Option<usize>,
    /// Names of channels: `trades`, `quotes`, `bars`, `updatedBars`, `dailyBars`, `statuses`, `lulds`.
    pub channels: Vec<String>,
}

/// Where the keys go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// Into a message after the welcome.
    #[default]
    Message,
    /// Into the headers of the handshake.
    Header,
}

impl std::str::FromStr for Authentication {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "message" => Ok(Self::Message),
            "header" => Ok(Self::Header),
            _ => Err("no way to authenticate"),
        }
    }
}
