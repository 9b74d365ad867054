//! A client that comes with a WebSocket from the start.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;

use super::engine::Engine;
use super::session::Arrival;
use crate::delivery::client::Client;
use crate::dialects::websocket::{connection, handshake};
use crate::gateway::Gateway;
use crate::records::encoding::Encoding;
use crate::records::frame::Reader;

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
