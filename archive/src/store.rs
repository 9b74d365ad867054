//! Where the days lie: `trades/day=2026-11-27/trades.parquet` below a folder, or any other object store.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use jiff::civil::Date;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};
use tokio::io::AsyncReadExt as _;

use crate::error::Error;
use crate::read::{DayIndex, Parsed};
use crate::trade::{ArchivedTrade, Digest};

/// Bytes of an upload's part: object stores take no smaller ones than 5 MiB.
const PART_BYTES: usize = 8 << 20;
/// Bytes of a file's end that are read first; the index of 71 M rows is about 1.3 MiB.
const TAIL_BYTES: u64 = 256 << 10;

/// The archive of closed days. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Archive {
    objects: Arc<dyn ObjectStore>,
}

/// A day that can be read.
#[derive(Clone, Debug)]
pub struct ArchivedDay {
    /// The UTC day.
    pub day: Date,
    /// Size of its file.
    pub bytes: u64,
    path: Path,
    version: String,
    index: Arc<DayIndex>,
}

impl ArchivedDay {
    /// Count and hash of the day.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.index.digest()
    }
}

impl Archive {
    /// An archive in a folder, which is created if it is missing.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be created, [`Error::Storage`] if it is not a folder.
    pub fn in_folder(folder: &FilePath) -> Result<Self, Error> {
        std::fs::create_dir_all(folder)?;
        let objects = LocalFileSystem::new_with_prefix(folder)?.with_automatic_cleanup(true);
        Ok(Self { objects: Arc::new(objects) })
    }

    /// The days that are archived, oldest first, with the size of each file.
    ///
    /// # Errors
    /// [`Error::Storage`] if the store does not answer.
    pub async fn days(&self) -> Result<BTreeMap<Date, u64>, Error> {
        let objects: Vec<_> = self.objects.list(Some(&Path::from("trades"))).try_collect().await?;
        Ok(objects.into_iter().filter_map(|object| Some((day_of(&object.location)?, object.size))).collect())
    }

    /// Opens a day; `None` if it is not archived.
    ///
    /// # Errors
    /// [`Error::Parquet`] or [`Error::Foreign`] if its file is damaged or was written by something else.
    pub async fn open(&self, day: Date) -> Result<Option<ArchivedDay>, Error> {
        self.open_at(day, path_of(day)).await
    }

