//! Draining: clients are asked to reconnect, and leave one after the other instead of all at once.

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::{Instant, sleep_until};

use crate::delivery::client::Cut;
use crate::gateway::Gateway;

/// Tells every client, then ends each at a random moment within `drain`, so that the next gateway sees no stampede.
pub async fn drain(gateway: &Gateway, drain: Duration) {
    let start = Instant::now();
    let mut clients: Vec<_> = {
        let mut random = rand::rng();
        gateway.hub.everybody().into_iter().map(|client| (drain.mul_f64(random.random::<f64>()), client)).collect()
    };
    if clients.is_empty() {
        return;
    }
    tracing::info!(clients = clients.len(), seconds = drain.as_secs(), "telling clients to come back");
    clients.sort_unstable_by_key(|(wait, _)| *wait);
    for (wait, client) in &clients {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let notice = serde_json::json!({
            "type": "drain",
            "detail": "this gateway stops; you will be disconnected and should connect again",
            "disconnect_in_ms": wait_ms,
        });
        client.notify("status", &notice.to_string());
    }
    for (wait, client) in clients {
        sleep_until(start + wait).await;
        client.cut(Cut::Draining);
    }
    let deadline = Instant::now() + Duration::from_secs(2);
    while gateway.hub.clients() > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
