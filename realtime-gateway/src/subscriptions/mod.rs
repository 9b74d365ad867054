//! Who wants what: requests as clients write them, the followers of each symbol, and the rate that a subscription asked for.

pub mod contract;
pub mod gate;
pub mod registry;