    /// Opens a day again: costs one small question if its file is still the one of `known`.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub async fn reopen(&self, day: Date, known: Option<ArchivedDay>) -> Result<Option<ArchivedDay>, Error> {
        match self.objects.head(&path_of(day)).await {
            Ok(object) if known.as_ref().is_some_and(|known| known.version == version_of(&object)) => Ok(known),
            Ok(_) => self.open(day).await,
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn open_at(&self, day: Date, path: Path) -> Result<Option<ArchivedDay>, Error> {
        let object = match self.objects.head(&path).await {
            Ok(object) => object,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (bytes, version) = (object.size, version_of(&object));
        let mut tail = TAIL_BYTES.min(bytes);
        loop {
            let read = self.objects.get_range(&path, bytes - tail..bytes).await?;
            match DayIndex::parse(read, bytes)? {
                Parsed::Index(index) => {
                    return Ok(Some(ArchivedDay { day, bytes, path, version, index: Arc::new(index) }));
                }
                Parsed::NeedsBytes(needed) => tail = (needed as u64).clamp(tail + 1, bytes),
            }
        }
    }

    /// Every trade of a day, one row group after the other, in the order of their keys.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub async fn group(&self, day: &ArchivedDay, group: usize) -> Result<Vec<ArchivedTrade>, Error> {
        let bytes = self.objects.get_range(&day.path, day.index.byte_range(group)).await?;
        let index = Arc::clone(&day.index);
        tokio::task::spawn_blocking(move || index.decode(group, bytes)).await?
    }

    /// Number of row groups of a day.
    #[must_use]
    pub fn groups(day: &ArchivedDay) -> usize {
        day.index.groups()
    }

    /// The row groups of a day that may hold trades of `symbol` within `range_ns` (Unix nanoseconds), in order.
    #[must_use]
    pub fn groups_of(day: &ArchivedDay, symbol: &str, range_ns: &Range<i64>) -> Vec<usize> {
        day.index.groups_of(symbol, range_ns)
    }

    /// Uploads a finished local file beside a day's place, reads it back whole, and only then moves it there. A file that is already there is
    /// replaced in one step: readers see the old day or the new one, never an unverified one.
    ///
    /// # Errors
    /// [`Error::Digest`] if what was read back is not `expected`.
    pub async fn publish(&self, day: Date, file: &FilePath, expected: Digest) -> Result<ArchivedDay, Error> {
        let beside = beside(day);
        let mut upload = self.objects.put_multipart(&beside).await?;
        let sent = async {
            let mut file = tokio::fs::File::open(file).await?;
            loop {
                let mut part = Vec::with_capacity(PART_BYTES);
                let read = (&mut file).take(PART_BYTES as u64).read_to_end(&mut part).await?;
                if read == 0 {
                    break;
                }
                upload.put_part(Bytes::from(part).into()).await?;
            }
            upload.complete().await?;
            Ok::<(), Error>(())
        };
        if let Err(error) = sent.await {
            upload.abort().await.ok(); // the first error is the one that helps
            return Err(error);
        }
        self.verify_at(day, beside.clone(), expected).await?;
        self.objects.rename(&beside, &path_of(day)).await?;
        self.open(day).await?.ok_or_else(|| missing(day))
    }

    /// Reads a day whole and compares it with what it should be.
    ///
    /// # Errors
    /// [`Error::Digest`] if it is something else, [`Error::Foreign`] if it is not there.
    pub async fn verify(&self, day: Date, expected: Digest) -> Result<ArchivedDay, Error> {
        self.verify_at(day, path_of(day), expected).await
    }

    async fn verify_at(&self, day: Date, path: Path, expected: Digest) -> Result<ArchivedDay, Error> {
        let archived = self.open_at(day, path).await?.ok_or_else(|| missing(day))?;
        let mut found = Digest::default();
        for group in 0..Self::groups(&archived) {
            self.group(&archived, group).await?.iter().for_each(|trade| found.add(trade));
        }
        if found != expected || archived.digest() != expected {
            return Err(Error::Digest {
                day,
                found: found.rows,
                found_hash: found.hash,
                expected: expected.rows,
                expected_hash: expected.hash,
            });
        }
        Ok(archived)
    }

    /// Removes a day.
    ///
    /// # Errors
    /// [`Error::Storage`] if the store refuses.
    pub async fn remove(&self, day: Date) -> Result<(), Error> {
        Ok(self.objects.delete(&path_of(day)).await?)
    }
}

/// Changes whenever a day's file is replaced.
fn version_of(object: &ObjectMeta) -> String {
    format!("{:?} {} {}", object.e_tag, object.last_modified, object.size)
}

fn path_of(day: Date) -> Path {
    Path::from_iter(["trades".to_owned(), format!("day={day}"), "trades.parquet".to_owned()])
}

/// Where a day's next file waits until it is verified; no reader looks for this name.
fn beside(day: Date) -> Path {
    Path::from_iter(["trades".to_owned(), format!("day={day}"), "trades.parquet.unverified".to_owned()])
}

fn missing(day: Date) -> Error {
    Error::Foreign(format!("{day} is not in the archive"))
}

fn day_of(path: &Path) -> Option<Date> {
    let parts: Vec<_> = path.parts().collect();
    let [trades, day, file] = parts.as_slice() else { return None };
    if trades.as_ref() != "trades" || file.as_ref() != "trades.parquet" {
        return None;
    }
    day.as_ref().strip_prefix("day=")?.parse().ok()
}
