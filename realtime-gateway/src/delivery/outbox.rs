//! What one client still has to get, within a bound.
//!
//! The ladder for a client that cannot keep up: everything up to [`Limits::lossless_bytes`]; past it only the newest trade and quote
//! of each symbol (bars are always kept), then a `lagged` event that says how many were left out; a client that makes no progress
//! at all is cut by whoever asks [`Outbox::waiting_since`]. The newest record is never the one that is dropped.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use market::Symbol;

use super::budget::{ANSWERS, Permit};
use super::piece::{Again, Piece};
use crate::memory::log::Entry;
use crate::memory::snapshot::Snapshot;
use crate::records::batch::Batch;
use crate::records::channel::Channel;
use crate::records::encoding::Encoding;

/// Bounds of one client's outbox.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Unsent bytes up to which nothing is left out.
    pub lossless_bytes: usize,
    /// Records that are kept while conflating; bars count here. One more, and the client is cut.
    pub held_max: usize,
}

/// Why a client cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It asked for every record and does not take them.
    Lossless,
    /// It does not read its answers, or has more bars waiting than fit.
    Unread,
}

/// What a snapshot that is not rendered yet counts for.
const PAINT_BYTES: usize = 128;
/// What one client may leave unread of its answers, beside a quarter of its bound for records.
const ANSWERS_BYTES_MIN: usize = 256 << 10;
/// Pieces and bytes that are made ready at once.
const UNFOLD_PIECES: usize = 32;
const UNFOLD_BYTES: usize = 64 << 10;
/// While all clients together owe too much, one that leaves more than this unread is cut.
const ANSWERS_BYTES_SHORT: usize = 8 << 10;

/// One client's queue.
#[derive(Debug)]
pub struct Outbox {
    encoding: Encoding,
    limits: Limits,
    lossless: bool,
    /// Bytes of records sent again, which do not count against the bound while they wait.
    allowance: usize,
    queue: VecDeque<Piece>,
    /// Bytes of `queue` that are not written yet.
    unsent: usize,
    /// Bytes of the first piece that are written.
    written: usize,
    /// Bytes of messages that were made for this client alone.
    answers: Permit,
    /// Pieces of `queue` of which bytes have yet to be made.
    folded: usize,
    waiting_since: Option<Instant>,
    lag: Option<Box<Lag>>,
    conflated: u64,
}

/// What is held back while the queue is too long.
#[derive(Debug, Default)]
struct Lag {
    newest: HashMap<(Symbol, Channel), u64>,
    held: BTreeMap<u64, Arc<Batch>>,
    missed: BTreeMap<(Symbol, Channel), u64>,
}

impl Outbox {
    /// An empty one.
    #[must_use]
    pub fn new(encoding: Encoding, limits: Limits) -> Self {
        Self {
            encoding,
            limits,
            lossless: false,
            allowance: 0,
            queue: VecDeque::new(),
            unsent: 0,
            written: 0,
            answers: ANSWERS.share(),
            folded: 0,
            waiting_since: None,
            lag: None,
            conflated: 0,
        }
    }

    /// What the client speaks.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Changes what the client speaks; what is queued already keeps its form.
    pub fn set_encoding(&mut self, encoding: Encoding) {
        debug_assert!(!self.queue.iter().any(|piece| matches!(piece, Piece::Records { .. })));
        self.encoding = encoding;
    }

    /// Whether the client wants every record or none: then it is cut where others are conflated.
    pub fn set_lossless(&mut self, lossless: bool) {
        self.lossless = lossless;
    }

