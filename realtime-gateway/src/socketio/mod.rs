//! Socket.IO: [`packet`] reads and writes its packets, [`session`] is the conversation, [`engine`] carries it over polling and for older
//! clients, [`direct`] over our own WebSocket.

pub mod direct;
pub mod engine;
pub mod packet;
pub mod session;
