//! Just enough HTTP to ask the history API on the same network: one GET a connection, no TLS.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Checks that a history API answers there: what another server says about a symbol says nothing about what is stored.
///
/// # Errors
/// Where nobody answers, or somebody else.
pub(crate) async fn is_the_api(base: &str) -> anyhow::Result<()> {
    let page = get(base, "/openapi.json").await?.unwrap_or_default();
    ensure!(
        page.contains("/v2/stocks/"),
        "`{base}` is not Tapeline's history API: its /openapi.json does not name /v2/stocks/; give the address of bars-api"
    );
    Ok(())
}

/// The body of `GET base + path`; `None` where the server says 404.
///
/// # Errors
/// Where `base` is not `http://host:port`, nobody answers in time, or with anything but 200 or 404.
pub(crate) async fn get(base: &str, path: &str) -> anyhow::Result<Option<String>> {
    let address = base.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let address = address.with_context(|| format!("`{base}` must have the form http://host:port"))?;
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        // HTTP/1.0: the answer ends with the connection and is never chunked.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(ANSWER_MAX, ask).await.with_context(|| format!("{base} does not answer"))?;
    let answer = answer.with_context(|| format!("{base} does not answer"))?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("{base} does not speak HTTP"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    ensure!(matches!(status, "200" | "404"), "{base}{path} answers {status}: {body}");
    Ok((status == "200").then(|| body.to_owned()))
}
