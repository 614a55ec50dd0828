//! A WebSocket client made of the codec: it frames, cuts and compresses as a test says, and reads strictly.

#![allow(dead_code, reason = "each test file uses a part of it")]

use super::common::PATIENCE;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use sws::Running;
use sws::websocket::SocketStats;
use sws::websocket::codec::{DecodeLimits, Decoder, Deflater, Event, Inflater, Opcode, encode_frame_masked};

/// What the two sides agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// No compression.
    Plain,
    /// Each message is compressed for itself.
    Deflate,
    /// Messages refer to earlier ones.
    Takeover,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Plain, Mode::Deflate, Mode::Takeover];

    /// As a path names it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Plain => "plain",
            Mode::Deflate => "deflate",
            Mode::Takeover => "takeover",
        }
    }

    fn answer(self) -> Option<&'static str> {
        match self {
            Mode::Plain => None,
            Mode::Deflate => {
                Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
            }
            Mode::Takeover => Some("permessage-deflate"),
        }
    }

    /// The compressor of this side.
    pub fn deflater(self, level: u8) -> Option<Deflater> {
        (self != Mode::Plain).then(|| Deflater::new(level, 15, self == Mode::Takeover))
    }

    fn inflater(self) -> Option<Inflater> {
        (self != Mode::Plain).then(|| Inflater::new(15, self == Mode::Takeover))
    }
}

/// The head that asks for a socket.
pub fn handshake(path: &str, mode: Mode) -> String {
    let extensions = match mode {
        Mode::Plain => "",
        Mode::Deflate | Mode::Takeover => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extensions}\r\n"
    )
}

/// Connects and upgrades.
pub fn connect(addr: SocketAddr, path: &str, mode: Mode) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("nodelay");
    stream.write_all(handshake(path, mode).as_bytes()).expect("sends");
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head comes");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let agreed = head.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
    assert_eq!(agreed, mode.answer(), "{head}");
    stream
}

/// A random mask.
pub fn mask(rng: &mut fastrand::Rng) -> [u8; 4] {
    rng.u32(..).to_ne_bytes()
}

/// Appends a message in fragments that end at `cuts` and with the message. `between` may append control frames before each
/// fragment but the first.
pub fn encode_message(
    out: &mut Vec<u8>,
    rng: &mut fastrand::Rng,
    (text, compressed): (bool, bool),
    payload: &[u8],
    cuts: &[usize],
    mut between: impl FnMut(&mut Vec<u8>, &mut fastrand::Rng),
) {
    let mut from = 0;
    for (number, to) in cuts.iter().copied().chain([payload.len()]).enumerate() {
        let opcode = match (number, text) {
            (0, true) => Opcode::Text,
            (0, false) => Opcode::Binary,
            _ => Opcode::Continuation,
        };
        if number > 0 {
            between(out, rng);
        }
        let (fin, rsv1) = (number == cuts.len(), compressed && number == 0);
        encode_frame_masked(out, fin, rsv1, opcode, mask(rng), &payload[from..to]);
        from = to;
    }
}

/// What a server sends.
#[derive(Clone, PartialEq, Eq)]
pub enum Heard {
    Message { text: bool, payload: Vec<u8> },
    Ping,
    Pong(Vec<u8>),
    Close(Option<u16>),
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Heard::Message { text, payload } => {
                let begin = String::from_utf8_lossy(&payload[..payload.len().min(40)]);
                write!(f, "{} of {} bytes: {begin:?}", if *text { "text" } else { "binary" }, payload.len())
            }
            Heard::Ping => f.write_str("ping"),
            Heard::Pong(payload) => write!(f, "pong {payload:?}"),
            Heard::Close(code) => write!(f, "close {code:?}"),
        }
    }
}

/// Why nothing more is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nothing is there now.
    Later,
    /// The connection has ended or is broken.
    Over,
}

/// Reads what a server sends.
pub struct Ear {
    decoder: Decoder,
    inflater: Option<Inflater>,
    limits: DecodeLimits,
    input: Vec<u8>,
    taken: usize,
    message: Vec<u8>,
    /// Messages that came compressed.
    pub compressed: u64,
}

impl Ear {
    pub fn new(mode: Mode) -> Ear {
        let bytes_max = 64 << 20;
        Ear {
            decoder: Decoder::client(),
            inflater: mode.inflater(),
            limits: DecodeLimits {
                frame_bytes_max: bytes_max,
                message_bytes_max: bytes_max,
                compression: mode != Mode::Plain,
            },
            input: Vec::new(),
            taken: 0,
            message: Vec::new(),
            compressed: 0,
        }
    }

    /// The next that is heard. Whatever breaks the protocol is a failure.
    pub fn hear(&mut self, stream: &mut TcpStream) -> Result<Heard, Silence> {
        loop {
            let step = self.decoder.next(&self.input[self.taken..], &mut self.message, &self.limits);
            self.taken += step.consumed;
            match step.event {
                Event::Message { text, compressed } => {
                    let mut payload = std::mem::take(&mut self.message);
                    if compressed {
                        let mut inflated = Vec::new();
                        let inflater = self.inflater.as_mut().expect("it was agreed on");
                        inflater.decompress(&payload, &mut inflated, 64 << 20).expect("inflates");
                        payload = inflated;
                        self.compressed += 1;
                    }
                    return Ok(Heard::Message { text, payload });
                }
                Event::Ping(_) => return Ok(Heard::Ping),
                Event::Pong(payload) => return Ok(Heard::Pong(payload.as_slice().to_vec())),
                Event::Close(frame) => return Ok(Heard::Close(frame.code)),
                Event::NeedMore => self.read(stream)?,
                Event::Reject(error) => panic!("{error:?}"),
            }
        }
    }

    fn read(&mut self, stream: &mut TcpStream) -> Result<(), Silence> {
        self.input.drain(..self.taken);
        self.taken = 0;
        let before = self.input.len();
        self.input.resize(before + 64 * 1024, 0);
        let got = stream.read(&mut self.input[before..]);
        self.input.truncate(before + *got.as_ref().unwrap_or(&0));
        match got {
            Ok(0) => Err(Silence::Over),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Silence::Later),
            Err(_) => Err(Silence::Over),
        }
    }
}

/// What the sockets of the first worker hold.
pub fn socket_stats(server: &Running) -> SocketStats {
    let (sender, receiver) = mpsc::channel();
    let ask = move || {
        // A test that has failed no longer listens.
        let _ = sender.send(sws::websocket::stats());
    };
    server.handles()[0].invoke(ask).expect("the worker runs");
    receiver.recv_timeout(PATIENCE).expect("the worker answers")
}
