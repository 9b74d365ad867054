//! What clients speak: Socket.IO, and JSON over plain WebSockets; and how fast they may speak it.

pub mod pace;
pub mod socketio;
pub mod websocket;
