//! A client that sends raw bytes and reads answers strictly, and what the tests of a running server share.
//!
//! Every read and write has a timeout, so that nothing hangs: what does not come is a failure.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use sws::runtime::Stats;
use sws::{HttpLimits, Router, Running, Server};

/// After this, what did not come will not come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a server on a free port.
pub fn start(router: impl Fn() -> Router + Send + Sync + 'static) -> Running {
    start_with(HttpLimits::default(), router)
}

/// Starts a server with these limits.
pub fn start_with(limits: HttpLimits, router: impl Fn() -> Router + Send + Sync + 'static) -> Running {
    Server::bind("127.0.0.1:0").unwrap().limits(limits).spawn(router).unwrap()
}

/// The counts of the first worker.
pub fn stats(server: &Running) -> Stats {
    let (sender, receiver) = mpsc::channel();
    let ask = move || {
        let _ = sender.send(sws::runtime::stats());
    };
    server.handles()[0].invoke(ask).unwrap();
    receiver.recv_timeout(PATIENCE).expect("the worker answers")
}

/// Asks for the counts again and again until they are as they should be.
pub fn wait_until(server: &Running, what: &str, mut holds: impl FnMut(&Stats) -> bool) {
    let begin = Instant::now();
    loop {
        let now = stats(server);
        if holds(&now) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{what}: {now:#?}");
    }
}

/// All clients are closed: every slot, fiber and buffer must come back. Then the server is shut down.
pub fn settle(server: Running) {
    wait_until(&server, "slots, fibers and buffers come back", |stats| {
        stats.connections == 0
            && stats.fibers == 0
            && stats.fiber_ops == 0
            && stats.receive_buffers.leases == 0
            && stats.buffer_bytes == 0
            && stats.pipes == 0
    });
    server.shutdown();
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header that is there at most once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(held, _)| held.eq_ignore_ascii_case(name));
        let value = values.next();
        assert!(values.next().is_none(), "{name} is there twice: {:?}", self.headers);
        value.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Whether it says that the connection ends.
    pub fn says_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Why there is no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The connection ended where an answer would begin.
    Ended,
    /// It ended inside of an answer.
    Cut,
    /// It was reset.
    Reset,
    /// Nothing came in time.
    Silent,
}

/// A connection to a server.
pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream, buffer: Vec::new() }
    }

    /// Connects and sends.
    pub fn asking(addr: SocketAddr, bytes: impl AsRef<[u8]>) -> Client {
        let mut client = Client::connect(addr);
        client.send(bytes);
        client
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends one byte at a time; stops when the server has closed.
    pub fn send_bytewise(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            if self.stream.write_all(&[*byte]).is_err() {
                return;
            }
        }
    }

    /// A GET over HTTP/1.1 and its answer.
    pub fn get(&mut self, path: &str) -> Answer {
        self.send(get(path));
        self.answer()
    }

    /// Ends our side.
    pub fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next answer, which must be whole.
    pub fn answer(&mut self) -> Answer {
        self.try_answer().unwrap()
    }

    /// The next answer, of which only the head comes: to HEAD.
    pub fn head_answer(&mut self) -> Answer {
        self.head().unwrap()
    }

    /// The next answer, or why there is none.
    pub fn try_answer(&mut self) -> Result<Answer, Broken> {
        let mut answer = self.head()?;
        let bodiless = answer.status < 200 || answer.status == 204 || answer.status == 304;
        let chunked = answer.header("transfer-encoding").map(str::to_owned);
        let length = answer.header("content-length").map(|length| length.parse::<usize>().unwrap());
        answer.body = match (bodiless, chunked, length) {
            (true, None, None) => Vec::new(),
            (true, ..) => panic!("a length where there is no body: {answer:?}"),
            (_, Some(coding), None) => {
                assert_eq!(coding, "chunked");
                self.chunked_body()?
            }
            (_, Some(_), Some(_)) => panic!("two lengths: {answer:?}"),
            (_, None, Some(length)) => self.take(length)?,
            (_, None, None) => self.rest()?,
        };
        Ok(answer)
    }

    /// What comes until the connection ends.
    pub fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        while self.fill()? {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Nothing more may come but the end, by close or by reset.
    pub fn expect_end(&mut self) {
        match self.rest() {
            Ok(rest) => assert_eq!(String::from_utf8_lossy(&rest), "", "nothing more is answered"),
            Err(Broken::Reset) => assert_eq!(self.buffer, b""),
            Err(error) => panic!("the connection should end: {error:?}"),
        }
    }

    /// Whether bytes have come within this time.
    pub fn something_came(&mut self, within: Duration) -> bool {
        self.stream.set_read_timeout(Some(within)).unwrap();
        let filled = self.fill();
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        !matches!(filled, Err(Broken::Silent))
    }

    /// Closes so that the server gets a reset: what came and was not read is lost.
    pub fn reset(self) {
        let mut byte = [0];
        assert!(self.buffer.is_empty(), "the unread bytes must be the kernel's");
        assert_eq!(self.stream.peek(&mut byte).unwrap(), 1, "something unread makes the close a reset");
    }

    fn head(&mut self) -> Result<Answer, Broken> {
        let line = match self.line() {
            Err(Broken::Cut) if self.buffer.is_empty() => return Err(Broken::Ended),
            line => line?,
        };
        let (version, rest) = line.split_at_checked(9).unwrap_or_else(|| panic!("no status line: {line:?}"));
        assert_eq!(version, "HTTP/1.1 ", "in {line:?}");
        let status = rest.get(..3).and_then(|digits| digits.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Answer { status, headers, body: Vec::new() });
            }
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line:?}"));
            headers.push((name.to_owned(), value.to_owned()));
        }
    }

    fn chunked_body(&mut self) -> Result<Vec<u8>, Broken> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("no chunk size: {line:?}"));
            if size == 0 {
                assert_eq!(self.line()?, "", "no trailers");
                return Ok(body);
            }
            body.extend_from_slice(&self.take(size)?);
            assert_eq!(self.line()?, "", "a chunk ends with its line end");
        }
    }

    fn line(&mut self) -> Result<String, Broken> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.buffer[seen..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=seen + at).collect();
                let line = line.strip_suffix(b"\r\n").expect("lines end with CRLF");
                return Ok(String::from_utf8(line.to_vec()).unwrap());
            }
            seen = self.buffer.len();
            if !self.fill()? {
                return Err(Broken::Cut);
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, Broken> {
        while self.buffer.len() < count {
            if !self.fill()? {
                return Err(Broken::Cut);
            }
        }
        let rest = self.buffer.split_off(count);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// Reads once; false at the end.
    fn fill(&mut self) -> Result<bool, Broken> {
        let mut piece = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.buffer.extend_from_slice(&piece[..count]);
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error)),
            }
        }
    }
}

fn broken(error: &io::Error) -> Broken {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Broken::Silent,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Broken::Reset,
        kind => panic!("{kind:?}: {error}"),
    }
}

/// A GET over HTTP/1.1.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A POST over HTTP/1.1 with a length.
pub fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A POST over HTTP/1.1 in chunks.
pub fn post_chunks(path: &str, chunks: &[&str]) -> String {
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in chunks {
        request += &format!("{:x}\r\n{chunk}\r\n", chunk.len());
    }
    request + "0\r\n\r\n"
}
