//! A client that polls moves to a WebSocket: it tries the new way while the old one goes on, and changes over in one step.
//!
//! ```text
//! client                          gateway
//!   2probe  ── WebSocket ──▶
//!           ◀─────────────── 3probe           GETs end at once from here on
//!   (waits for its last GET)
//!   5       ── WebSocket ──▶                  the outbox is written to the socket from here on
//! ```
//!
//! Where the trial fails, the client goes on polling as if nothing had been.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::polling::{Poll, Polls};
use crate::dialects::websocket::{connection, handshake};
use crate::records::frame::{Incoming, Opcode, Reader, frame};

/// Time for the trial.
const TRIAL_MAX: Duration = Duration::from_secs(10);
/// Messages of a trial are a few bytes.
const TRIAL_MESSAGE_BYTES_MAX: usize = 128;

/// Takes the connection over.
pub fn accept(polls: &Arc<Polls>, poll: Arc<Poll>, request: Request) -> Response {
    let polls = Arc::clone(polls);
    handshake::accept(request, move |mut socket, early| async move {
        let mut reader = Reader::after(&early);
        let tried = timeout(TRIAL_MAX, attempt(&poll, &mut socket, &mut reader)).await;
        if !matches!(tried, Ok(Some(()))) {
            poll.set_hurried(false);
            return;
        }
        let turn = poll.turn().await; // no GET may take from the outbox while it changes over
        let Some((mut engine, _place)) = polls.leave(&poll) else { return };
        poll.client().heard();
        poll.client().attach(socket);
        drop(turn);
        let (client, gateway) = (Arc::clone(engine.client()), Arc::clone(engine.gateway()));
        connection::serve(&client, reader, &mut engine, &gateway.config.door).await;
    })
}

/// `None` where the client does not go through with it.
async fn attempt(poll: &Poll, socket: &mut TcpStream, reader: &mut Reader) -> Option<()> {
    expect(socket, reader, "2probe").await?;
    socket.write_all(&frame(Opcode::Text, b"3probe")).await.ok()?;
    poll.set_hurried(true);
    expect(socket, reader, "5").await
}

async fn expect(socket: &mut TcpStream, reader: &mut Reader, packet: &str) -> Option<()> {
    loop {
        match reader.next(TRIAL_MESSAGE_BYTES_MAX) {
            Ok(Some(Incoming::Text(text))) => return (text == packet).then_some(()),
            Ok(None) => {}
            _ => return None,
        }
        let mut buffer = [0; 1024];
        match socket.read(&mut buffer).await {
            Ok(length @ 1..) => reader.feed(&buffer[..length]),
            _ => return None,
        }
    }
}
