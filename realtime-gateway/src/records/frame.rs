//! WebSocket frames (RFC 6455), server side: headers of what goes out, a strict reader for what comes in. No I/O.

use bytes::{Buf as _, BytesMut};

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// Continues a message.
    Continuation = 0,
    /// Starts a UTF-8 message.
    Text = 1,
    /// Starts a message of bytes.
    Binary = 2,
    /// Ends the connection.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
    /// Answers a ping.
    Pong = 10,
}

/// Appends the header of a complete, unmasked frame of `length` bytes.
pub fn put_header(out: &mut Vec<u8>, opcode: Opcode, length: usize) {
    out.push(0x80 | opcode as u8);
    if length < 126 {
        out.push(u8::try_from(length).unwrap_or(125));
    } else if let Ok(short) = u16::try_from(length) {
        out.push(126);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// One complete frame.
#[must_use]
pub fn frame(opcode: Opcode, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 10);
    put_header(&mut out, opcode, body.len());
    out.extend_from_slice(body);
    out
}

/// What is in one complete, unmasked frame: the inverse of [`frame`]. `None` where it is none.
#[must_use]
pub fn unframe(frame: &[u8]) -> Option<(Opcode, &[u8])> {
    let opcode = match frame.first()? & 0x0f {
        1 => Opcode::Text,
        2 => Opcode::Binary,
        _ => return None,
    };
    let start = match frame.get(1)? {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    Some((opcode, frame.get(start..)?))
}

/// A close frame; the reason is cut to what fits.
#[must_use]
pub fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut body = code.to_be_bytes().to_vec();
    body.extend_from_slice(&reason.as_bytes()[..end]);
    frame(Opcode::Close, &body)
}

/// What the other side said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A whole text message.
    Text(String),
    /// A whole message of bytes.
    Binary(Vec<u8>),
    /// Wants a pong with this body.
    Ping(Vec<u8>),
    /// Answers our ping.
    Pong,
    /// A part of a message of which more is to come.
    Fragment,
    /// Wants to end, with this code if it named one; nothing follows.
    Close(Option<u16>),
}

/// Why a connection must end, as the close code to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Not what the protocol allows.
    #[error("protocol error")]
    Protocol,
    /// A text message that is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// Larger than this server takes.
    #[error("message too large")]
    TooLarge,
}

impl Violation {
    /// The close code of RFC 6455 §7.4.1.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::NotUtf8 => 1007,
            Self::TooLarge => 1009,
        }
    }
}

/// The code of a close frame's body (RFC 6455 §5.5.1, §7.4).
fn close_code(body: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match body {
        [] => return Ok(None),
        [_] => return Err(Violation::Protocol),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::Protocol);
    }
    std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
    Ok(Some(code))
}

/// Puts messages together out of masked client frames. Holds no memory between messages.
#[derive(Debug, Default)]
pub struct Reader {
    input: BytesMut,
    /// The opcode and body so far of a message that comes in pieces.
    pending: Option<(Opcode, Vec<u8>)>,
}

impl Reader {
    /// A reader of a connection of which `early` was read already.
    #[must_use]
    pub fn after(early: &[u8]) -> Self {
        Self { input: BytesMut::from(early), pending: None }
    }

    /// Adds what was read from the connection.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// What the next frame brings; `None` where more must be read first. Every frame is reported, so that every frame can be counted.
    /// `limit` is the largest message in bytes.
    ///
    /// # Errors
    /// [`Violation`], after which the connection must be closed.
    pub fn next(&mut self, limit: usize) -> Result<Option<Incoming>, Violation> {
        let Some((opcode, fin, body)) = self.take_frame(limit)? else {
            if self.input.is_empty() {
                self.input = BytesMut::new(); // an idle connection keeps no buffer
            }
            return Ok(None);
        };
        let (first, whole) = match opcode {
            Opcode::Close => return close_code(&body).map(|code| Some(Incoming::Close(code))),
            Opcode::Ping => return Ok(Some(Incoming::Ping(body))),
            Opcode::Pong => return Ok(Some(Incoming::Pong)),
            Opcode::Continuation => {
                let (first, mut whole) = self.pending.take().ok_or(Violation::Protocol)?;
                if whole.len() + body.len() > limit {
                    return Err(Violation::TooLarge);
                }
                whole.extend_from_slice(&body);
                (first, whole)
            }
            Opcode::Text | Opcode::Binary if self.pending.is_some() => return Err(Violation::Protocol),
            Opcode::Text | Opcode::Binary => (opcode, body),
        };
        if fin {
            return message(first, whole).map(Some);
        }
        self.pending = Some((first, whole));
        Ok(Some(Incoming::Fragment))
    }

    fn take_frame(&mut self, limit: usize) -> Result<Option<(Opcode, bool, Vec<u8>)>, Violation> {
        let input = &self.input[..];
        let [first, second, ..] = *input else { return Ok(None) };
        let opcode = match first & 0x0f {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return Err(Violation::Protocol),
        };
        let fin = first & 0x80 != 0;
        let control = first & 0x08 != 0;
        // No extension is ever agreed on, so reserved bits must be zero; a client must mask.
        if first & 0x70 != 0 || second & 0x80 == 0 || (control && (!fin || second & 0x7f > 125)) {
            return Err(Violation::Protocol);
        }
        let (length, start) = match second & 0x7f {
            126 => {
                let Some(bytes) = input.get(2..4) else { return Ok(None) };
                (u64::from(u16::from_be_bytes([bytes[0], bytes[1]])), 4)
            }
            127 => {
                let Some(bytes) = input.get(2..10).and_then(|bytes| bytes.try_into().ok()) else { return Ok(None) };
                (u64::from_be_bytes(bytes), 10)
            }
            short => (u64::from(short), 2),
        };
        let length = usize::try_from(length).ok().filter(|length| *length <= limit).ok_or(Violation::TooLarge)?;
        let (mask_end, end) = (start + 4, start + 4 + length);
        if input.len() < end {
            return Ok(None);
        }
        let mask: [u8; 4] = input[start..mask_end].try_into().map_err(|_| Violation::Protocol)?;
        let body = input[mask_end..end].iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        self.input.advance(end);
        Ok(Some((opcode, fin, body)))
    }
}

