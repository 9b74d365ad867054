//! The ledger's files: `EPOCH-REPORT.entries` grows with every trade, `EPOCH-REPORT.report` waits until its report is safe.
//!
//! They are written without a sync: what was written outlives the process, however it is killed, and only that is asked of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;

use market::SentReport;

use super::entry::Cells;

const ENTRIES: &str = "entries";
const REPORT: &str = "report";

/// The folder.
#[derive(Clone, Debug)]
pub struct Files(PathBuf);

impl Files {
    /// Creates the folder if it is missing.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    fn path(&self, epoch: i64, report: u64, extension: &str) -> PathBuf {
        self.0.join(format!("{epoch}-{report}.{extension}"))
    }

    /// A new file for the entries of a report.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn begin(&self, epoch: i64, report: u64) -> io::Result<File> {
        File::create(self.path(epoch, report, ENTRIES))
    }

    /// Puts a report in the place of its entries.
    ///
    /// # Errors
    /// If the disk refuses; the entries stay then.
    pub fn close(&self, parts: &[SentReport]) -> io::Result<()> {
        let Some(SentReport { epoch, report, .. }) = parts.first() else { return Ok(()) };
        let unfinished = self.path(*epoch, *report, "next");
        let mut file = File::create(&unfinished)?;
        for part in parts {
            file.write_all(&part.encode())?;
            file.write_all(b"\n")?;
        }
        fs::rename(&unfinished, self.path(*epoch, *report, REPORT))?;
        match fs::remove_file(self.path(*epoch, *report, ENTRIES)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what is left of a report that is safe.
    pub fn remove(&self, epoch: i64, report: u64) {
        for extension in [ENTRIES, REPORT] {
            if let Err(error) = fs::remove_file(self.path(epoch, report, extension))
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, epoch, report, "cannot remove a report of the ledger");
            }
        }
    }

    /// The reports that earlier runs left, by epoch and number; each run's end is said. Files that are none of ours are left alone.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn left(&self) -> io::Result<Vec<Vec<SentReport>>> {
        let mut runs: BTreeMap<i64, BTreeMap<u64, Vec<SentReport>>> = BTreeMap::new();
        for file in fs::read_dir(&self.0)? {
            let path = file?.path();
            let extension = path.extension().and_then(|text| text.to_str()).unwrap_or_default();
            let Some((epoch, report)) = path.file_stem().and_then(|text| numbers(text.to_str()?)) else { continue };
            let parts = match extension {
                // A report stands for its entries, if a kill left both.
                ENTRIES if !self.path(epoch, report, REPORT).exists() => {
                    let mut cells = Cells::default();
                    cells.read(&fs::read(&path)?);
                    let at = modified_ms(&path);
                    cells.take(&SentReport { epoch, report, at, ..SentReport::default() })
                }
                REPORT => fs::read(&path)?
                    .split(|byte| *byte == b'\n')
                    .filter_map(|line| SentReport::decode(line).ok())
                    .collect(),
                _ => continue,
            };
            runs.entry(epoch).or_default().insert(report, parts);
        }
        let mut left = Vec::new();
        for (epoch, reports) in runs {
            let newest = reports.last_key_value().and_then(|(report, parts)| Some((*report, parts.last()?.at)));
            left.extend(reports.into_values());
            if let Some((report, at)) = newest {
                left.push(vec![SentReport {
                    epoch,
                    report: report + 1,
                    parts: 1,
                    at,
                    last: true,
                    ..SentReport::default()
                }]);
            }
        }
        Ok(left)
    }
}

fn numbers(stem: &str) -> Option<(i64, u64)> {
    let (epoch, report) = stem.split_once('-')?;
    Some((epoch.parse().ok()?, report.parse().ok()?))
}

fn modified_ms(path: &std::path::Path) -> i64 {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let since_1970 =
        modified.and_then(|at| at.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
