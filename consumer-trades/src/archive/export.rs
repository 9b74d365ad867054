//! A day's table to the archive: merged with what the archive already has of the day, uploaded, read back and compared.

use std::cmp::Ordering;
use std::pin::{Pin, pin};

use anyhow::Context as _;
use archive::{Archive, ArchivedDay, ArchivedTrade, DayWriter, Digest};
use futures_util::{Stream, TryStreamExt as _, stream};
use jiff::civil::Date;
use tokio::sync::mpsc;
use tokio_postgres::Client;

use super::table;

/// Trades that go to the writer at once.
const CHUNK: usize = 4096;
/// A line of progress after so many trades.
const PROGRESS_ROWS: u64 = 5_000_000;

/// Archives what a table holds of a day. The table is read in one snapshot and not locked.
///
/// # Errors
/// If a server or the disk fails; the archive then still has what it had.
pub(super) async fn export(client: &Client, archive: &Archive, day: Date, from: &str) -> anyhow::Result<ArchivedDay> {
    let earlier = archive.open(day).await?;
    let kept = stream::iter(
        earlier.into_iter().flat_map(|day| (0..Archive::groups(&day)).map(move |group| (day.clone(), group))),
    );
    let kept = kept.then_group(archive).map_ok(|trades| stream::iter(trades.into_iter().map(anyhow::Ok))).try_flatten();
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let written = write(day, kept, table::read(client, from).await?).await;
    client.batch_execute("COMMIT").await?;
    let (file, digest) = written?;
    archive.publish(day, file.path(), digest).await.with_context(|| format!("cannot archive {day}"))
}

/// Reads row groups one after the other.
trait ThenGroup: Stream<Item = (ArchivedDay, usize)> + Sized {
    fn then_group(self, archive: &Archive) -> impl Stream<Item = anyhow::Result<Vec<ArchivedTrade>>> {
        use futures_util::StreamExt as _;
        self.then(async |(day, group)| Ok(archive.group(&day, group).await?))
    }
}

impl<S: Stream<Item = (ArchivedDay, usize)>> ThenGroup for S {}

/// Merges two streams in key order into a temporary file. Of two trades with one key the stored one wins: a correction may have marked it since.
async fn write(
    day: Date,
    kept: impl Stream<Item = anyhow::Result<ArchivedTrade>>,
    stored: impl Stream<Item = anyhow::Result<ArchivedTrade>>,
) -> anyhow::Result<(tempfile::NamedTempFile, Digest)> {
    let file = tempfile::NamedTempFile::new().context("cannot create a temporary file")?;
    let out = file.reopen()?;
    let (sender, mut chunks) = mpsc::channel::<Vec<ArchivedTrade>>(4);
    let writing = tokio::task::spawn_blocking(move || {
        let mut writer = DayWriter::new(std::io::BufWriter::new(out))?;
        while let Some(chunk) = chunks.blocking_recv() {
            chunk.into_iter().try_for_each(|trade| writer.push(trade))?;
        }
        writer.finish()
    });
    let merged = merge(day, kept, stored, sender).await;
    let digest = writing.await?.with_context(|| format!("cannot write the archive file of {day}"))?; // the cause, if the merge ended for it
    merged?;
    Ok((file, digest))
}

async fn merge(
    day: Date,
    kept: impl Stream<Item = anyhow::Result<ArchivedTrade>>,
    stored: impl Stream<Item = anyhow::Result<ArchivedTrade>>,
    sender: mpsc::Sender<Vec<ArchivedTrade>>,
) -> anyhow::Result<()> {
    let (mut kept, mut stored): (Pin<&mut _>, Pin<&mut _>) = (pin!(kept), pin!(stored));
    let (mut old, mut new) = (kept.try_next().await?, stored.try_next().await?);
    let (mut chunk, mut rows) = (Vec::with_capacity(CHUNK), 0_u64);
    loop {
        let order = match (&old, &new) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.by_key(new),
        };
        let next = match order {
            Ordering::Less => old.take(),
            Ordering::Greater | Ordering::Equal => new.take(),
        };
        if order.is_le() {
            old = kept.try_next().await?;
        }
        if order.is_ge() {
            new = stored.try_next().await?;
        }
        chunk.extend(next);
        rows += 1;
        if rows.is_multiple_of(PROGRESS_ROWS) {
            tracing::info!(%day, rows, "archiving");
        }
        if chunk.len() == CHUNK && sender.send(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK))).await.is_err()
        {
            return Ok(()); // the writer has failed and says why itself
        }
    }
    sender.send(chunk).await.ok();
    Ok(())
}
