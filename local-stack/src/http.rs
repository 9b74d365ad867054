//! The few HTTP requests that a supervisor and its tests make.

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, at most 1 MiB of it.
    pub body: String,
}

/// `GET path` from 127.0.0.1:`port`.
///
/// # Errors
/// Nothing listens there, or what listens does not speak HTTP.
pub async fn get(port: u16, path: &str) -> Result<Answer> {
    send(port, &format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\n\r\n")).await
}

/// The same with further headers.
///
/// # Errors
/// Nothing listens there, or what listens does not speak HTTP.
pub async fn get_with(port: u16, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    send(port, &format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n{headers}Accept: */*\r\n\r\n")).await
}

/// `POST path` of a JSON body to 127.0.0.1:`port`.
///
/// # Errors
/// Nothing listens there, or what listens does not speak HTTP.
pub async fn post(port: u16, path: &str, json: &str) -> Result<Answer> {
    let head = format!("POST {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n");
    send(port, &format!("{head}Content-Length: {}\r\n\r\n{json}", json.len())).await
}

/// HTTP/1.0: no chunks, and the end of the connection is the end of the body.
async fn send(port: u16, request: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.take(1 << 20).read_to_end(&mut bytes).await?;
    parse(&String::from_utf8_lossy(&bytes)).with_context(|| format!("port {port} does not speak HTTP"))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_told_apart() {
        let answer = parse("HTTP/1.1 503 Service Unavailable\r\ncontent-type: x\r\n\r\n{\"status\":\"down\"}").unwrap();
        assert_eq!(answer, Answer { status: 503, body: "{\"status\":\"down\"}".into() });
    }

    #[test]
    fn what_is_not_http_is_not_an_answer() {
        assert_eq!(parse("SSH-2.0-OpenSSH_9.2\r\n\r\n"), None);
    }
}
