//! Writing to many clients: a system call each, so that a thousand take milliseconds. Several threads share them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::client::Client;

/// As many are written by the caller alone: to wake another thread would take longer.
const ALONE_MAX: usize = 64;
/// A thread takes so many clients at a time.
const SHARE: usize = 16;
/// Most threads that help.
const HELPERS_MAX: usize = 7;

/// Threads that help whoever has many clients to flush; they end with it.
#[derive(Debug)]
pub(crate) struct Flushers(Vec<SyncSender<Arc<Round>>>);

/// Clients that are written by whoever comes first.
#[derive(Debug)]
struct Round {
    clients: Vec<Arc<Client>>,
    taken: AtomicUsize,
}

impl Flushers {
    /// A thread for each core but the caller's own.
    pub(crate) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self((1..cores.min(HELPERS_MAX + 1)).filter_map(|_| helper()).collect())
    }

    /// Flushes every client, in about this order. On return all are written, or being written by a helper.
    pub(crate) fn flush(&self, clients: Vec<Arc<Client>>) {
        let round = Round { clients, taken: AtomicUsize::new(0) };
        if round.clients.len() <= ALONE_MAX {
            return round.work();
        }
        let round = Arc::new(round);
        for helper in &self.0 {
            let _ = helper.try_send(Arc::clone(&round)); // one that is still busy is not needed
        }
        round.work();
    }
}

fn helper() -> Option<SyncSender<Arc<Round>>> {
    let (give, rounds): (_, Receiver<Arc<Round>>) = sync_channel(1);
    let thread = thread::Builder::new().name("flush".to_owned());
    match thread.spawn(move || rounds.iter().for_each(|round| round.work())) {
        Ok(_) => Some(give),
        Err(error) => {
            tracing::warn!(%error, "no further thread; large audiences are written more slowly");
            None
        }
    }
}

impl Round {
    fn work(&self) {
        loop {
            let first = self.taken.fetch_add(SHARE, Ordering::Relaxed);
            let last = (first + SHARE).min(self.clients.len());
            let Some(share) = self.clients.get(first..last) else { return };
            if share.is_empty() {
                return;
            }
            for client in share {
                client.flush();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::outbox::Limits;
    use super::*;
    use crate::records::encoding::Encoding;

    #[tokio::test]
    async fn everybody_is_flushed_in_audiences_of_any_size() {
        let flushers = Flushers::new();
        for size in [0, 1, SHARE, ALONE_MAX, ALONE_MAX + 1, 10 * ALONE_MAX + 3] {
            let limits = Limits { lossless_bytes: 1, held_max: 1 };
            let clients: Vec<_> = (0..).take(size).map(|id| Client::on_task(id, Encoding::DIRECT, limits)).collect();
            flushers.flush(clients.clone());
            for client in clients {
                let woken = tokio::time::timeout(Duration::from_secs(60), client.woken());
                assert!(woken.await.is_ok(), "client {} of {size}", client.id());
            }
        }
    }
}
