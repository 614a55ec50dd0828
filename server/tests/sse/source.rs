//! A client of event streams, after the text of WHATWG HTML, section 9.2: what a browser makes of the bytes.

use super::common::PATIENCE;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// An event as a page gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub event: String,
    pub id: String,
    pub data: String,
}

/// An event of the default kind, without an id.
pub fn message(data: &str) -> Received {
    Received { event: "message".to_owned(), id: String::new(), data: data.to_owned() }
}

impl Received {
    pub fn id(mut self, id: &str) -> Received {
        self.id = id.to_owned();
        self
    }

    pub fn event(mut self, event: &str) -> Received {
        self.event = event.to_owned();
        self
    }
}

/// The state of the parser between two lines.
#[derive(Default)]
struct Parser {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed belongs to it.
    after_cr: bool,
    is_first: Option<()>,
    data: String,
    event_type: String,
    id_buffer: String,
    retry: Option<u64>,
    comments: usize,
    dispatched: VecDeque<Received>,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let joined = std::mem::take(&mut self.after_cr) && byte == b'\n';
            if joined {
                continue;
            }
            match byte {
                b'\r' | b'\n' => {
                    self.after_cr = byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    let line = String::from_utf8(line).expect("a stream is UTF-8");
                    // One leading byte order mark of the stream is ignored.
                    let first = self.is_first.replace(()).is_none();
                    let line = if first { line.strip_prefix('\u{feff}').unwrap_or(&line) } else { &line };
                    self.line(line);
                }
                _ => self.line.push(byte),
            }
        }
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            return self.dispatch();
        }
        match line.split_once(':') {
            Some(("", _)) => self.comments += 1,
            Some((name, value)) => self.field(name, value.strip_prefix(' ').unwrap_or(value)),
            None => self.field(line, ""),
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        match name {
            "event" => self.event_type = value.to_owned(),
            "data" => {
                self.data += value;
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id_buffer = value.to_owned(),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok();
            }
            "id" | "retry" => {}
            _ => panic!("a field that nobody sent: {name:?}: {value:?}"),
        }
    }

    fn dispatch(&mut self) {
        let event_type = std::mem::take(&mut self.event_type);
        let mut data = std::mem::take(&mut self.data);
        if data.pop().is_none() {
            return;
        }
        let event = if event_type.is_empty() { "message".to_owned() } else { event_type };
        self.dispatched.push_back(Received { event, id: self.id_buffer.clone(), data });
    }
}

/// An open stream.
pub struct Source {
    pub stream: TcpStream,
    pub status: u16,
    headers: Vec<(String, String)>,
    parser: Parser,
}

impl Source {
    /// Sends a request and reads the head of its answer.
    pub fn open(addr: SocketAddr, request: &str) -> Source {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Source { stream, status: status.expect("a status"), headers, parser: Parser::default() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(held, _)| held == name);
        let value = values.next();
        assert!(values.next().is_none(), "{name} is there twice");
        value.map(|(_, value)| value.as_str())
    }

    /// The next event.
    pub fn event(&mut self) -> Received {
        loop {
            if let Some(event) = self.parser.dispatched.pop_front() {
                return event;
            }
            assert!(self.fill(), "the stream ended before its event");
        }
    }

    /// Waits until this many comments have come.
    pub fn comments(&mut self, count: usize) {
        while self.parser.comments < count {
            assert!(self.fill(), "the stream ended before its comment");
        }
    }

    pub fn comments_seen(&self) -> usize {
        self.parser.comments
    }

    /// What the client was asked to wait for.
    pub fn retry(&self) -> Option<u64> {
        self.parser.retry
    }

    /// The events until the stream ends.
    pub fn rest(mut self) -> Vec<Received> {
        while self.fill() {}
        self.parser.dispatched.into()
    }

    fn fill(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        let count = self.stream.read(&mut piece).expect("a stream that goes on, or ends in order");
        self.parser.feed(&piece[..count]);
        count > 0
    }
}
