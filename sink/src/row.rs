//! What the sink must know about a kind of record: how to make a row of it, and where the row goes.

use crate::batch::Coordinates;
use crate::copy::RowWriter;

/// Why a record cannot be a row: the sentence that its dead letter carries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Refusal {
    /// Takes any error's text.
    pub fn from_error(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// A kind of record and its table.
pub trait Row: Send + Sync + 'static {
    /// The table, with its schema.
    const TABLE: &'static str;
    /// The table's columns in the order in which [`Row::encode`] writes them.
    const COLUMNS: &'static [&'static str];
    /// How rows get into the table.
    const STORE: Store;
    /// What has to be brought in line with the merged rows, in the same transaction; it may look at the temporary table `batch`.
    const FOLLOW_UP: Option<&'static str> = None;
    /// Records of another kind that may have come before the rows they speak of.
    const AWAITED: Option<Awaited> = None;
    /// Tries again at most `$1` (`integer`) rows that wait for something and returns how many it tried. Run a few times a second; it must
    /// never wait for a lock.
    const REVISIT: Option<&'static str> = None;
    /// A number that the table knows.
    const WATCHED: Option<Watched> = None;
    /// Creates the partitions of the days in `$1` (`date[]`), where the table has one a day.
    const ENSURE_PARTITIONS: Option<&'static str> = None;
    /// Removes a part of what is older than `$1` days and says in one `text` what it was; NULL when nothing is left. `None`
    /// where rows are kept for ever.
    const EXPIRE: Option<&'static str>;

    /// Writes one row and says where it belongs. `row` starts the row when the fields are known to be good.
    ///
    /// # Errors
    /// [`Refusal`] where the payload is not a valid record; nothing of the row may be written then.
    fn encode(payload: &[u8], at: Coordinates, row: StartRow<'_>) -> Result<Place, Refusal>;
}

/// A number that the table knows, measured a few times a minute.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// The metric's name without the service's.
    pub gauge: &'static str,
    /// What it counts, for `# HELP`.
    pub help: &'static str,
    /// The query, whose first value is the number (`bigint`); its cost must not grow with the table.
    pub sql: &'static str,
}

/// A kind of record that an audit follows from hop to hop.
pub trait Audited: Row {
    /// Counts rows by symbol and minute (start in Unix nanoseconds) from `$1` to before `$2`, both in Unix nanoseconds, of the symbol `$3`
    /// or, where that is NULL, of all: all of them, and those that hold, which are the ones that the API serves.
    const COUNT_BY_MINUTE: &'static str;
    /// Whether the producer reports how many of them it sent.
    const IS_REPORTED: bool;
    /// What the API calls such records in `/v2/stocks/{symbol}/…`.
    const API_NAME: &'static str;

    /// Which record this is; `None` where it is not valid, or of a kind that is not audited.
    fn identify(payload: &[u8], at: Coordinates) -> Option<Identity>;
}

/// How to find what waits for the rows of a batch, and bring both together, in the batch's own transaction. The search is one small
/// query a batch; which of its names are those of rows in the batch is then found out here, without asking the database.
#[derive(Clone, Copy, Debug)]
pub struct Awaited {
    /// The query for names (`text`, one a row) under which something waits for rows whose time is within these two, both in Unix
    /// nanoseconds.
    pub find: fn(i64, i64) -> String,
    /// The [`Place::awaited_as`] of the rows that a name means.
    pub key: fn(&str) -> u64,
    /// Settles what waits under the names `$1` (`text[]`).
    pub settle: &'static str,
}

/// Which record it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its instrument.
    pub symbol: String,
    /// Its time in Unix nanoseconds.
    pub ts_ns: i64,
    /// A hash of its natural key.
    pub key: u64,
    /// Its place in the live stream: epoch and seq.
    pub position: Option<(i64, u64)>,
    /// Its size in millionths of a share.
    pub millionths: i64,
}

/// Where a row belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Rows of a batch are written in this order, equal ones as they came: see [`Place::near`].
    pub order: u64,
    /// Its time in Unix nanoseconds.
    pub ts_ns: i64,
    /// A hash of the name under which something may wait for it; 0 where nothing ever does.
    pub awaited_as: u64,
}

impl Place {
    /// A row whose key in the table begins with `name`. The first eight bytes decide; names that differ later stay mixed, which
    /// costs a little speed and nothing else.
    #[must_use]
    pub fn near(name: &[u8], ts_ns: i64) -> Self {
        let mut order = [0; 8];
        let length = name.len().min(8);
        order[..length].copy_from_slice(&name[..length]);
        Self { order: u64::from_be_bytes(order), ts_ns, awaited_as: 0 }
    }

    /// The same row, for which something may wait under a name with this hash.
    #[must_use]
    pub fn awaited_as(self, key: u64) -> Self {
        Self { awaited_as: key, ..self }
    }
}

/// How rows get into their table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Straight `COPY`; on a unique violation the batch again through the temporary table and this statement.
    CopyThenMerge(&'static str),
    /// Always through the temporary table and this statement.
    Merge(&'static str),
}

impl Store {
    /// The statement that moves all rows of the temporary table `batch` into the real one. It returns one `bigint`: how many
    /// rows are new or newer than what was there.
    #[must_use]
    pub fn merge_sql(&self) -> &'static str {
        match self {
            Self::CopyThenMerge(sql) | Self::Merge(sql) => sql,
        }
    }
}

/// The place of the next row; used up by starting it.
#[derive(Debug)]
pub struct StartRow<'a> {
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) fields: usize,
}

impl<'a> StartRow<'a> {
    /// Starts the row.
    ///
    /// # Panics
    /// Where a table has more than 32,767 columns.
    #[must_use]
    pub fn start(self) -> RowWriter<'a> {
        RowWriter::start(self.out, i16::try_from(self.fields).expect("a table has few columns"))
    }
}