fn message(opcode: Opcode, body: Vec<u8>) -> Result<Incoming, Violation> {
    match opcode {
        Opcode::Text => String::from_utf8(body).map(Incoming::Text).map_err(|_| Violation::NotUtf8),
        _ => Ok(Incoming::Binary(body)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 70_000;

    /// A frame as a client sends it.
    pub(crate) fn masked(first: u8, body: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut out = Vec::new();
        put_header(&mut out, Opcode::Text, body.len());
        out[0] = first;
        out[1] |= 0x80;
        out.extend_from_slice(&mask);
        out.extend(body.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        out
    }

    fn read_all(reader: &mut Reader, bytes: &[u8]) -> Result<Vec<Incoming>, Violation> {
        reader.feed(bytes);
        let mut all = Vec::new();
        while let Some(message) = reader.next(LIMIT)? {
            all.push(message);
        }
        Ok(all)
    }

    #[test]
    fn a_ping_may_come_between_the_pieces_of_a_message() {
        let mut bytes = masked(0x01, b"4\xc3", [1, 2, 3, 4]);
        bytes.extend(masked(0x89, b"hi", [0; 4]));
        bytes.extend(masked(0x80, b"\xa4", [9; 4]));
        let expected = vec![Incoming::Fragment, Incoming::Ping(b"hi".to_vec()), Incoming::Text("4ä".to_owned())];
        assert_eq!(read_all(&mut Reader::default(), &bytes), Ok(expected));
    }

    #[test]
    fn breaches_are_told_apart() {
        let refused = |bytes: &[u8]| read_all(&mut Reader::default(), bytes).unwrap_err();
        assert_eq!(refused(&frame(Opcode::Text, b"x")), Violation::Protocol, "not masked");
        assert_eq!(refused(&masked(0xc1, b"x", [0; 4])), Violation::Protocol, "reserved bit");
        assert_eq!(refused(&masked(0x83, b"x", [0; 4])), Violation::Protocol, "reserved opcode");
        assert_eq!(refused(&masked(0x80, b"x", [0; 4])), Violation::Protocol, "continues nothing");
        assert_eq!(refused(&masked(0x09, b"x", [0; 4])), Violation::Protocol, "ping in pieces");
        assert_eq!(refused(&masked(0x81, b"\xff", [0; 4])), Violation::NotUtf8);
        assert_eq!(refused(&[0x81, 0xff, 0, 0, 0, 0, 0x10, 0, 0, 0]), Violation::TooLarge, "before its body is read");
        let mut pieces = masked(0x01, &[b'a'; 40_000], [0; 4]);
        pieces.extend(masked(0x80, &[b'a'; 40_000], [0; 4]));
        assert_eq!(refused(&pieces), Violation::TooLarge, "in pieces");
    }

    #[test]
    fn a_close_names_a_code_that_is_one_or_none_at_all() {
        let close = |body: &[u8]| read_all(&mut Reader::default(), &masked(0x88, body, [5; 4]));
        assert_eq!(close(b""), Ok(vec![Incoming::Close(None)]));
        assert_eq!(close(b"\x03\xe8bye"), Ok(vec![Incoming::Close(Some(1000))]));
        assert_eq!(close(b"\x03"), Err(Violation::Protocol));
        assert_eq!(close(b"\x03\xed"), Err(Violation::Protocol), "1005 is never sent");
        assert_eq!(close(b"\x03\xe8\xff"), Err(Violation::NotUtf8));
    }

    #[test]
    fn every_frame_is_reported_so_that_it_can_be_counted() {
        let mut bytes = masked(0x01, b"", [0; 4]);
        for _ in 0..1_000 {
            bytes.extend(masked(0x00, b"", [0; 4]));
        }
        assert_eq!(read_all(&mut Reader::default(), &bytes).unwrap().len(), 1_001);
    }

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        let bytes = close_frame(1008, &"ä".repeat(100));
        assert_eq!(bytes[1], 2 + 122);
        assert!(std::str::from_utf8(&bytes[4..]).is_ok());
    }

    proptest! {
        #[test]
        fn messages_survive_any_way_of_cutting(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
            mask: [u8; 4], step in 1_usize..50,
        ) {
            let bytes: Vec<u8> = bodies.iter().flat_map(|body| masked(0x82, body, mask)).collect();
            let mut reader = Reader::default();
            let mut all = Vec::new();
            for chunk in bytes.chunks(step) {
                all.extend(read_all(&mut reader, chunk).unwrap());
            }
            prop_assert_eq!(all, bodies.into_iter().map(Incoming::Binary).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read_all(&mut Reader::default(), &bytes);
        }

        #[test]
        fn a_header_tells_the_length(length in prop_oneof![0_usize..200, 65_000_usize..66_000]) {
            let sent = masked(0x82, &vec![7; length], [0; 4]);
            let read = read_all(&mut Reader::default(), &sent).unwrap();
            prop_assert_eq!(read, vec![Incoming::Binary(vec![7; length])]);
        }
    }
}
