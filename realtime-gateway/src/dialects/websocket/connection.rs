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
use crate::dialects::pace::Pace;
use crate::records::frame::{Incoming, Opcode, Reader, Violation, close_frame, frame};

/// Bytes read at once.
const READ_BYTES: usize = 8 * 1024;
/// Bytes that a client may still send after the server's close frame.
const READ_BYTES_AFTER_CLOSE: usize = 1 << 20;
/// Time for the close frame to leave.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Work after which other clients have their turn, in units of [`Pace`].
const YIELD_COST: u32 = 16;

/// How a connection ends.
enum End {
    /// Ended by us, or broken.
    Cut(Cut),
    /// Closed by the client, with this code if it named one.
    Closed(Option<u16>),
}

fn cost_of(incoming: &Incoming) -> u32 {
    match incoming {
        Incoming::Text(text) => Pace::cost(text.len()),
        Incoming::Binary(bytes) | Incoming::Ping(bytes) => Pace::cost(bytes.len()),
        Incoming::Pong | Incoming::Fragment | Incoming::Close(_) => 1,
    }
}

/// Serves a connection until either side ends it. `reader` holds what was read of it before.
pub async fn serve(client: &Arc<Client>, reader: Reader, conversation: &mut dyn Conversation, limits: &DoorLimits) {
    let (reason, close) = match converse(client, reader, conversation, limits).await {
        Ok(End::Cut(Cut::Gone)) => (Cut::Gone, None),
        Ok(End::Cut(reason)) => (reason, Some(reason.close())),
        Ok(End::Closed(code)) => (Cut::Gone, Some((code.unwrap_or(1000), ""))), // a close is answered with its own code
        Err(violation) => (Cut::Misuse, Some((violation.code(), "see RFC 6455"))),
    };
    client.cut(reason);
    conversation.closed(reason);
    if let Some((code, text)) = close {
        let _ = client.outbox().push_whole(close_frame(code, text).into(), Instant::now()); // full: it is cut anyway
        let _ = timeout(CLOSE_WAIT, say_goodbye(client)).await; // a client that does not read is not waited for
    }
    metrics::counter!("gateway_cut_total", "reason" => reason.label()).increment(1);
}

async fn converse(
    client: &Arc<Client>,
    mut reader: Reader,
    conversation: &mut dyn Conversation,
    limits: &DoorLimits,
) -> Result<End, Violation> {
    let Some(socket) = client.socket() else { return Ok(End::Cut(Cut::Gone)) };
    let mut pace = Pace::new(limits.messages_rate, Instant::now());
    let mut blocked = false;
    let mut unyielded = 0;
    loop {
        while let Some(incoming) = reader.next(limits.message_bytes_max)? {
            client.heard();
            let cost = cost_of(&incoming);
            if let Err(flood) = pace.spend(cost, Instant::now()) {
                return Ok(End::Cut(flood));
            }
            // What is in the buffer already asks nothing of the runtime: without this, one client could keep a thread to itself.
            unyielded += cost;
            if unyielded >= YIELD_COST {
                unyielded = 0;
                tokio::task::yield_now().await;
            }
            let heard = match incoming {
                Incoming::Text(text) => conversation.text(&text),
                Incoming::Binary(bytes) => conversation.binary(&bytes),
                Incoming::Ping(body) => {
                    client.say(frame(Opcode::Pong, &body).into());
                    Ok(())
                }
                Incoming::Pong | Incoming::Fragment => Ok(()),
                Incoming::Close(code) => return Ok(End::Closed(code)),
            };
            if let Err(reason) = heard {
                return Ok(End::Cut(reason));
            }
            if let Some(reason) = client.cut_reason() {
                return Ok(End::Cut(reason)); // what it asked for was too much
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
                let Ok(ready) = ready else { return Ok(End::Cut(Cut::Gone)) };
                if ready.is_writable() && blocked {
                    blocked = client.flush() == Flushed::Blocked;
                }
                if ready.is_readable() && read(socket, &mut reader).is_err() {
                    return Ok(End::Cut(Cut::Gone));
                }
            }
            () = client.woken() => {
                if let Some(reason) = client.cut_reason() {
                    return Ok(End::Cut(reason));
                }
                blocked = !client.outbox().is_empty();
            }
            () = expired => return Ok(End::Cut(Cut::Silent)),
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
