//! From where a client wants records again.

use market::Position;

use crate::records::channel::Channel;

/// The last record that a client has, of each stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Since {
    /// Of the trades.
    pub trades: Option<Position>,
    /// Of the bars.
    pub bars: Option<Position>,
    /// Of the quotes.
    pub quotes: Option<Position>,
}

impl Since {
    /// The position in one stream.
    #[must_use]
    pub fn of(&self, channel: Channel) -> Option<Position> {
        match channel {
            Channel::Trades => self.trades,
            Channel::Bars => self.bars,
            Channel::Quotes => self.quotes,
            _ => None,
        }
    }
}
