//! Plain, gzip and zip files to streams of bytes that are checked for having arrived whole.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use zip::{CompressionMethod, ZipArchive};

/// What the bytes are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A header line, then one bar a line.
    Delimited,
    /// One JSON object a line.
    JsonLines,
    /// One JSON document.
    Json,
}

impl Kind {
    fn of(name: &Path) -> anyhow::Result<Self> {
        match extension(name).as_str() {
            "csv" | "tsv" | "txt" => Ok(Self::Delimited),
            "ndjson" | "jsonl" => Ok(Self::JsonLines),
            "json" => Ok(Self::Json),
            _ => bail!(
                "{}: files of this kind are not understood; expected .csv, .tsv, .txt, .json, .ndjson or .jsonl, each also as .gz or inside a .zip",
                name.display()
            ),
        }
    }
}

/// One file, or one member of an archive.
#[derive(Clone, Debug)]
pub(super) struct Input {
    path: PathBuf,
    name: PathBuf,
    kind: Kind,
    packed: Packed,
}

#[derive(Clone, Debug)]
enum Packed {
    Plain,
    Gzip,
    Member { start: u64, bytes: u64, deflated: bool, size: u64, checksum: u32 },
}

impl Input {
    /// The path, for a member of an archive with the member's name behind it.
    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes; reading fails at the end if they are not what was packed.
    pub(super) fn open(&self) -> anyhow::Result<Box<dyn Read + Send>> {
        let mut file = File::open(&self.path)?;
        Ok(match self.packed {
            Packed::Plain => Box::new(file),
            Packed::Gzip => Box::new(MultiGzDecoder::new(BufReader::new(file))),
            Packed::Member { start, bytes, deflated, size, checksum } => {
                file.seek(SeekFrom::Start(start))?;
                let packed = BufReader::new(file).take(bytes);
                let inner: Box<dyn Read + Send> =
                    if deflated { Box::new(DeflateDecoder::new(packed)) } else { Box::new(packed) };
                Box::new(Checked { inner, hasher: crc32fast::Hasher::new(), read: 0, size, checksum })
            }
        })
    }
}

/// The file, or the members of the archive, at `path`.
///
/// # Errors
/// If it cannot be read or holds something that is not understood.
pub(super) fn inputs(path: &Path) -> anyhow::Result<Vec<Input>> {
    let mut magic = [0; 4];
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let length = file.read(&mut magic).with_context(|| format!("cannot read {}", path.display()))?;
    let magic = &magic[..length];
    if magic.starts_with(b"PK\x03\x04") && extension(path) != "xlsx" {
        return members(path, file).with_context(|| path.display().to_string());
    }
    let gzip = magic.starts_with(&[0x1f, 0x8b]);
    let name = if gzip && extension(path) == "gz" { path.with_extension("") } else { path.to_owned() };
    let packed = if gzip { Packed::Gzip } else { Packed::Plain };
    Ok(vec![Input { path: path.to_owned(), name: path.to_owned(), kind: Kind::of(&name)?, packed }])
}

fn members(path: &Path, file: File) -> anyhow::Result<Vec<Input>> {
    let mut archive = ZipArchive::new(file).context("the archive cannot be read; it may be cut off")?;
    let mut inputs = Vec::new();
    for at in 0..archive.len() {
        let member = archive.by_index_raw(at)?;
        let name = member.name().context("a member's name cannot be read")?.into_owned();
        if !member.is_file() || name.starts_with("__MACOSX/") || name.ends_with(".DS_Store") {
            continue;
        }
        ensure!(!member.encrypted(), "`{name}` is encrypted; unpack it first");
        let deflated = match member.compression() {
            CompressionMethod::Stored => false,
            CompressionMethod::Deflated => true,
            other => bail!("`{name}` is packed with {other}; unpack it first"),
        };
        let start = member.data_start().with_context(|| format!("`{name}` has no data"))?;
        let (bytes, size, checksum) = (member.compressed_size(), member.size(), member.crc32());
        let packed = Packed::Member { start, bytes, deflated, size, checksum };
        inputs.push(Input { path: path.to_owned(), kind: Kind::of(Path::new(&name))?, name: path.join(name), packed });
    }
    ensure!(!inputs.is_empty(), "the archive holds no files");
    Ok(inputs)
}

fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// Compares what was unpacked with what the archive says about it.
struct Checked {
    inner: Box<dyn Read + Send>,
    hasher: crc32fast::Hasher,
    read: u64,
    size: u64,
    checksum: u32,
}

impl Read for Checked {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(out)?;
        self.hasher.update(&out[..length]);
        self.read += length as u64;
        if length == 0 && !out.is_empty() && (self.read != self.size || self.hasher.clone().finalize() != self.checksum)
        {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the archive is damaged: wrong size or checksum"));
        }
        Ok(length)
    }
}
