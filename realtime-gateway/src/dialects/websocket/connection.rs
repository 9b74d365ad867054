//! One WebSocket connection: reads what the client says, waits where its socket is full, and ends it.
//!
//! Whoever has something to send writes it to the socket without waiting ([`Client::flush`]); only where the kernel takes no more does
//! this task wait for room and go on.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Conversation;
use crate::config::DoorLimits;
use crate::delivery::client::{Client, Cut, Flushed};
use crate::door::Pace;
use crate::records::frame::{Incoming, Opcode, Reader, Violation, close_frame, frame};

/// Bytes read at once.
const READ_BYTES: usize = 8 * 1024;
/// Bytes that a client may still send once it is told to go.
const READ_BYTES_AFTER_CLOSE: usize = 1 << 20;
/// Time for the close frame to leave.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Serves a connection until either side ends it. `reader` holds what was read of it before.
pub async fn serve(client: &Arc<Client>, reader: Reader, conversation: &mut dyn Conversation, limits: &DoorLimits) {
    let (reason, close) = match converse(client, reader, conversation, limits).await {
        Ok(reason) => (reason, reason.close()),
        Err(violation) => (Cut::Misuse, (violation.code(), "see RFC 6455")),
    };
    client.cut(reason);
    conversation.closed(reason);
    if reason != Cut::Gone {
        let _ = client.outbox().push_whole(close_frame(close.0, close.1).into(), Instant::now()); // full: it is cut anyway
        let _ = timeout(CLOSE_WAIT, say_goodbye(client)).await; // a client that does not read is not waited for
    }
    metrics::counter!("gateway_cut_total", "reason" => reason.label()).increment(1);
}

async fn converse(
    client: &Arc<Client>,
    mut reader: Reader,
    conversation: &mut dyn Conversation,
    limits: &DoorLimits,
) -> Result<Cut, Violation> {
    let Some(socket) = client.socket() else { return Ok(Cut::Gone) };
    let mut pace = Pace::new(limits.messages_rate, Instant::now());
    let mut blocked = false;
    loop {
        while let Some(incoming) = reader.next(limits.message_bytes_max)? {
            client.heard();
            if let Err(flood) = pace.step(Instant::now()) {
                return Ok(flood);
            }
            let heard = match incoming {
                Incoming::Text(text) => conversation.text(&text),
                Incoming::Binary(bytes) => conversation.binary(&bytes),
                Incoming::Ping(body) => {
                    client.say(frame(Opcode::Pong, &body).into());
                    Ok(())
                }
                Incoming::Pong => Ok(()),
                Incoming::Close => Err(Cut::Gone),
            };
            if let Err(reason) = heard {
                return Ok(reason);
            }
        }
        let interest = if blocked { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        let deadline = conversation.deadline();
        let expired = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = socket.ready(interest) => {
                let Ok(ready) = ready else { return Ok(Cut::Gone) };
                if ready.is_writable() && blocked {
                    blocked = client.flush() == Flushed::Blocked;
                }
                if ready.is_readable() && read(socket, &mut reader).is_err() {
                    return Ok(Cut::Gone);
                }
            }
            () = client.woken() => {
                if let Some(reason) = client.cut_reason() {
                    return Ok(reason);
                }
                blocked = !client.outbox().is_empty();
            }
            () = expired => return Ok(Cut::Silent),
        }
    }
}

/// Reads what is there, without keeping a buffer for it. An end of the stream is an error here: a peer that closes its half is gone.
fn read(socket: &TcpStream, reader: &mut Reader) -> io::Result<()> {
    let mut buffer = [0; READ_BYTES];
    match socket.try_read(&mut buffer) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(length) => {
            reader.feed(&buffer[..length]);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes what is left, then reads until the client ends too: a connection that is dropped with unread bytes is reset, and the client
/// would never see why.
async fn say_goodbye(client: &Client) {
    let Some(socket) = client.socket() else { return };
    while client.flush() == Flushed::Blocked {
        if socket.writable().await.is_err() {
            return;
        }
    }
    if SockRef::from(socket).shutdown(Shutdown::Write).is_err() {
        return;
    }
    let mut unread = READ_BYTES_AFTER_CLOSE;
    while unread > 0 && socket.readable().await.is_ok() {
        match socket.try_read(&mut [0; READ_BYTES]) {
            Ok(0) => return,
            Ok(length) => unread = unread.saturating_sub(length),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// A message that ends nothing and goes to one client.
#[must_use]
pub fn text_message(text: &str) -> Bytes {
    frame(Opcode::Text, text.as_bytes()).into()
}
