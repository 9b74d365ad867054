//! Records from Redis: [`reply`] reads the protocol, [`subscriber`] keeps the subscription alive and hands whole reads to the hub. The
//! other way, [`demand`] tells the producers what clients want.

pub mod continuity;
pub mod demand;
pub mod reply;
pub mod subscriber;
