//! The connections of one market: who is there, how much waits for each, and who is too slow.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Message as WsMessage;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::faults::{Answer, Malformed};
use crate::frame::Frame;
use crate::wire::Encoding;

/// Orders that may wait for one client.
const ORDERS_MAX: usize = 64;

/// Something that a client is to be sent out of turn.
#[derive(Clone, Debug)]
pub enum Order {
    /// This very frame.
    Raw(WsMessage),
    /// A broken frame in the client's encoding.
    Malformed(Malformed),
    /// An error message.
    Answer(Answer),
    /// Nothing: look again at what is broken.
    LookAgain,
}

/// One connection, as the hub sees it.
#[derive(Debug)]
pub struct Client {
    /// Counted from 1.
    pub id: u64,
    /// The endpoint it connected to.
    pub endpoint: &'static str,
    /// Its encoding.
    pub encoding: Encoding,
    /// Cancelled to drop the connection at once.
    pub cut: CancellationToken,
    /// Cancelled when it reads too slowly.
    pub slow: CancellationToken,
    /// Messages that wait for it.
    pub queued: AtomicUsize,
    /// Messages that it was sent.
    pub sent: AtomicU64,
    authenticated: AtomicBool,
    gets_data: AtomicBool,
    /// Its last acknowledgement, for the statistics.
    subscription: Mutex<Value>,
    frames: mpsc::Sender<Arc<Frame>>,
    orders: mpsc::Sender<Order>,
}

/// The receiving ends of a [`Client`]'s queues.
#[derive(Debug)]
pub struct Inbox {
    /// Data frames.
    pub frames: mpsc::Receiver<Arc<Frame>>,
    /// Orders.
    pub orders: mpsc::Receiver<Order>,
}

/// The connections of one market.
#[derive(Debug)]
pub struct Hub {
    clients: Mutex<Vec<Arc<Client>>>,
    next_id: AtomicU64,
    buffer: usize,
    /// A subscription got its first symbol, or a queue got shorter.
    changed: Notify,
}

