//! Faults on demand: what is broken right now, and what will be broken next.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::message::Message;
use crate::protocol::StreamError;

/// A fault as a test asks for it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Every connection is dropped without a close frame.
    Cut {},
    /// Connections stay open; no data leaves for this long. What passes meanwhile is never sent, only found in REST.
    Mute {
        /// How long.
        seconds: f64,
        /// Whether pings are still answered (default true).
        #[serde(default = "yes")]
        pongs: bool,
    },
    /// Every frame leaves this much later than the one before; 0 ends it.
    Slow {
        /// Wait before each frame.
        delay_ms: u64,
    },
    /// One frame that cannot be read, now.
    Malformed {
        /// What is wrong with it.
        #[serde(default)]
        kind: Malformed,
    },
    /// An error message, now or in answer to the next requests.
    Error {
        /// Alpaca's code.
        code: u16,
        /// When.
        #[serde(default)]
        on: When,
        /// How many requests are answered so (not for `now`).
        #[serde(default = "one")]
        count: u32,
        /// Whether the connection is closed after it; default as Alpaca does with this code.
        close: Option<bool>,
    },
    /// The next messages are each sent twice.
    Duplicate {
        /// How many messages.
        #[serde(default = "one")]
        count: u32,
    },
    /// The next messages are held back and sent in reverse order.
    Reorder {
        /// How many messages.
        #[serde(default = "ten")]
        count: u32,
    },
    /// Handshakes are refused for this long.
    Refuse {
        /// How long.
        seconds: f64,
        /// The HTTP status, 503 unless given.
        #[serde(default = "unavailable")]
        status: u16,
    },
    /// Connections are cut and handshakes refused for this long, while the market goes on.
    Outage {
        /// How long.
        seconds: f64,
        /// Whether REST is away too (default no).
        #[serde(default)]
        rest: bool,
    },
    /// The next REST requests fail.
    Rest {
        /// How many requests.
        #[serde(default = "one")]
        count: u32,
        /// The HTTP status, 429 unless given.
        #[serde(default = "too_many")]
        status: u16,
        /// With 429: when the limit resets.
        #[serde(default = "one_second")]
        reset_seconds: f64,
    },
    /// The REST history of trades lacks the last seconds of the stream; 0 ends it.
    HistoryBehind {
        /// How many seconds.
        seconds: f64,
    },
    /// For this long, the REST history of trades is another feed's: the same market, with ids of its own.
    HistoryOther {
        /// How long.
        seconds: f64,
    },
    /// The next answers of trades each lack one record, and nothing says so.
    HistoryDrop {
        /// How many answers.
        #[serde(default = "one")]
        count: u32,
    },
    /// All faults end.
    Clear {},
}

/// What is wrong with a malformed frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Malformed {
    /// It ends in the middle.
    #[default]
    Truncated,
    /// Not the encoding at all.
    Rubbish,
    /// An object where an array belongs.
    NotArray,
    /// An array whose elements are broken in several ways, between unknown types and fields.
    BadElements,
    /// Nested far too deeply.
    Deep,
    /// No bytes.
    Empty,
}

/// When an error message is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// To every connection, at once.
    #[default]
    Now,
    /// In place of the welcome.
    Connect,
    /// In answer to authentication.
    Auth,
    /// In answer to subscribe and unsubscribe.
    Subscribe,
}

fn yes() -> bool {
    true
}
fn one() -> u32 {
    1
}
fn ten() -> u32 {
    10
}
fn unavailable() -> u16 {
    503
}
fn too_many() -> u16 {
    429
}
fn one_second() -> f64 {
    1.0
}

impl Fault {
    /// Whether its numbers make sense.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn check(&self) -> Result<(), String> {
        let (seconds, status) = match *self {
            Self::Mute { seconds, .. }
            | Self::Outage { seconds, .. }
            | Self::HistoryBehind { seconds }
            | Self::HistoryOther { seconds } => (seconds, None),
            Self::Refuse { seconds, status } => (seconds, Some(status)),
            Self::Rest { reset_seconds, status, .. } => (reset_seconds, Some(status)),
            _ => return Ok(()),
        };
        if !(0.0..=86_400.0).contains(&seconds) {
            return Err("seconds must be a number from 0 to 86400".into());
        }
        if status.is_some_and(|status| !(400..=599).contains(&status)) {
            return Err("status must be an HTTP error, 400 to 599".into());
        }
        Ok(())
    }
}

