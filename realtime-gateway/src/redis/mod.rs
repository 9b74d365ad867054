//! Records from Redis. [`reply`] reads the protocol, [`subscriber`] keeps the subscription alive and hands whole reads to the hub.

pub mod reply;
pub mod subscriber;
