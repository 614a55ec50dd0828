//! A subscriber that checks every record it gets, and comes again by offset when it is gone.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use crate::ws::{self, FrameHead};

/// How it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Server-Sent Events; it comes again with `Last-Event-ID`.
    Sse,
    /// A WebSocket; it comes again with an offset.
    WebSocket,
}

/// The topic that is followed.
pub const TOPIC: &str = "followed";

/// The text of a record: its number, so that a wrong one is noticed.
pub fn text(number: u64) -> String {
    format!("record {number} of a topic that somebody follows")
}

/// What reading has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many records, each the next one.
    Records(u64),
    /// The server has ended the connection.
    Closed,
}

/// One subscriber.
pub struct Follower {
    kind: Kind,
    /// While it is connected.
    pub stream: Option<TcpStream>,
    /// What was not whole.
    partial: Vec<u8>,
    is_open: bool,
    /// The number of the record that is to come next: so many it has.
    pub next: u64,
    /// The number that the last `id:` line said.
    id: Option<u64>,
    /// When it breaks off, or comes again.
    pub turns: Instant,
}

fn wrong(what: &str, bytes: &[u8]) -> io::Error {
    let seen = String::from_utf8_lossy(&bytes[..bytes.len().min(160)]).into_owned();
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {seen:?}"))
}

impl Follower {
    /// One that has nothing yet.
    pub fn new(kind: Kind, turns: Instant) -> Follower {
        Follower { kind, stream: None, partial: Vec::new(), is_open: false, next: 0, id: None, turns }
    }

