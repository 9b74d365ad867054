//! What a Redis subscription sends (RESP2), read in place. No I/O.
//!
//! The usual client hands messages over one by one and so hides where one read ended; here that is the whole point, because
//! everything that came with one read leaves with one write per client.

use memchr::memchr;

/// Longest payload in bytes; Redis itself allows 512 MiB, no record comes near this.
const BULK_BYTES_MAX: usize = 16 << 20;

/// One message of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// A published message.
    Message {
        /// Where.
        channel: &'a [u8],
        /// What.
        payload: &'a [u8],
    },
    /// The subscription to one more channel stands.
    Subscribed,
    /// Answers a ping.
    Pong,
    /// `+OK` and the like.
    Ok,
    /// The server refuses something.
    Error(&'a [u8]),
    /// Something else.
    Other,
}

/// Bytes that are no RESP; the connection cannot be trusted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Redis sent bytes that are no reply")]
pub struct Malformed;

/// The first reply in `input` and the bytes that it takes; `None` where more must be read first.
///
/// # Errors
/// [`Malformed`].
pub fn read(input: &[u8]) -> Result<Option<(Reply<'_>, usize)>, Malformed> {
    let Some((line, start)) = line(input)? else { return Ok(None) };
    let (kind, text) = line.split_first().ok_or(Malformed)?;
    match kind {
        b'+' => Ok(Some((if text == b"PONG" { Reply::Pong } else { Reply::Ok }, start))),
        b'-' => Ok(Some((Reply::Error(text), start))),
        b':' => Ok(Some((Reply::Other, start))),
        b'*' => array(input, number(text)?, start),
        _ => Err(Malformed),
    }
}

fn array(input: &[u8], count: usize, start: usize) -> Result<Option<(Reply<'_>, usize)>, Malformed> {
    let mut parts: [&[u8]; 3] = [b""; 3];
    let mut at = start;
    for index in 0..count {
        let Some((part, next)) = element(input, at)? else { return Ok(None) };
        if let Some(slot) = parts.get_mut(index) {
            *slot = part;
        }
        at = next;
    }
    let reply = match (parts[0], count) {
        (b"message", 3) => Reply::Message { channel: parts[1], payload: parts[2] },
        (b"subscribe", 3) => Reply::Subscribed,
        (b"pong", 2) => Reply::Pong,
        _ => Reply::Other,
    };
    Ok(Some((reply, at)))
}

/// A bulk string or an integer inside an array.
fn element(input: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Malformed> {
    let Some((line, start)) = line(&input[at..])? else { return Ok(None) };
    let start = at + start;
    let (kind, text) = line.split_first().ok_or(Malformed)?;
    match kind {
        b':' => Ok(Some((text, start))),
        b'$' if text == b"-1" => Ok(Some((b"", start))),
        b'$' => {
            let end = start + number(text).ok().filter(|length| *length <= BULK_BYTES_MAX).ok_or(Malformed)?;
            match input.get(end..end + 2) {
                None => Ok(None),
                Some(b"\r\n") => Ok(Some((&input[start..end], end + 2))),
                Some(_) => Err(Malformed),
            }
        }
        _ => Err(Malformed),
    }
}

fn line(input: &[u8]) -> Result<Option<(&[u8], usize)>, Malformed> {
    const LINE_BYTES_MAX: usize = 4_096;
    match memchr(b'\n', &input[..input.len().min(LINE_BYTES_MAX)]) {
        None if input.len() >= LINE_BYTES_MAX => Err(Malformed),
        None => Ok(None),
        Some(end) => {
            let line = input[..end].strip_suffix(b"\r").ok_or(Malformed)?;
            Ok(Some((line, end + 1)))
        }
    }
}

fn number(text: &[u8]) -> Result<usize, Malformed> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Malformed)
}

/// A command as Redis takes it.
#[must_use]
pub fn command(words: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(channel: &str, payload: &[u8]) -> Vec<u8> {
        let mut out =
            format!("*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n${}\r\n", channel.len(), payload.len()).into_bytes();
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\r\n");
        out
    }

    #[test]
    fn replies_are_told_apart() {
        let kind = |input: &'static [u8]| read(input).unwrap().unwrap();
        assert_eq!(kind(b"+OK\r\n"), (Reply::Ok, 5));
        assert_eq!(kind(b"+PONG\r\n"), (Reply::Pong, 7));
        assert_eq!(kind(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"), (Reply::Pong, 20));
        assert_eq!(kind(b"-NOAUTH no\r\n"), (Reply::Error(b"NOAUTH no"), 12));
        assert_eq!(kind(b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\nrest").0, Reply::Subscribed);
        for broken in [b"hello\r\n".as_slice(), b"*x\r\n", b"*1\r\n$3\r\nabcd\r\n", b"+OK\n", b"*1\r\n$99999999999\r\n"]
        {
            assert_eq!(read(broken), Err(Malformed));
        }
    }

    proptest! {
        #[test]
        fn messages_come_out_whole_however_they_are_cut(payload in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..300) {
            let bytes = message("stock:trades:pubsub", &payload);
            let part = &bytes[..cut.min(bytes.len() - 1)];
            prop_assert_eq!(read(part), Ok(None));
            let whole = Reply::Message { channel: b"stock:trades:pubsub", payload: &payload };
            prop_assert_eq!(read(&bytes), Ok(Some((whole, bytes.len()))));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'3'), any::<u8>()], 0..80)) {
            let _ = read(&bytes);
        }
    }
}
