//! Everything that is asked over plain HTTP, and the way to the sockets.

pub mod body;
pub mod dashboard;
pub mod io;
pub mod pipeline;
pub mod problem;
pub mod proxy;
pub mod request_id;
pub mod routes;
pub mod server;
pub mod sse;
pub mod token;