    /// Connects, and asks for what it does not have.
    pub fn connect(&mut self, addr: SocketAddr) -> io::Result<()> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        let head = match self.kind {
            Kind::WebSocket => ws::upgrade_request(addr, "/topics", false),
            Kind::Sse => {
                let last = match self.next {
                    0 => String::new(),
                    next => format!("Last-Event-ID: {}\r\n", next - 1),
                };
                format!(
                    "GET /topics/{TOPIC}/0/events?offset=earliest HTTP/1.1\r\nHost: {addr}\r\nAccept: text/event-stream\r\n{last}\r\n"
                )
                .into_bytes()
            }
        };
        stream.write_all(&head)?;
        stream.set_nonblocking(true)?;
        self.partial.clear();
        (self.is_open, self.id) = (false, None);
        self.stream = Some(stream);
        Ok(())
    }

    /// Breaks off, with whatever was not read.
    pub fn break_off(&mut self) {
        self.stream = None;
    }

    /// Reads once. An error if a record is not the next one.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Progress> {
        let Some(stream) = &mut self.stream else { return Ok(Progress::Records(0)) };
        let got = match stream.read(buffer) {
            Ok(0) => return Ok(Progress::Closed),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Records(0)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Progress::Closed),
            Err(error) => return Err(error),
        };
        self.partial.extend_from_slice(&buffer[..got]);
        let bytes = std::mem::take(&mut self.partial);
        let before = self.next;
        let (taken, is_closed) = self.take(&bytes)?;
        self.partial = bytes;
        self.partial.drain(..taken);
        // What came before the end was taken.
        if is_closed { Ok(Progress::Closed) } else { Ok(Progress::Records(self.next - before)) }
    }

    /// Takes what is whole: how many bytes that is, and whether the server has said that it ends.
    fn take(&mut self, bytes: &[u8]) -> io::Result<(usize, bool)> {
        let mut at = 0;
        if !self.is_open {
            let Some(end) = memchr::memmem::find(bytes, ws::HEAD_END) else { return Ok((0, false)) };
            at = end + ws::HEAD_END.len();
            self.open(&bytes[..at])?;
        }
        match self.kind {
            Kind::Sse => {
                while let Some(end) = memchr::memchr(b'\n', &bytes[at..]) {
                    self.line(bytes[at..at + end].trim_ascii_end())?;
                    at += end + 1;
                }
            }
            Kind::WebSocket => {
                while let Some(head) = FrameHead::read(&bytes[at..]) {
                    let (from, to) = (at + head.bytes, at + head.bytes + head.payload_bytes as usize);
                    let Some(payload) = bytes.get(from..to) else { break };
                    at = to;
                    match head.first & 0xf {
                        ws::CLOSE => return Ok((at, true)),
                        ws::TEXT => self.message(payload)?,
                        _ => {}
                    }
                }
            }
        }
        Ok((at, false))
    }

    fn open(&mut self, head: &[u8]) -> io::Result<()> {
        self.is_open = true;
        match self.kind {
            Kind::Sse if head.starts_with(b"HTTP/1.1 200 ") => Ok(()),
            Kind::Sse => Err(wrong("events are not given", head)),
            Kind::WebSocket => {
                ws::check_upgrade(head, false).map_err(io::Error::other)?;
                let what = format!(r#"{{"op":"subscribe","topic":"{TOPIC}","offset":{}}}"#, self.next);
                let mut frame = Vec::new();
                ws::push_masked(&mut frame, ws::FIN | ws::TEXT, [3, 1, 4, 1], what.as_bytes());
                let stream = self.stream.as_mut().expect("it was just read from");
                stream.write_all(&frame)
            }
        }
    }

    /// A line of events. Those of chunks, comments and names say nothing about records.
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if let Some(digits) = line.strip_prefix(b"id: ") {
            self.id = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        } else if let Some(data) = line.strip_prefix(b"data: ") {
            let id = self.id.take();
            self.check(id, data)?;
        } else if line.starts_with(b"event: ") {
            return Err(wrong("an event that is no record", line));
        }
        Ok(())
    }

    fn message(&mut self, message: &[u8]) -> io::Result<()> {
        if memchr::memmem::find(message, br#""op":"record""#).is_none() {
            let is_answer = memchr::memmem::find(message, br#""op":"subscribed""#).is_some();
            return if is_answer { Ok(()) } else { Err(wrong("a message that is no record", message)) };
        }
        let behind = |name: &[u8]| memchr::memmem::find(message, name).map(|at| &message[at + name.len()..]);
        let digits = behind(br#""offset":"#).unwrap_or_default();
        let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
        let offset = std::str::from_utf8(&digits[..end]).ok().and_then(|digits| digits.parse().ok());
        let text = behind(br#""text":""#).unwrap_or_default();
        let text = &text[..memchr::memchr(b'"', text).unwrap_or(0)];
        self.check(offset, text)
    }

    fn check(&mut self, offset: Option<u64>, data: &[u8]) -> io::Result<()> {
        if offset != Some(self.next) {
            let what = format!("record {} was due and {offset:?} came ({:?})", self.next, self.kind);
            return Err(wrong(&what, data));
        }
        if data != text(self.next).as_bytes() {
            return Err(wrong(&format!("record {} is not what was produced", self.next), data));
        }
        self.next += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sse(from: u64, to: u64) -> Vec<u8> {
        let events = (from..to).map(|number| format!("id: {number}\ndata: {}\n\n", text(number)));
        format!("HTTP/1.1 200 OK\r\n\r\n{}", events.collect::<String>()).into_bytes()
    }

    fn taken(mut follower: Follower, bytes: &[u8]) -> io::Result<u64> {
        follower.take(bytes).map(|_| follower.next)
    }

    #[test]
    fn a_gap_a_repetition_and_a_wrong_text_are_noticed() {
        let new = || Follower::new(Kind::Sse, Instant::now());
        assert_eq!(taken(new(), &sse(0, 3)).unwrap(), 3);
        assert!(taken(new(), &sse(1, 3)).is_err(), "a gap");
        assert!(taken(new(), &[sse(0, 2), b"id: 1\ndata: x\n\n".to_vec()].concat()).is_err(), "a repetition");
        let wrong = b"HTTP/1.1 200 OK\r\n\r\nid: 0\ndata: other\n\n";
        assert!(taken(new(), wrong).is_err(), "a wrong text");
    }

    #[test]
    fn messages_are_checked_too() {
        let mut follower = Follower::new(Kind::WebSocket, Instant::now());
        let record = |number| format!(r#"{{"op":"record","offset":{number},"text":"{}"}}"#, text(number));
        follower.message(br#"{"op":"subscribed","next":0}"#).unwrap();
        follower.message(record(0).as_bytes()).unwrap();
        assert_eq!(follower.next, 1);
        assert!(follower.message(record(0).as_bytes()).is_err());
        assert!(follower.message(br#"{"op":"error"}"#).is_err());
    }
}
