//! A client that comes with a WebSocket from the start.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;

use super::engine::Engine;
use super::session::Arrival;
use crate::fanout::client::Client;
use crate::fanout::encoding::Encoding;
use crate::gateway::Gateway;
use crate::websocket::frame::Reader;
use crate::websocket::{connection, handshake};

/// Takes the connection over.
pub fn accept(gateway: &Arc<Gateway>, request: Request) -> Response {
    let gateway = Arc::clone(gateway);
    let arrival = Arrival::read(request.headers(), request.uri().query(), false);
    handshake::accept(request, move |socket, early| async move {
        let client = Client::on_socket(gateway.hub.next_id(), socket, Encoding::DIRECT, gateway.config.outbox);
        let (mut engine, _) = Engine::open(&gateway, &client, arrival, &[]);
        connection::serve(&client, Reader::after(&early), &mut engine, &gateway.config.door).await;
    })
}