impl Hub {
    /// No connections yet; each may have this many messages waiting.
    #[must_use]
    pub fn new(buffer: usize) -> Self {
        Self { clients: Mutex::default(), next_id: AtomicU64::new(1), buffer: buffer.max(1), changed: Notify::new() }
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection in.
    pub fn join(&self, endpoint: &'static str, encoding: Encoding) -> (Arc<Client>, Inbox) {
        let (frames, frame_inbox) = mpsc::channel(self.buffer + 1);
        let (orders, order_inbox) = mpsc::channel(ORDERS_MAX);
        let client = Arc::new(Client {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            endpoint,
            encoding,
            cut: CancellationToken::new(),
            slow: CancellationToken::new(),
            queued: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            authenticated: AtomicBool::new(false),
            gets_data: AtomicBool::new(false),
            subscription: Mutex::default(),
            frames,
            orders,
        });
        self.clients().push(Arc::clone(&client));
        (client, Inbox { frames: frame_inbox, orders: order_inbox })
    }

    /// Lets a connection go.
    pub fn leave(&self, client: &Client) {
        self.clients().retain(|other| other.id != client.id);
        self.changed.notify_one();
    }

    /// Notes that a client is authenticated.
    pub fn authenticated(&self, client: &Client) {
        client.authenticated.store(true, Ordering::Relaxed);
    }

    /// Notes what a client is subscribed to, as it was acknowledged, and whether that is anything.
    pub fn subscribed(&self, client: &Client, gets_data: bool, acknowledgement: &Value) {
        *client.subscription.lock().unwrap_or_else(PoisonError::into_inner) = acknowledgement[0].clone();
        client.gets_data.store(gets_data, Ordering::Release);
        self.changed.notify_one();
    }

    /// Notes that a client took a frame of this many messages from its queue.
    pub fn took(&self, client: &Client, messages: usize) {
        let before = client.queued.fetch_sub(messages, Ordering::AcqRel);
        if before > self.buffer / 2 {
            self.changed.notify_one();
        }
    }

    /// Queues a frame for every subscribed client. One that has no room left gets the error "slow client"; a `patient` publisher has
    /// waited for [`Hub::room`] and tells nobody.
    pub fn publish(&self, frame: &Arc<Frame>, patient: bool) {
        let messages = frame.messages().len();
        for client in self.clients().iter().filter(|client| client.gets_data.load(Ordering::Acquire)) {
            let queued = client.queued.fetch_add(messages, Ordering::AcqRel) + messages;
            let full = queued > self.buffer && !patient;
            if full || client.frames.try_send(Arc::clone(frame)).is_err() {
                client.slow.cancel();
            }
        }
    }

    /// Waits until somebody is subscribed.
    pub async fn subscriber(&self) {
        loop {
            let changed = self.changed.notified();
            if self.clients().iter().any(|client| client.gets_data.load(Ordering::Acquire)) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until every client's queue is at most half full.
    pub async fn room(&self) {
        loop {
            let changed = self.changed.notified();
            if self.clients().iter().all(|client| client.queued.load(Ordering::Acquire) <= self.buffer / 2) {
                return;
            }
            changed.await;
        }
    }

    /// Drops every connection; says how many.
    pub fn cut(&self) -> usize {
        self.clients().iter().map(|client| client.cut.cancel()).count()
    }

    /// Sends every client something out of turn; says to how many.
    pub fn order(&self, order: &Order) -> usize {
        self.clients().iter().filter(|client| client.orders.try_send(order.clone()).is_ok()).count()
    }

    /// Messages that wait for all clients together.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.clients().iter().map(|client| client.queued.load(Ordering::Relaxed)).sum()
    }

    /// The connections as the statistics show them.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let clients = self.clients();
        let client = |client: &Arc<Client>| {
            json!({
                "id": client.id,
                "endpoint": client.endpoint,
                "encoding": client.encoding.as_str(),
                "authenticated": client.authenticated.load(Ordering::Relaxed),
                "subscribed": client.gets_data.load(Ordering::Relaxed),
                "subscription": *client.subscription.lock().unwrap_or_else(PoisonError::into_inner),
                "queued": client.queued.load(Ordering::Relaxed),
                "sent": client.sent.load(Ordering::Relaxed),
            })
        };
        clients.iter().map(client).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Luld, Message};
    use std::time::Duration;

    fn frame(messages: usize) -> Arc<Frame> {
        Arc::new(Frame::new(vec![Message::Luld(Luld { symbol: 0, ts_ns: 0, up: 1, down: 1 }); messages]))
    }

    #[tokio::test]
    async fn a_full_buffer_means_slow_and_only_for_the_client_that_does_not_read() {
        let hub = Hub::new(10);
        let (reader, mut inbox) = hub.join("sip", Encoding::Json);
        let (sleeper, _kept) = hub.join("sip", Encoding::Json);
        for client in [&reader, &sleeper] {
            hub.subscribed(client, true, &Value::Null);
        }
        for _ in 0..4 {
            hub.publish(&frame(3), false);
            inbox.frames.recv().await.unwrap();
            hub.took(&reader, 3);
        }
        assert!(sleeper.slow.is_cancelled() && !reader.slow.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_patient_publisher_waits_for_room() {
        let hub = Hub::new(10);
        let (client, _inbox) = hub.join("sip", Encoding::Json);
        hub.subscribed(&client, true, &Value::Null);
        hub.publish(&frame(6), true);
        assert!(tokio::time::timeout(Duration::from_secs(1), hub.room()).await.is_err());
        hub.took(&client, 6);
        hub.room().await;
        assert!(!client.slow.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_subscription_wakes_a_waiting_market() {
        let hub = Hub::new(10);
        let (client, _inbox) = hub.join("sip", Encoding::Json);
        assert!(tokio::time::timeout(Duration::from_secs(1), hub.subscriber()).await.is_err());
        hub.subscribed(&client, true, &Value::Null);
        hub.subscriber().await;
        hub.leave(&client);
        assert_eq!(hub.order(&Order::Malformed(Malformed::Empty)), 0);
    }
}
