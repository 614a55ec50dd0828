//! What floors and client share of RFC 6455: the upgrade, frame heads, masks. Without checks beyond what keeps a
//! measurement honest. Pure.

use std::net::SocketAddr;

/// The key that the client asks with (RFC 6455, section 1.3), always the same.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What a server answers to [`KEY`].
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The end of a head of HTTP.
pub const HEAD_END: &[u8; 4] = b"\r\n\r\n";
/// The greatest frame head: two bytes, eight of length, four of mask.
pub const FRAME_HEAD_BYTES_MAX: usize = 14;

/// A text frame.
pub const TEXT: u8 = 0x1;
/// A binary frame.
pub const BINARY: u8 = 0x2;
/// A close frame.
pub const CLOSE: u8 = 0x8;
/// A ping.
pub const PING: u8 = 0x9;
/// A pong.
pub const PONG: u8 = 0xa;
/// The last frame of a message.
pub const FIN: u8 = 0x80;
/// Compressed, where permessage-deflate was agreed on (RFC 7692).
pub const RSV1: u8 = 0x40;

/// The upgrade as the client sends it; `deflate` offers permessage-deflate without context takeover.
pub fn upgrade_request(addr: SocketAddr, path: &str, deflate: bool) -> Vec<u8> {
    let extensions = if deflate {
        "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n"
    } else {
        ""
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{extensions}\r\n"
    )
    .into_bytes()
}

/// Why a head is not the answer to [`upgrade_request`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeError {
    /// Another status than 101; zero: no status line of HTTP/1.1.
    Status(u16),
    /// The key is not answered, or wrongly.
    Accept,
    /// permessage-deflate was offered and not agreed on, or agreed on and not offered.
    Extensions,
}

impl std::fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            UpgradeError::Status(status) => write!(f, "the upgrade was answered with status {status}"),
            UpgradeError::Accept => f.write_str("the upgrade's key was not answered rightly"),
            UpgradeError::Extensions => f.write_str("the upgrade's extensions are not those asked for"),
        }
    }
}

impl std::error::Error for UpgradeError {}

/// Checks the head of an answer to [`upgrade_request`].
pub fn check_upgrade(head: &[u8], deflate: bool) -> Result<(), UpgradeError> {
    let status = head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
    let status = status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or(0);
    if status != 101 {
        return Err(UpgradeError::Status(status));
    }
    if field(head, "sec-websocket-accept") != Some(ACCEPT.as_bytes()) {
        return Err(UpgradeError::Accept);
    }
    let agreed = field(head, "sec-websocket-extensions")
        .is_some_and(|value| memchr::memmem::find(value, b"permessage-deflate").is_some());
    if agreed == deflate { Ok(()) } else { Err(UpgradeError::Extensions) }
}

/// The value of a field of a head, without the spaces around it.
pub fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|&byte| byte == b'\n').find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
    })
}

/// Appends the head of a frame whose first byte is `first`; without a mask.
pub fn push_head(out: &mut Vec<u8>, first: u8, payload_bytes: usize) {
    match payload_bytes {
        0..=125 => out.extend_from_slice(&[first, payload_bytes as u8]),
        126..=0xffff => {
            out.extend_from_slice(&[first, 126]);
            out.extend_from_slice(&(payload_bytes as u16).to_be_bytes());
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
}

/// Appends a client's frame, masked with `mask`.
pub fn push_masked(out: &mut Vec<u8>, first: u8, mask: [u8; 4], payload: &[u8]) {
    let at = out.len();
    push_head(out, first, payload.len());
    out[at + 1] |= 0x80;
    out.extend_from_slice(&mask);
    push_unmasked(out, mask, payload);
}

/// Appends `bytes` with `mask` applied from its first byte on.
pub fn push_unmasked(out: &mut Vec<u8>, mask: [u8; 4], bytes: &[u8]) {
    let from = out.len();
    out.extend_from_slice(bytes);
    let mask_word = u64::from_ne_bytes([mask, mask].concat().try_into().expect("twice four bytes"));
    let mut words = out[from..].chunks_exact_mut(8);
    for word in &mut words {
        let value = u64::from_ne_bytes((&*word).try_into().expect("eight bytes")) ^ mask_word;
        word.copy_from_slice(&value.to_ne_bytes());
    }
    words.into_remainder().iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    /// Zero where the frame has none.
    pub mask: [u8; 4],
    /// Bytes of the payload.
    pub payload_bytes: u64,
    /// Bytes of the head itself.
    pub bytes: usize,
}

impl FrameHead {
    /// Reads it from the beginning of `bytes`; `None` where it is not whole.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (payload_bytes, at) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
            127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
            short => (u64::from(short), 2),
        };
        if second & 0x80 == 0 {
            return Some(FrameHead { first, mask: [0; 4], payload_bytes, bytes: at });
        }
        let mask = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(FrameHead { first, mask, payload_bytes, bytes: at + 4 })
    }

    /// Whether it is the head of a control frame.
    pub fn is_control(&self) -> bool {
        self.first & 0x8 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_are_written() {
        for payload_bytes in [0, 1, 125, 126, 0xffff, 0x1_0000, 1 << 20] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let mut bytes = Vec::new();
                push_head(&mut bytes, FIN | TEXT, payload_bytes);
                if let Some(mask) = mask {
                    bytes[1] |= 0x80;
                    bytes.extend_from_slice(&mask);
                }
                for cut in 0..bytes.len() {
                    assert_eq!(FrameHead::read(&bytes[..cut]), None, "{payload_bytes}, cut at {cut}");
                }
                let expected = FrameHead {
                    first: FIN | TEXT,
                    mask: mask.unwrap_or_default(),
                    payload_bytes: payload_bytes as u64,
                    bytes: bytes.len(),
                };
                assert_eq!(FrameHead::read(&bytes), Some(expected));
            }
        }
    }

    #[test]
    fn a_mask_is_undone_at_any_length() {
        let payload: Vec<u8> = (0..=100).collect();
        for length in 0..payload.len() {
            let mut masked = Vec::new();
            push_unmasked(&mut masked, [7, 90, 3, 255], &payload[..length]);
            let expected: Vec<u8> = (0..length).map(|at| payload[at] ^ [7, 90, 3, 255][at % 4]).collect();
            assert_eq!(masked, expected);
        }
    }

    #[test]
    fn an_upgrade_is_checked() {
        let good = format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-ACCEPT: {ACCEPT}\r\n\r\n");
        assert_eq!(check_upgrade(good.as_bytes(), false), Ok(()));
        assert_eq!(check_upgrade(good.as_bytes(), true), Err(UpgradeError::Extensions));
        assert_eq!(check_upgrade(b"HTTP/1.1 404 Not Found\r\n\r\n", false), Err(UpgradeError::Status(404)));
        assert_eq!(check_upgrade(b"HTTP/1.1 101 Yes\r\n\r\n", false), Err(UpgradeError::Accept));
        assert_eq!(check_upgrade(b"junk", false), Err(UpgradeError::Status(0)));
        assert_eq!(
            tokio_tungstenite::tungstenite::handshake::derive_accept_key(KEY.as_bytes()),
            ACCEPT,
            "as another library computes it"
        );
    }
}