/// An error that will answer requests.
#[derive(Clone, Copy, Debug)]
struct PlannedError {
    error: StreamError,
    close: bool,
    on: When,
    left: u32,
}

/// How an injected error is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The message.
    pub error: StreamError,
    /// Whether the connection is closed after it.
    pub close: bool,
}

impl Answer {
    /// An error, closing the connection where `close` or, if not said, Alpaca would.
    #[must_use]
    pub fn new(code: u16, close: Option<bool>) -> Self {
        let error = StreamError { code };
        Self { error, close: close.unwrap_or(error.closes()) }
    }
}

/// The faults of this moment. Cutting connections and sending frames is the hub's part.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Now>);

#[derive(Debug, Default)]
struct Now {
    mute: Option<(Instant, bool)>,
    slow: Duration,
    refuse: Option<(Instant, u16)>,
    rest_away: Option<Instant>,
    rest: Option<(u32, u16, Duration)>,
    history_behind: Duration,
    history_other: Option<Instant>,
    history_drops: u32,
    errors: Vec<PlannedError>,
    shaper: Shaper,
}

impl Faults {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a fault on, as far as it lasts.
    pub fn begin(&self, fault: &Fault) {
        let mut now = self.now();
        let until = |seconds: f64| Instant::now() + Duration::from_secs_f64(seconds);
        match *fault {
            Fault::Mute { seconds, pongs } => now.mute = Some((until(seconds), pongs)),
            Fault::Slow { delay_ms } => now.slow = Duration::from_millis(delay_ms),
            Fault::Error { code, on, count, close } if on != When::Now => {
                let Answer { error, close } = Answer::new(code, close);
                now.errors.push(PlannedError { error, close, on, left: count });
            }
            Fault::Duplicate { count } => now.shaper.duplicates_left += count,
            Fault::Reorder { count } => now.shaper.reorder(count),
            Fault::Refuse { seconds, status } => now.refuse = Some((until(seconds), status)),
            Fault::Outage { seconds, rest } => {
                now.refuse = Some((until(seconds), unavailable()));
                now.rest_away = rest.then(|| until(seconds));
            }
            Fault::Rest { count, status, reset_seconds } => {
                now.rest = Some((count, status, Duration::from_secs_f64(reset_seconds)));
            }
            Fault::HistoryBehind { seconds } => now.history_behind = Duration::from_secs_f64(seconds),
            Fault::HistoryOther { seconds } => now.history_other = Some(until(seconds)),
            Fault::HistoryDrop { count } => now.history_drops = now.history_drops.saturating_add(count),
            Fault::Clear {} => *now = Now { shaper: std::mem::take(&mut now.shaper).cleared(), ..Now::default() },
            Fault::Cut {} | Fault::Malformed { .. } | Fault::Error { .. } => {}
        }
    }

    /// Whether data is withheld, and until when.
    #[must_use]
    pub fn muted_until(&self) -> Option<Instant> {
        self.now().mute.map(|(until, _)| until).filter(|until| *until > Instant::now())
    }

    /// Until when not even pings are answered.
    #[must_use]
    pub fn deaf_until(&self) -> Option<Instant> {
        self.now().mute.filter(|(until, pongs)| !pongs && *until > Instant::now()).map(|(until, _)| until)
    }

    /// The wait before each frame.
    #[must_use]
    pub fn frame_delay(&self) -> Duration {
        self.now().slow
    }

    /// The status that refuses a handshake now.
    #[must_use]
    pub fn refusal(&self) -> Option<u16> {
        self.now().refuse.filter(|(until, _)| *until > Instant::now()).map(|(_, status)| status)
    }

