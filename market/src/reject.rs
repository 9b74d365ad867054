//! Why a value is refused, in words that say what it must be.

/// Why a value may not become a record. The text says which field and what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Reject {
    /// Symbol empty, too long or more than one token.
    #[error("symbol must be 1 to 32 letters and digits, with single `.`, `/`, `-` or `:` between them")]
    Symbol,
    /// Source empty, too long or not lower case.
    #[error("source must be 1 to 32 characters of a-z, 0-9, _ and -")]
    Source,
    /// Price not finite, not positive or above [`crate::record::PRICE_MAX`].
    #[error("price must be a finite number above 0 and at most 1e9")]
    Price,
    /// Size not finite, not positive or above [`crate::record::SIZE_MAX`].
    #[error("size must be a finite number above 0 and at most 1e15")]
    Size,
    /// Volume not finite, negative or above [`crate::record::VOLUME_MAX`].
    #[error("volume must be a finite number from 0 to 1e18")]
    Volume,
    /// Volume-weighted average price not finite or not positive.
    #[error("vwap must be a finite number above 0, or 0 where the volume is 0")]
    Vwap,
    /// Time outside 1677-09-21 to 2262-04-11, or not a time.
    #[error("time must lie between 1678 and 2262")]
    Time,
    /// Trade id too long.
    #[error("trade_id must be 1 to 64 bytes")]
    TradeId,
    /// A text holds NUL, which PostgreSQL cannot store.
    #[error("text must not hold a NUL character")]
    Nul,
    /// Timeframe not understood.
    #[error(
        "timeframe must be one of 1Sec, 1Min to 59Min, 1Hour to 23Hour, 1Day, 1Week, 1Month, 2Month, 3Month, 4Month, 6Month, 12Month"
    )]
    Timeframe,
    /// A bar that does not start where a bar of its timeframe starts.
    #[error("a bar's timestamp must be the start of an interval of its timeframe")]
    Unaligned,
    /// Neither a cancellation nor a correction with the trade that holds instead.
    #[error("type must be cancel, or correction with the corrected trade")]
    Correction,
}
