//! `producer record`: keeps raw frames for the decoder and for replays.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use service::{CancellationToken, Health};

use crate::connection::dial::Internet;
use crate::connection::keep_connected;
use crate::connection::outlet::Outlet;
use crate::demand::Watched;
use crate::feeds::event::Event;
use crate::feeds::protocol::{Frame, Step};
use crate::feeds::{FeedSettings, part_name};

/// Records one feed until `stop`.
///
/// # Errors
/// Where several feeds are set up, the file exists or cannot be written, or the feed refuses for good.
pub async fn run(
    (feeds, internet): (Vec<FeedSettings>, Internet),
    path: PathBuf,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let [settings] = feeds.as_slice() else {
        bail!("a recording holds the frames of one feed: name one in FEED");
    };
    let file = File::create_new(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let recorder = Recorder::new(BufWriter::new(file), stop.clone());
    let part = Health::new("record").part(part_name(settings.feed()));
    let failure = recorder.failure.clone();
    keep_connected(internet, settings.protocol(), recorder, Watched::default(), part, stop).await?;
    let failure = failure.lock().map_or(None, |mut failure| failure.take());
    ensure!(failure.is_none(), "cannot write {}: {}", path.display(), failure.unwrap_or_default());
    Ok(())
}

/// Writes each frame on a line of its own: text as it is, bytes in hex. Only what the server says is written, and no key is in that.
struct Recorder<W> {
    out: W,
    stop: CancellationToken,
    failure: std::sync::Arc<std::sync::Mutex<Option<String>>>,
}

impl<W: Write> Recorder<W> {
    fn new(out: W, stop: CancellationToken) -> Self {
        Self { out, stop, failure: Default::default() }
    }

    fn write(&mut self, frame: Option<Frame<'_>>) -> std::io::Result<()> {
        match frame {
            None => return self.out.flush(), // a second has passed: what came is on disk, whatever happens next
            // A line break is white space in JSON and cannot stand in its texts.
            Some(Frame::Text(text)) => self.out.write_all(text.replace(['\r', '\n'], " ").as_bytes())?,
            Some(Frame::Binary(bytes)) => bytes.iter().try_for_each(|byte| write!(self.out, "{byte:02x}"))?,
        }
        self.out.write_all(b"\n")
    }
}

impl<W: Write + Send + Sync> Outlet for Recorder<W> {
    fn connected(&mut self) {}

    fn frame(&mut self, raw: Option<Frame<'_>>, decode: impl FnOnce(&mut dyn FnMut(Event)) -> Step) -> Step {
        if let Err(error) = self.write(raw) {
            if let Ok(mut failure) = self.failure.lock() {
                failure.get_or_insert(error.to_string());
            }
            self.stop.cancel();
        }
        decode(&mut |_| {})
    }

    fn lost(&mut self, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_what_the_decoder_reads() {
        let mut recorder = Recorder::new(Vec::new(), CancellationToken::new());
        for frame in [Frame::Text("[\n]"), Frame::Binary(&[0x90, 0x0a])] {
            recorder.frame(Some(frame), |_| Step::default());
        }
        assert_eq!(String::from_utf8(recorder.out.clone()).unwrap(), "[ ]\n900a\n");
    }
}