    /// The status, and the time to the limit's reset, with which a REST request fails now.
    pub fn rest_failure(&self) -> Option<(u16, Duration)> {
        let mut now = self.now();
        if now.rest_away.is_some_and(|until| until > Instant::now()) {
            return Some((unavailable(), Duration::ZERO));
        }
        let (left, status, reset) = now.rest.as_mut().filter(|(left, ..)| *left > 0)?;
        *left -= 1;
        Some((*status, *reset))
    }

    /// By how much the history is behind the stream, in nanoseconds.
    #[must_use]
    pub fn history_behind_ns(&self) -> i64 {
        i64::try_from(self.now().history_behind.as_nanos()).unwrap_or(i64::MAX)
    }

    /// Whether the history is another feed's.
    #[must_use]
    pub fn history_is_other(&self) -> bool {
        self.now().history_other.is_some_and(|until| until > Instant::now())
    }

    /// Which of `records` is to be left out of the answer under way; another one in each answer, so that no two readings agree.
    pub fn drop_from_history(&self, records: usize) -> Option<usize> {
        let mut now = self.now();
        let left = now.history_drops;
        now.history_drops = left.checked_sub(1)?;
        usize::try_from(left).ok()?.checked_rem(records)
    }

    /// The error that answers a request of this kind now.
    pub fn answer(&self, on: When) -> Option<Answer> {
        let mut now = self.now();
        let planned = now.errors.iter_mut().find(|planned| planned.on == on && planned.left > 0)?;
        planned.left -= 1;
        let answer = Answer { error: planned.error, close: planned.close };
        now.errors.retain(|planned| planned.left > 0);
        Some(answer)
    }

    /// The messages as they are to be sent: doubled, or held back and turned around.
    pub fn shape(&self, messages: Vec<Message>) -> Vec<Message> {
        self.now().shaper.shape(messages)
    }

    /// What is held back, at the end of a stream.
    pub fn release(&self) -> Vec<Message> {
        let mut now = self.now();
        now.shaper.held_max = 0;
        now.shaper.held.drain(..).collect()
    }
}

/// Doubles messages and turns their order around.
#[derive(Debug, Default)]
struct Shaper {
    duplicates_left: u32,
    held_max: usize,
    held: VecDeque<Message>,
}

impl Shaper {
    fn reorder(&mut self, count: u32) {
        self.held_max = usize::try_from(count).unwrap_or(usize::MAX);
    }

    /// Ends the faults, but loses nothing that is held back: the next frame brings it.
    fn cleared(self) -> Self {
        Self { duplicates_left: 0, held_max: usize::from(!self.held.is_empty()), held: self.held }
    }

