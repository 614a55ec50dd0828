//! A peer that knows nothing of the codec: it builds frames of any kind and takes those of the server strictly.

use crate::common::PATIENCE;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

pub const FIN: u8 = 0x80;
pub const RSV1: u8 = 0x40;
pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// The lines of a handshake behind the request line, as a client of RFC 6455, 4.1 sends them.
pub const HANDSHAKE: [&str; 5] = [
    "Host: a",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(held, _)| held == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// A frame of the server. That it is not masked and its length minimal is checked where it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

/// A frame of a server.
pub fn frame(first: u8, payload: impl AsRef<[u8]>) -> Frame {
    Frame { first, payload: payload.as_ref().to_vec() }
}

/// The payload of a close frame.
pub fn code(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// A masked frame as bytes.
pub fn masked(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    bytes
}

/// A connection to the server.
pub struct Peer {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Peer {
    pub fn connect(addr: SocketAddr) -> Peer {
        let stream = TcpStream::connect(addr).expect("connects");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        Peer { stream, buffer: Vec::new() }
    }

    /// Connects and sends a request of this line and these headers; gives the head of the answer.
    pub fn ask<S: AsRef<[u8]>>(
        addr: SocketAddr,
        line: &str,
        headers: impl IntoIterator<Item = S>,
    ) -> (Peer, Head) {
        let mut peer = Peer::connect(addr);
        let mut bytes = format!("{line}\r\n").into_bytes();
        for header in headers {
            bytes.extend_from_slice(header.as_ref());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        peer.send(&bytes);
        let head = peer.head();
        (peer, head)
    }

    /// Connects and upgrades.
    pub fn open(addr: SocketAddr, path: &str) -> Peer {
        Peer::open_with(addr, path, &[]).0
    }

    /// Connects and upgrades, with further headers.
    pub fn open_with(addr: SocketAddr, path: &str, more: &[&str]) -> (Peer, Head) {
        let headers = HANDSHAKE.iter().chain(more);
        let (peer, head) = Peer::ask(addr, &format!("GET {path} HTTP/1.1"), headers);
        assert_eq!(head.status, 101, "{path} {more:?}: {head:?}");
        (peer, head)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("sends");
    }

    /// Sends a masked frame.
    pub fn frame(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        self.send(masked(first, payload));
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            let mut piece = [0; 16 * 1024];
            let read = self.stream.read(&mut piece).expect("bytes come");
            assert!(read > 0, "the connection has ended behind {:?}", self.buffer.escape_ascii().to_string());
            self.buffer.extend_from_slice(&piece[..read]);
        }
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.take(1));
        }
        String::from_utf8(line).expect("the head is text").trim_end().to_owned()
    }

    /// The head of an answer.
    pub fn head(&mut self) -> Head {
        let line = self.line();
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {line}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return Head { status, headers };
            }
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line}"));
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    /// The next frame: not masked (RFC 6455, 5.1), its length in the shortest form, bits 2 and 3 clear (5.2).
    pub fn next(&mut self) -> Frame {
        let head = self.take(2);
        assert_eq!(head[0] & 0x30, 0, "RSV2 and RSV3 are 0");
        assert_eq!(head[1] & 0x80, 0, "a server masks no frame");
        let len = match head[1] {
            126 => {
                let len = u16::from_be_bytes(self.take(2).try_into().expect("two bytes"));
                assert!(len > 125, "{len} in 16 bits");
                usize::from(len)
            }
            127 => {
                let len = u64::from_be_bytes(self.take(8).try_into().expect("eight bytes"));
                assert!(len > 0xffff && len >> 63 == 0, "{len} in 64 bits");
                len as usize
            }
            short => usize::from(short),
        };
        if head[0] & 8 != 0 {
            assert!(
                len <= 125 && head[0] & FIN != 0 && head[0] & RSV1 == 0,
                "a control frame: {head:?}, {len}"
            );
        }
        Frame { first: head[0], payload: self.take(len) }
    }

    /// The server ends its side first, and nothing comes before: this side is still open.
    pub fn ended(&mut self) {
        let mut rest = std::mem::take(&mut self.buffer);
        self.stream.read_to_end(&mut rest).expect("an orderly end");
        assert_eq!(rest.escape_ascii().to_string(), "", "nothing comes behind");
    }

    /// The next frame closes with this code, and the connection is ended by the server.
    #[track_caller]
    pub fn failed(&mut self, expected: u16) {
        let frame = self.next();
        assert_eq!(frame.first, FIN | CLOSE, "{frame:?}");
        assert_eq!(frame.payload.get(..2), Some(&expected.to_be_bytes()[..]), "{frame:?}");
        self.ended();
    }
}
