//! PostgreSQL's binary COPY format, written by hand into one buffer: no allocation and no dynamic dispatch per value.
//!
//! A stream is [`HEADER`], then rows (a count of fields, then each field as length and value, big-endian), then [`TRAILER`].

/// What every stream starts with: signature, no flags, no extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What every stream ends with.
pub const TRAILER: &[u8] = &[0xff, 0xff];

/// Microseconds from 1970 to 2000, where PostgreSQL's time starts.
const EPOCH_2000_US: i64 = 946_684_800_000_000;

/// Appends the fields of one row; the order is the table's column list.
#[derive(Debug)]
pub struct RowWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> RowWriter<'a> {
    /// Starts a row of `fields` fields at the end of `out`.
    pub fn start(out: &'a mut Vec<u8>, fields: i16) -> Self {
        out.extend_from_slice(&fields.to_be_bytes());
        Self { out }
    }

    /// A `text`.
    ///
    /// # Panics
    /// Where the text is 2 GiB or longer: records are far smaller.
    pub fn text(&mut self, text: &str) {
        let length = i32::try_from(text.len()).expect("a field is far below 2 GiB");
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(text.as_bytes());
    }

    /// A `text` that may be absent.
    pub fn text_or_null(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    /// A `text` of several pieces with commas between them; NULL where there are none.
    ///
    /// # Panics
    /// Where the text is 2 GiB or longer: records are far smaller.
    pub fn list_or_null<'t>(&mut self, pieces: impl IntoIterator<Item = &'t str>) {
        let at = self.out.len();
        self.null();
        let start = self.out.len();
        for (count, piece) in pieces.into_iter().enumerate() {
            if count > 0 {
                self.out.push(b',');
            }
            self.out.extend_from_slice(piece.as_bytes());
        }
        if self.out.len() > start {
            let length = i32::try_from(self.out.len() - start).expect("a field is far below 2 GiB");
            self.out[at..start].copy_from_slice(&length.to_be_bytes());
        }
    }

    /// A `double precision`.
    pub fn float8(&mut self, value: f64) {
        self.fixed(value.to_be_bytes());
    }

    /// A `double precision` that may be absent.
    pub fn float8_or_null(&mut self, value: Option<f64>) {
        match value {
            Some(value) => self.float8(value),
            None => self.null(),
        }
    }

    /// A `bigint`.
    pub fn int8(&mut self, value: i64) {
        self.fixed(value.to_be_bytes());
    }

    /// A `bigint` that may be absent.
    pub fn int8_or_null(&mut self, value: Option<i64>) {
        match value {
            Some(value) => self.int8(value),
            None => self.null(),
        }
    }

    /// A `boolean`.
    pub fn boolean(&mut self, value: bool) {
        self.fixed([u8::from(value)]);
    }

    /// A `timestamptz` from Unix nanoseconds, cut to the microsecond.
    pub fn timestamptz(&mut self, unix_ns: i64) {
        self.int8(unix_ns.div_euclid(1000) - EPOCH_2000_US);
    }

    /// A `timestamptz` that may be absent.
    pub fn timestamptz_or_null(&mut self, unix_ns: Option<i64>) {
        match unix_ns {
            Some(unix_ns) => self.timestamptz(unix_ns),
            None => self.null(),
        }
    }

    /// A NULL of any type.
    pub fn null(&mut self) {
        self.out.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    fn fixed<const N: usize>(&mut self, value: [u8; N]) {
        const { assert!(N < 256) };
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        self.out.extend_from_slice(&[0, 0, 0, N as u8]);
        self.out.extend_from_slice(&value);
    }
}