    fn shape(&mut self, messages: Vec<Message>) -> Vec<Message> {
        if self.duplicates_left == 0 && self.held_max == 0 {
            return messages;
        }
        let mut out = Vec::with_capacity(messages.len() * 2);
        for message in messages {
            if self.held_max > 0 {
                self.held.push_front(message);
                if self.held.len() >= self.held_max {
                    out.extend(self.held.drain(..));
                    self.held_max = 0;
                }
                continue;
            }
            out.push(message);
            if self.duplicates_left > 0 {
                self.duplicates_left -= 1;
                out.push(message);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Luld;
    use proptest::prelude::*;

    fn numbered(range: std::ops::Range<i64>) -> Vec<Message> {
        range.map(|ts_ns| Message::Luld(Luld { symbol: 0, ts_ns, up: 1, down: 1 })).collect()
    }

    fn numbers(messages: &[Message]) -> Vec<i64> {
        messages.iter().map(|m| if let Message::Luld(luld) = m { luld.ts_ns } else { -1 }).collect()
    }

    fn parse(text: &str) -> Result<Fault, String> {
        let fault: Fault = serde_json::from_str(text).map_err(|error| error.to_string())?;
        fault.check().map(|()| fault)
    }

    #[test]
    fn duplicates_follow_their_originals() {
        let faults = Faults::default();
        faults.begin(&parse(r#"{"fault":"duplicate","count":2}"#).unwrap());
        assert_eq!(numbers(&faults.shape(numbered(0..3))), [0, 0, 1, 1, 2]);
        assert_eq!(numbers(&faults.shape(numbered(3..4))), [3]);
    }

    #[test]
    fn reordered_messages_come_back_in_reverse_and_none_is_lost() {
        let faults = Faults::default();
        faults.begin(&parse(r#"{"fault":"reorder","count":3}"#).unwrap());
        assert!(faults.shape(numbered(0..2)).is_empty());
        assert_eq!(numbers(&faults.shape(numbered(2..5))), [2, 1, 0, 3, 4]);
        faults.begin(&parse(r#"{"fault":"reorder","count":9}"#).unwrap());
        assert!(faults.shape(numbered(5..7)).is_empty());
        faults.begin(&Fault::Clear {});
        assert_eq!(numbers(&faults.shape(numbered(7..9))), [7, 6, 5, 8]);
    }

    #[tokio::test(start_paused = true)]
    async fn timed_faults_end_by_themselves() {
        let faults = Faults::default();
        faults.begin(&parse(r#"{"fault":"mute","seconds":5,"pongs":false}"#).unwrap());
        faults.begin(&parse(r#"{"fault":"refuse","seconds":2,"status":429}"#).unwrap());
        assert!(faults.muted_until().is_some() && faults.deaf_until().is_some());
        assert_eq!(faults.refusal(), Some(429));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(faults.refusal(), None);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(faults.muted_until().is_none() && faults.deaf_until().is_none());
    }

    #[test]
    fn planned_errors_answer_their_kind_of_request_and_run_out() {
        let faults = Faults::default();
        faults.begin(&parse(r#"{"fault":"error","code":406,"on":"auth","count":2}"#).unwrap());
        assert_eq!(faults.answer(When::Subscribe), None);
        assert_eq!(faults.answer(When::Auth), Some(Answer::new(406, None)));
        assert_eq!(faults.answer(When::Auth), Some(Answer::new(406, Some(false))));
        assert_eq!(faults.answer(When::Auth), None);
        assert!(Answer::new(407, None).close);
    }

    #[test]
    fn bad_faults_say_what_is_wrong() {
        for (text, expected) in [
            (r#"{"fault":"explode"}"#, "unknown variant `explode`"),
            (r#"{"fault":"mute"}"#, "missing field `seconds`"),
            (r#"{"fault":"mute","seconds":-1}"#, "seconds must be"),
            (r#"{"fault":"history_behind","seconds":-1}"#, "seconds must be"),
            (r#"{"fault":"refuse","seconds":1,"status":200}"#, "status must be"),
            (r#"{"fault":"cut","when":"now"}"#, "unknown field"),
            (r#"{}"#, "missing field `fault`"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }

    #[test]
    fn each_answer_of_the_history_lacks_another_record() {
        let faults = Faults::default();
        faults.begin(&parse(r#"{"fault":"history_drop","count":3}"#).unwrap());
        let dropped: Vec<_> = (0..4).map(|_| faults.drop_from_history(10)).collect();
        assert_eq!(dropped, [Some(3), Some(2), Some(1), None]);
    }

    proptest! {
        #[test]
        fn shaping_loses_nothing(sizes in prop::collection::vec(0_i64..20, 1..20), reorder in 0_u32..30, duplicates in 0_u32..30) {
            let faults = Faults::default();
            faults.begin(&Fault::Reorder { count: reorder });
            faults.begin(&Fault::Duplicate { count: duplicates });
            let (mut from, mut seen) = (0, Vec::new());
            for size in sizes {
                seen.extend(numbers(&faults.shape(numbered(from..from + size))));
                from += size;
            }
            faults.begin(&Fault::Clear {});
            seen.extend(numbers(&faults.shape(numbered(from..from + 1))));
            seen.sort_unstable();
            let copies = seen.len();
            seen.dedup();
            prop_assert_eq!(seen, (0..=from).collect::<Vec<_>>());
            prop_assert!(copies <= usize::try_from(from).unwrap() + 1 + duplicates as usize);
        }
    }
}
