//! Where messages come from, and at what pace they leave.

use std::fmt;
use std::str::FromStr;

use crate::message::Message;

/// Messages that leave together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The stream's time at which they leave, in Unix nanoseconds.
    pub due_ns: i64,
    /// At least one.
    pub messages: Vec<Message>,
}

/// A market in virtual time: it knows no clock and no socket, and gives the same batches whoever asks.
pub trait Source: Send {
    /// The next batch; `None` when there is nothing left for ever.
    fn next_batch(&mut self) -> Option<Batch>;

    /// Takes a new pace from the next batch on.
    ///
    /// # Errors
    /// A sentence when this source has no such pace.
    fn set_pace(&mut self, pace: Pace) -> Result<(), String>;

    /// Jumps ahead: nothing new happens before `ts_ns`.
    fn skip_to(&mut self, ts_ns: i64);
}

/// How stream time becomes real time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Stream time runs this many times as fast as the clock.
    Speed(f64),
    /// This many messages a second, whatever the stream's time says.
    Rate(f64),
    /// As fast as the readers take it.
    Max,
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Speed(factor) => write!(f, "{factor}x"),
            Self::Rate(rate) => write!(f, "{rate}/s"),
            Self::Max => f.write_str("max"),
        }
    }
}

impl FromStr for Pace {
    type Err = String;

    /// Reads `1x`, `20x`, `10000/s` and `max`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str, most: f64| {
            digits.trim().parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0 && *value <= most)
        };
        let pace = match text {
            "max" => Some(Self::Max),
            _ => match (text.strip_suffix('x'), text.strip_suffix("/s")) {
                (Some(factor), _) => number(factor, 1e6).map(Self::Speed),
                (_, Some(rate)) => number(rate, 1e7).map(Self::Rate),
                _ => None,
            },
        };
        pace.ok_or_else(|| {
            format!("{text:?} is no pace; use 1x, 20x (times as fast), 10000/s (messages a second) or max")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paces_read_back() {
        for text in ["1x", "0.5x", "20x", "10000/s", "max"] {
            assert_eq!(text.parse::<Pace>().unwrap().to_string(), text);
        }
        for text in ["", "x", "0x", "-1x", "fast", "1", "nanx", "/s", "infx"] {
            assert!(text.parse::<Pace>().is_err(), "{text:?}");
        }
    }
}
