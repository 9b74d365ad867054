//! What clients speak: Socket.IO, and JSON over plain WebSockets.

pub mod socketio;
pub mod websocket;
