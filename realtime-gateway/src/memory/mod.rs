//! What can be sent again: the newest records of each symbol, its day, and its running minute, within one budget of bytes.

pub mod log;
pub mod since;
pub mod symbol;
