//! What a peer of a WebSocket says first, and what it hears.

use sws::websocket::codec::{DecodeLimits, Decoder, Deflater, Event, Inflater};

/// What is agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Plain,
    /// Each message is compressed for itself.
    Deflate,
    /// Messages refer to earlier ones.
    Takeover,
}

impl Mode {
    /// As a path names it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Plain => "plain",
            Mode::Deflate => "deflate",
            Mode::Takeover => "takeover",
        }
    }

    pub fn deflater(self) -> Option<Deflater> {
        (self != Mode::Plain).then(|| Deflater::new(1, 15, self == Mode::Takeover))
    }
}

/// The request for a socket.
pub fn handshake(path: &str, mode: Mode) -> Vec<u8> {
    let extensions = match mode {
        Mode::Plain => "",
        Mode::Deflate | Mode::Takeover => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: sim\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extensions}\r\n"
    )
    .into_bytes()
}

/// What a server says, but for its pings.
#[derive(Clone, PartialEq, Eq)]
pub enum Heard {
    Message { text: bool, payload: Vec<u8> },
    Pong(Vec<u8>),
    Close(Option<u16>),
}

impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Heard::Message { payload, .. } => {
                let begin = String::from_utf8_lossy(&payload[..payload.len().min(16)]);
                write!(f, "{begin:?}+{}", payload.len())
            }
            Heard::Pong(payload) => write!(f, "pong {payload:?}"),
            Heard::Close(code) => write!(f, "close {code:?}"),
        }
    }
}

/// All that was said so far; `None` before the upgrade.
///
/// # Panics
/// If it is not what a server may say.
pub fn hear(mode: Mode, received: &[u8]) -> Option<Vec<Heard>> {
    let head = received.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    if !received.starts_with(b"HTTP/1.1 101 ") {
        return None;
    }
    let mut rest = &received[head..];
    let limits = DecodeLimits { compression: mode != Mode::Plain, ..DecodeLimits::default() };
    let mut inflater = Inflater::new(15, mode == Mode::Takeover);
    let (mut decoder, mut message, mut heard) = (Decoder::client(), Vec::new(), Vec::new());
    loop {
        let step = decoder.next(rest, &mut message, &limits);
        rest = &rest[step.consumed..];
        match step.event {
            Event::NeedMore => return Some(heard),
            Event::Message { text, compressed } => {
                let mut payload = std::mem::take(&mut message);
                if compressed {
                    let sent = std::mem::take(&mut payload);
                    inflater.decompress(&sent, &mut payload, limits.message_bytes_max).expect("inflates");
                }
                heard.push(Heard::Message { text, payload });
            }
            Event::Ping(_) => {}
            Event::Pong(payload) => heard.push(Heard::Pong(payload.as_slice().to_vec())),
            Event::Close(frame) => {
                heard.push(Heard::Close(frame.code));
                assert!(rest.is_empty(), "nothing follows a close frame");
                return Some(heard);
            }
            Event::Reject(error) => panic!("{error:?} behind {heard:?}"),
        }
    }
}