    /// Nothing left to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Unsent bytes.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// Since when something is waiting and nothing was written; `None` while there is nothing to write.
    #[must_use]
    pub fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since
    }

    /// Records left out so far.
    #[must_use]
    pub fn conflated(&self) -> u64 {
        self.conflated
    }

    /// Adds the `index`-th record of a batch.
    ///
    /// # Errors
    /// [`Overflow`] where the client must be cut.
    pub fn push(&mut self, batch: &Arc<Batch>, index: usize, now: Instant) -> Result<(), Overflow> {
        if self.lag.is_some() {
            return self.hold(batch, index);
        }
        let length = batch.encoded(self.encoding, index..index + 1).len();
        if length == 0 {
            return Ok(());
        }
        if self.unsent + length > self.limits.lossless_bytes + self.allowance && self.unsent > 0 {
            if self.lossless {
                return Err(Overflow::Lossless);
            }
            self.lag = Some(Box::default());
            return self.hold(batch, index);
        }
        self.unsent += length;
        self.waiting_since.get_or_insert(now);
        match self.queue.back_mut() {
            Some(Piece::Records { batch: last, range }) if range.end == index && Arc::ptr_eq(last, batch) => {
                range.end += 1
            }
            _ => self.queue.push_back(Piece::Records { batch: Arc::clone(batch), range: index..index + 1 }),
        }
        Ok(())
    }

    /// Whether records that are sent again are still waiting: then no more are promised.
    #[must_use]
    pub fn is_replaying(&self) -> bool {
        self.queue.iter().any(|piece| matches!(piece, Piece::Again(_)))
    }

    /// Adds records that a client missed. They are not conflated, however many: it was promised all of them.
    pub fn push_again(&mut self, records: Vec<Entry>, permit: Permit, now: Instant) {
        if !records.is_empty() {
            self.fold(Piece::Again(Box::new(Again::new(records, permit))), now);
        }
    }

    /// Adds a first paint.
    ///
    /// # Errors
    /// [`Overflow::Unread`] where the client asks on and on without reading the answers.
    pub fn push_paint(&mut self, snapshot: Snapshot, now: Instant) -> Result<(), Overflow> {
        self.charge(PAINT_BYTES)?;
        self.fold(Piece::Paint(Box::new(snapshot)), now);
        Ok(())
    }

    /// Keeps a place for an answer, before what follows it. At most one at a time; [`Self::fill`] has to come soon.
    pub fn reserve(&mut self, now: Instant) {
        self.fold(Piece::Reserved, now);
    }

    /// Puts the answer into its place; without one the place goes away.
    ///
    /// # Errors
    /// [`Overflow::Unread`] where the client asks on and on without reading the answers.
    pub fn fill(&mut self, answer: Option<Bytes>, now: Instant) -> Result<(), Overflow> {
        let Some(place) = self.queue.iter().position(|piece| matches!(piece, Piece::Reserved)) else { return Ok(()) };
        self.folded -= 1;
        self.waiting_since = Some(now); // it was not the client who kept us waiting
        match answer {
            Some(answer) => {
                self.charge(answer.len())?;
                self.unsent += answer.len();
                self.queue[place] = Piece::Whole(answer);
            }
            None => {
                self.queue.remove(place);
                self.waiting_since = (!self.queue.is_empty()).then_some(now);
            }
        }
        Ok(())
    }

    fn fold(&mut self, piece: Piece, now: Instant) {
        self.folded += 1;
        self.waiting_since.get_or_insert(now);
        self.queue.push_back(piece);
    }

    /// Makes bytes of what is next, a few pieces and a chunk of records at a time.
    pub fn unfold(&mut self) {
        let (mut index, mut ready) = (0, 0);
        while self.folded > 0 && index < UNFOLD_PIECES && ready < UNFOLD_BYTES {
            match self.queue.get_mut(index) {
                None | Some(Piece::Reserved) => return,
                Some(Piece::Records { .. } | Piece::Whole(_)) => {}
                Some(Piece::Paint(snapshot)) => {
                    let text = self.encoding.notice("snapshot", &snapshot.render()).unwrap_or_default();
                    self.answers.shrink(PAINT_BYTES);
                    self.answers.grow(text.len()); // it is about to leave
                    self.unsent += text.len();
                    self.folded -= 1;
                    self.queue[index] = Piece::Whole(text);
                }
                Some(Piece::Again(again)) => {
                    let chunk = again.take();
                    if again.is_done() {
                        self.folded -= 1;
                        self.queue.remove(index);
                    }
                    let Some(batch) = chunk else { continue };
                    let length = batch.encoded(self.encoding, 0..batch.len()).len();
                    self.allowance += length;
                    self.unsent += length;
                    let range = 0..batch.len();
                    self.queue.insert(index, Piece::Records { batch, range });
                }
            }
            ready += self.queue[index].bytes(self.encoding).len();
            index += 1;
        }
    }

    /// Adds a message that was made for this client's encoding: an answer, a heartbeat.
    ///
    /// # Errors
    /// [`Overflow::Unread`] where the client asks on and on without reading the answers.
    pub fn push_whole(&mut self, message: Bytes, now: Instant) -> Result<(), Overflow> {
        self.charge(message.len())?;
        self.unsent += message.len();
        self.waiting_since.get_or_insert(now);
        self.queue.push_back(Piece::Whole(message));
        Ok(())
    }

    /// Counts bytes that are made for this client alone.
    fn charge(&mut self, bytes: usize) -> Result<(), Overflow> {
        let allowed = self.limits.lossless_bytes / 4 + ANSWERS_BYTES_MIN;
        let within = self.answers.grow(bytes);
        let owed = self.answers.bytes();
        if owed > allowed || (!within && owed > ANSWERS_BYTES_SHORT) { Err(Overflow::Unread) } else { Ok(()) }
    }

    /// Adds a message that is worth nothing later, such as a heartbeat: left out while the client cannot keep up.
    pub fn push_fleeting(&mut self, message: Bytes, now: Instant) {
        if self.lag.is_none() && self.unsent < self.limits.lossless_bytes / 2 {
            let _ = self.push_whole(message, now); // cannot overflow below half of the bound
        }
    }

    /// Fills `slices` with the next bytes to write, in order, and says how many slices that are. [`Self::unfold`] comes before.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut skip = self.written;
        let mut count = 0;
        for (piece, slice) in self.queue.iter().take_while(|piece| piece.is_ready()).zip(slices) {
            let bytes = &piece.bytes(self.encoding)[skip..];
            skip = 0;
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// Notes that `count` bytes were written. May let go what was held back.
    pub fn advance(&mut self, mut count: usize, now: Instant) {
        self.unsent -= count;
        while let Some(piece) = self.queue.front() {
            let left = piece.bytes(self.encoding).len() - self.written;
            if count < left {
                self.written += count;
                break;
            }
            if !piece.is_ready() {
                break;
            }
            count -= left;
            self.written = 0;
            if let Some(Piece::Whole(bytes)) = self.queue.pop_front() {
                self.answers.shrink(bytes.len());
            }
        }
        self.release(now);
        self.waiting_since = (!self.queue.is_empty()).then_some(now);
        if self.queue.is_empty() && self.queue.capacity() > 64 {
            self.queue = VecDeque::new(); // after a peak, an idle client keeps no memory
        }
    }

    /// Takes the first message out, for transports that send whole messages. Only for clients that never use [`Self::advance`].
    pub fn pop(&mut self, now: Instant) -> Option<Vec<u8>> {
        loop {
            self.unfold();
            let message = match self.queue.front_mut()? {
                Piece::Reserved | Piece::Again(_) | Piece::Paint(_) => return None,
                Piece::Whole(bytes) => {
                    let message = bytes.to_vec();
                    self.answers.shrink(message.len());
                    self.queue.pop_front();
                    message
                }
                Piece::Records { batch, range } => {
                    let message = batch.encoded(self.encoding, range.start..range.start + 1).to_vec();
                    range.start += 1;
                    if range.start == range.end {
                        self.queue.pop_front();
                    }
                    message
                }
            };
            self.unsent -= message.len();
            self.release(now);
            self.waiting_since = (!self.queue.is_empty()).then_some(now);
            if !message.is_empty() {
                return Some(message);
            }
        }
    }

    fn hold(&mut self, batch: &Arc<Batch>, index: usize) -> Result<(), Overflow> {
        let event = &batch.events()[index];
        let Some(lag) = &mut self.lag else { return Ok(()) };
        if event.channel.conflates() {
            let key = (event.symbol, event.channel);
            if let Some(older) = lag.newest.insert(key, event.offset) {
                lag.held.remove(&older);
                *lag.missed.entry(key).or_default() += 1;
                self.conflated += 1;
            }
        }
        lag.held.insert(event.offset, Arc::new(batch.isolate(index)));
        if lag.held.len() > self.limits.held_max { Err(Overflow::Unread) } else { Ok(()) }
    }

    /// Once the queue is short again: tells what was left out, then goes on with what was held back.
    fn release(&mut self, now: Instant) {
        if self.unsent > self.limits.lossless_bytes / 4 {
            return;
        }
        self.allowance = 0;
        let Some(lag) = self.lag.take() else { return };
        if let Some(notice) = lag.notice().and_then(|json| self.encoding.notice("lagged", &json)) {
            self.unsent += notice.len();
            self.answers.grow(notice.len());
            self.queue.push_back(Piece::Whole(notice));
        }
        for batch in lag.held.into_values() {
            self.unsent += batch.encoded(self.encoding, 0..1).len();
            self.queue.push_back(Piece::Records { batch, range: 0..1 });
        }
        self.waiting_since.get_or_insert(now);
    }
}

