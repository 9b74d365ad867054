//! Units of price and time that the whole simulator counts in.

/// Price units in one dollar: prices are integers of 1/10,000 dollar, which is also the unit of recorded days.
pub const UNITS_PER_DOLLAR: i64 = 10_000;
/// Nanoseconds in a millisecond.
pub const NS_PER_MS: i64 = 1_000_000;
/// Nanoseconds in a second.
pub const NS_PER_SECOND: i64 = 1_000_000_000;
/// Nanoseconds in a minute.
pub const NS_PER_MINUTE: i64 = 60 * NS_PER_SECOND;

/// The start of the minute that holds `ts_ns`.
#[must_use]
pub fn minute_of(ts_ns: i64) -> i64 {
    ts_ns.div_euclid(NS_PER_MINUTE) * NS_PER_MINUTE
}
