//! Who wants what: requests as clients write them, the scope of a token, and the rate that a subscription asked for.

pub mod contract;
pub mod gate;
