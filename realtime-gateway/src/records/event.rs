//! One record on its way: everything about it but its bytes.

use market::{Position, Symbol};

use super::channel::Channel;

/// What the day so far looks like for a symbol, for clients that are shown changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Day {
    /// Last price of the previous trading day's regular hours, in dollars.
    pub previous_close: f64,
    /// Shares traded since midnight in New York.
    pub volume: f64,
}

/// One record's outside; its payload stays in the batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Whose record it is.
    pub symbol: Symbol,
    /// Which stream it came from.
    pub channel: Channel,
    /// Counts all records of this gateway's run.
    pub offset: u64,
    /// Its place in the producer's stream.
    pub position: Option<Position>,
    /// The symbol's day when the record passed.
    pub day: Option<Day>,
}
