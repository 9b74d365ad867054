//! A lane carries the batches of some partitions to PostgreSQL, one after the other: decoding here, writing there, so that the next
//! batch is decoded while the present one is written.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::batch::{Batch, Span, Tenure};
use crate::encode::{Day, Encoded, Window};
use crate::row::Row;
use crate::store::{Outcome, Shared, Writer};

/// What a lane tells the reader.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Which lane.
    pub(crate) lane: usize,
    /// Positions that are in PostgreSQL now.
    pub(crate) stored: Vec<Span>,
    /// Tenures that turned out to be over.
    pub(crate) over: Vec<Tenure>,
}

/// What is stored at this moment.
fn window_now(shared: &Shared) -> Window {
    let today = Day::of_second(jiff::Timestamp::now().as_second());
    Window::on(today, shared.config.retention_days)
}

/// Makes rows of records. Ends when the reader hangs up.
pub(crate) async fn encode<R: Row>(
    shared: Arc<Shared>,
    mut batches: mpsc::Receiver<Batch>,
    encoded: mpsc::Sender<Encoded>,
) -> anyhow::Result<()> {
    loop {
        let received = tokio::select! {
            received = batches.recv() => received,
            () = encoded.closed() => None, // the writer has failed and says why itself; hanging up tells the reader
        };
        let Some(batch) = received else { break };
        if encoded.send(Encoded::new::<R>(batch, window_now(&shared))).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Stores batches in the order in which they come and reports each. Ends when all are stored and no more will come.
///
/// # Errors
/// A sentence, where trying again cannot help.
pub(crate) async fn write<R: Row>(
    shared: Arc<Shared>,
    lane: usize,
    mut batches: mpsc::Receiver<Encoded>,
    finished: mpsc::Sender<Finished>,
) -> anyhow::Result<()> {
    let mut writer = Writer::<R>::new(Arc::clone(&shared));
    let mut over: HashSet<Tenure> = HashSet::new();
    while let Some(encoded) = batches.recv().await {
        let mut encoded = without::<R>(encoded, &over, &shared);
        let mut newly_over = Vec::new();
        let stored = loop {
            if encoded.batch.is_empty() {
                break Vec::new();
            }
            match writer.store(&encoded).await? {
                Outcome::Stored => break encoded.batch.spans().to_vec(),
                Outcome::Abandoned => return Ok(()),
                Outcome::Contested(tenures) => {
                    over.extend(&tenures);
                    newly_over.extend(tenures);
                    encoded = without::<R>(encoded, &over, &shared);
                }
            }
        };
        if finished.send(Finished { lane, stored, over: newly_over }).await.is_err() {
            break; // the reader has gone and waits for nobody
        }
    }
    Ok(())
}

/// The batch without what was read in tenures that are over.
fn without<R: Row>(encoded: Encoded, over: &HashSet<Tenure>, shared: &Shared) -> Encoded {
    if !encoded.batch.spans().iter().any(|span| over.contains(&span.tenure)) {
        return encoded;
    }
    let mut batch = encoded.batch;
    batch.drop_tenures(|tenure| over.contains(&tenure));
    Encoded::new::<R>(batch, window_now(shared))
}