impl Lag {
    /// `{"missed":12,"symbols":{"AAPL":{"trades":12}}}`; `None` where nothing was left out after all.
    fn notice(&self) -> Option<String> {
        let total: u64 = self.missed.values().sum();
        if total == 0 {
            return None;
        }
        let mut json = format!("{{\"missed\":{total},\"reason\":\"this connection cannot keep up\",\"symbols\":{{");
        let mut last: Option<Symbol> = None;
        for ((symbol, channel), missed) in &self.missed {
            if last == Some(*symbol) {
                json.push(',');
            } else {
                json.push_str(match last {
                    Some(_) => "},",
                    None => "",
                });
                json.push_str(&serde_json::to_string(symbol.as_str()).unwrap_or_default());
                json.push_str(":{");
            }
            let _ = write!(json, "\"{}\":{missed}", channel.name()); // a String takes every write
            last = Some(*symbol);
        }
        json.push_str("}}}");
        Some(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::budget::REPLAYS;
    use crate::memory::log::{Bounds, Log};
    use crate::records::batch::tests::batch;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { lossless_bytes: 200, held_max: 50 };

    fn written(outbox: &mut Outbox, most: usize) -> Vec<u8> {
        outbox.unfold();
        let mut slices = [IoSlice::new(&[]); 4];
        let count = outbox.slices(&mut slices);
        let mut bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        bytes.truncate(most);
        outbox.advance(bytes.len(), Instant::now());
        bytes
    }

    fn drained(outbox: &mut Outbox) -> String {
        let mut all = Vec::new();
        while !outbox.is_empty() {
            all.extend(written(outbox, usize::MAX));
        }
        String::from_utf8(all).unwrap()
    }

    fn kept(records: &[(&str, Channel, u64)]) -> Vec<Entry> {
        let batch = batch(records);
        let bounds = Bounds { count: 20_000, age: std::time::Duration::from_secs(60) };
        let mut log = Log::default();
        for (index, event) in batch.events().iter().enumerate() {
            log.push(event.clone(), batch.payload(index).into(), Instant::now(), bounds);
        }
        log.entries().cloned().collect()
    }

    fn offsets(text: &str) -> Vec<u64> {
        text.split(r#""n":"#).skip(1).map(|rest| rest.split('}').next().unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn records_of_one_batch_go_out_as_one_slice() {
        let batch = Arc::new(batch(&[("A", Channel::Trades, 1), ("A", Channel::Trades, 2), ("B", Channel::Trades, 3)]));
        let mut outbox = Outbox::new(Encoding::ENGINE.marked(), LIMITS);
        for index in 0..3 {
            outbox.push(&batch, index, Instant::now()).unwrap();
        }
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(outbox.slices(&mut slices), 1);
        assert_eq!(offsets(&drained(&mut outbox)), [1, 2, 3]);
        assert_eq!((outbox.unsent(), outbox.waiting_since()), (0, None));
    }

    #[test]
    fn past_the_bound_only_the_newest_trade_stays_and_the_client_is_told() {
        let records: Vec<_> =
            (1..=20).map(|n| ("A", if n == 12 { Channel::Bars } else { Channel::Trades }, n)).collect();
        let batch = Arc::new(batch(&records));
        let mut outbox = Outbox::new(Encoding::ENGINE.marked(), LIMITS);
        for index in 0..20 {
            outbox.push(&batch, index, Instant::now()).unwrap();
        }
        let text = drained(&mut outbox);
        assert_eq!(offsets(&text), [1, 2, 3, 4, 5, 12, 20], "the bar is kept, the newest trade too");
        let told =
            r#"2["lagged",{"missed":13,"reason":"this connection cannot keep up","symbols":{"A":{"trades":13}}}]"#;
        assert!(text.contains(told), "{text}");
        assert_eq!(outbox.conflated(), 13);
    }

    #[test]
    fn a_client_that_wants_all_or_nothing_is_cut_instead() {
        let batch = Arc::new(batch(&[("A", Channel::Trades, 1); 20]));
        let mut outbox = Outbox::new(Encoding::ENGINE.marked(), LIMITS);
        outbox.set_lossless(true);
        let refused = (0..20).find_map(|index| outbox.push(&batch, index, Instant::now()).err());
        assert_eq!(refused, Some(Overflow::Lossless));
    }

    #[test]
    fn bars_and_answers_have_a_bound_too() {
        let records: Vec<_> = (1..=100).map(|n| ("A", Channel::Bars, n)).collect();
        let batch = Arc::new(batch(&records));
        let mut outbox = Outbox::new(Encoding::ENGINE.marked(), LIMITS);
        let refused = (0..100).find_map(|index| outbox.push(&batch, index, Instant::now()).err());
        assert_eq!(refused, Some(Overflow::Unread));
        let mut outbox = Outbox::new(Encoding::ENGINE.marked(), LIMITS);
        let answer = Bytes::from(vec![b'x'; 1000]);
        let refused = (0..2000).find_map(|_| outbox.push_whole(answer.clone(), Instant::now()).err());
        assert_eq!(refused, Some(Overflow::Unread));
    }

    #[test]
    fn what_is_sent_again_is_not_conflated_nor_is_what_follows() {
        let records: Vec<_> = (1..=40).map(|n| ("A", Channel::Trades, n)).collect();
        let missed = kept(&records);
        let live = Arc::new(batch(&[("A", Channel::Trades, 41), ("A", Channel::Trades, 42)]));
        let mut outbox = Outbox::new(Encoding::ENGINE.marked(), LIMITS);
        let permit = REPLAYS.take(1 << 10).unwrap();
        outbox.push_again(missed, permit, Instant::now());
        outbox.push(&live, 0, Instant::now()).unwrap();
        outbox.push(&live, 1, Instant::now()).unwrap();
        assert_eq!(offsets(&drained(&mut outbox)), (1..=42).collect::<Vec<_>>());
    }

    #[test]
    fn a_replay_is_encoded_only_as_fast_as_the_client_takes_it() {
        let records: Vec<_> = (1..=20_000).map(|n| ("A", Channel::Trades, n)).collect();
        let mut outbox = Outbox::new(Encoding::ENGINE.marked(), LIMITS);
        let permit = REPLAYS.take(1 << 20).unwrap();
        outbox.push_again(kept(&records), permit, Instant::now());
        outbox.unfold();
        assert!(outbox.is_replaying() && outbox.unsent() < 200_000, "{} bytes are ready", outbox.unsent());
        assert_eq!(offsets(&drained(&mut outbox)), (1..=20_000).collect::<Vec<_>>());
        assert!(!outbox.is_replaying() && outbox.answers.bytes() == 0);
    }

    #[test]
    fn nothing_overtakes_an_answer_that_is_being_made() {
        let live = Arc::new(batch(&[("A", Channel::Trades, 7)]));
        let mut outbox = Outbox::new(Encoding::ENGINE.marked(), LIMITS);
        outbox.reserve(Instant::now());
        outbox.push(&live, 0, Instant::now()).unwrap();
        assert_eq!(outbox.pop(Instant::now()), None);
        outbox.fill(Some(Bytes::from_static(b"answer")), Instant::now()).unwrap();
        let text = drained(&mut outbox);
        assert!(text.starts_with("answer2[") && offsets(&text) == [7], "{text}");
    }

    #[test]
    fn waiting_counts_from_the_last_progress() {
        let batch = Arc::new(batch(&[("A", Channel::Trades, 1); 2]));
        let mut outbox = Outbox::new(Encoding::ENGINE.marked(), LIMITS);
        let start = Instant::now();
        outbox.push(&batch, 0, start).unwrap();
        outbox.push(&batch, 1, start + std::time::Duration::from_secs(1)).unwrap();
        assert_eq!(outbox.waiting_since(), Some(start));
        let later = start + std::time::Duration::from_secs(2);
        outbox.advance(3, later);
        assert_eq!(outbox.waiting_since(), Some(later));
    }

    proptest! {
        /// However the network behaves: every bar, the newest trade of each symbol, no double, in order; and every trade that did not
        /// come was counted.
        #[test]
        fn nothing_is_lost_in_silence(
            steps in prop::collection::vec((0_u8..3, prop::collection::vec((0_usize..3, any::<bool>()), 0..12), 0_usize..300), 1..40),
            whole_messages: bool,
        ) {
            let limits = Limits { lossless_bytes: 200, held_max: 10_000 };
            let mut outbox = Outbox::new(Encoding::ENGINE.marked(), limits);
            let (mut offset, mut sent, mut text) = (0, Vec::new(), Vec::new());
            for (_, records, take) in steps {
                let records: Vec<_> = records.into_iter().map(|(symbol, bar)| {
                    offset += 1;
                    (["A", "B", "C"][symbol], if bar { Channel::Bars } else { Channel::Trades }, offset)
                }).collect();
                let batch = Arc::new(batch(&records));
                for index in 0..records.len() {
                    outbox.push(&batch, index, Instant::now()).unwrap();
                }
                sent.extend(records);
                if whole_messages {
                    for _ in 0..take / 50 { text.extend(outbox.pop(Instant::now()).unwrap_or_default()); }
                } else {
                    text.extend(written(&mut outbox, take));
                }
            }
            if whole_messages {
                while let Some(message) = outbox.pop(Instant::now()) { text.extend(message); }
            } else {
                text.extend(drained(&mut outbox).into_bytes());
            }
            prop_assert!(outbox.is_empty() && outbox.lag.is_none() && outbox.unsent() == 0);
            let text = String::from_utf8(text).unwrap();
            let got = offsets(&text);
            prop_assert!(got.is_sorted_by(|a, b| a < b), "order and no double: {got:?}");
            let missing: Vec<_> = sent.iter().filter(|(_, _, offset)| !got.contains(offset)).collect();
            prop_assert!(missing.iter().all(|(_, channel, _)| *channel == Channel::Trades), "bars stay");
            for symbol in ["A", "B", "C"] {
                let newest = sent.iter().rfind(|(name, channel, _)| *name == symbol && *channel == Channel::Trades);
                prop_assert!(newest.is_none_or(|(_, _, offset)| got.contains(offset)), "the newest is kept");
            }
            let told: usize = text.split(r#"{"missed":"#).skip(1).map(|rest| rest.split(',').next().unwrap().parse::<usize>().unwrap()).sum();
            prop_assert_eq!(told, missing.len());
            prop_assert_eq!(outbox.conflated(), told as u64);
        }
    }
}
