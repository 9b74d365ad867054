//! Drives one market: takes batches from its source, waits until each is due, and lets everybody know.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::faults::Faults;
use crate::frame::Frame;
use crate::message::Message;
use crate::pacing::Pacer;
use crate::source::{Batch, Pace, Source};
use crate::venue::{Command, Market};

/// A market's engine.
pub struct Engine {
    /// The market that is driven.
    pub market: Arc<Market>,
    /// Where its messages come from.
    pub source: Box<dyn Source>,
    /// What breaks on the way.
    pub faults: Arc<Faults>,
    /// Whether messages are doubled and reordered here: in one market only, since their order is one market's.
    pub shapes: bool,
    /// Its commands.
    pub commands: mpsc::Receiver<Command>,
    /// Whether nothing happens before somebody is subscribed.
    pub wait_for_subscriber: bool,
}

impl Engine {
    /// Runs until `stop`. A source that ends leaves the market open and done.
    pub async fn run(mut self, stop: CancellationToken) {
        self.market.progress().waiting = self.wait_for_subscriber;
        while self.market.progress().waiting {
            let command = tokio::select! {
                () = stop.cancelled() => return,
                () = self.market.hub.subscriber() => None,
                command = self.commands.recv() => command,
            };
            match command {
                Some(command) => {
                    self.obey(command);
                }
                None => self.market.progress().waiting = false,
            }
        }
        let (start, origin_ns) = self.market.origin().map_or((Instant::now(), None), |(at, ns)| (at, Some(ns)));
        let pace = if origin_ns.is_some() { Pace::Speed(1.0) } else { self.market.progress().pace };
        let mut pacer = Pacer::new(pace, origin_ns);
        while let Some(batch) = self.source.next_batch() {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.wait_until_due(&batch, &mut pacer, start) => {}
            }
            let patient = pacer.pace() == Pace::Max;
            self.publish(batch, patient);
            // Clients that were just woken may wait in this worker's own queue.
            tokio::task::yield_now().await;
        }
        if self.shapes {
            self.send(self.faults.release(), false);
        }
        self.market.progress().done = true;
        while let Some(command) = tokio::select! {
            () = stop.cancelled() => None,
            command = self.commands.recv() => command,
        } {
            self.obey(command);
        }
    }

    /// Waits for the batch's time, for room, or for the end of a pause, and obeys commands meanwhile.
    async fn wait_until_due(&mut self, batch: &Batch, pacer: &mut Pacer, start: Instant) {
        let mut due = pacer.due(batch.due_ns, batch.messages.len());
        loop {
            let paused = self.market.progress().paused;
            let wait = async {
                match due {
                    _ if paused => pending().await,
                    Some(due) => sleep_until(start + due).await,
                    None => self.market.hub.room().await,
                }
            };
            let command = tokio::select! {
                biased;
                Some(command) = self.commands.recv() => command,
                () = wait => {
                    let behind = due.map_or(Duration::ZERO, |due| (start + due).elapsed());
                    self.market.progress().behind_us = u64::try_from(behind.as_micros()).unwrap_or(u64::MAX);
                    return;
                }
            };
            let pace = self.obey(command);
            if self.market.origin().is_none() {
                // Stream time stood still, or runs differently from here on.
                pacer.rebase(start.elapsed(), pace, Some(batch.due_ns));
                due = pacer.due(batch.due_ns, batch.messages.len());
            }
        }
    }

    /// Carries out a command; says the pace that it set.
    fn obey(&mut self, command: Command) -> Option<Pace> {
        match command {
            Command::Pause => self.market.progress().paused = true,
            Command::Resume => {
                self.market.progress().paused = false;
                self.source.skip_to(self.market.now_ns());
            }
            Command::Pace(pace, answer) => {
                let result = self.source.set_pace(pace);
                let taken = result.is_ok().then_some(pace);
                if let Some(pace) = taken {
                    self.market.progress().pace = pace;
                }
                drop(answer.send(result)); // whoever asked may be gone
                return taken;
            }
        }
        None
    }

    /// REST knows a message before any client does.
    fn publish(&self, batch: Batch, patient: bool) {
        {
            let mut tape = self.market.tape_mut();
            batch.messages.iter().for_each(|message| tape.apply(message));
        }
        {
            let mut produced = self.market.produced();
            batch.messages.iter().for_each(|message| produced.add(message));
        }
        self.market.reach(batch.due_ns);
        if self.faults.muted_until().is_some() {
            self.market.progress().withheld += u64::try_from(batch.messages.len()).unwrap_or(u64::MAX);
            return;
        }
        let messages = if self.shapes { self.faults.shape(batch.messages) } else { batch.messages };
        self.send(messages, patient);
    }

    fn send(&self, messages: Vec<Message>, patient: bool) {
        if !messages.is_empty() {
            self.market.hub.publish(&Arc::new(Frame::new(messages)), patient);
        }
    }
}
