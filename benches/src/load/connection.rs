//! One connection of the client, and a set of them behind one epoll.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use super::{AnswerReader, Errors, Malformed};
use crate::sys::{Epoll, Event, NO_EVENT};

/// Why a connection was given up.
#[derive(Debug)]
#[non_exhaustive]
pub enum AskError {
    /// A system call failed.
    Io(io::Error),
    /// The server closed the connection while answers were due.
    Closed,
    /// What came was not the answer asked for.
    Malformed(Malformed),
    /// More answers came than were asked for.
    Unasked,
    /// The socket took only part of a request.
    ShortWrite,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::Io(error) => write!(f, "{error}"),
            AskError::Closed => f.write_str("closed by the server"),
            AskError::Malformed(malformed) => write!(f, "{malformed}"),
            AskError::Unasked => f.write_str("an answer nobody asked for"),
            AskError::ShortWrite => f.write_str("a request was taken in part"),
        }
    }
}

impl std::error::Error for AskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            AskError::Io(error) => Some(error),
            AskError::Malformed(malformed) => Some(malformed),
            AskError::Closed | AskError::Unasked | AskError::ShortWrite => None,
        }
    }
}

impl From<io::Error> for AskError {
    fn from(error: io::Error) -> Self {
        AskError::Io(error)
    }
}

impl From<Malformed> for AskError {
    fn from(malformed: Malformed) -> Self {
        AskError::Malformed(malformed)
    }
}

/// The bytes of one GET for `path`, with the fields a plain client sends.
pub fn request(addr: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n").into_bytes()
}

/// A connection with what it is owed.
pub struct Connection {
    stream: TcpStream,
    reader: AnswerReader,
    /// Answers due.
    pub due: u32,
    /// When the latency of the answers due began.
    pub since: Instant,
}

impl Connection {
    /// Sends `bytes`, in which there are `requests`, in one write.
    pub fn ask(&mut self, bytes: &[u8], requests: u32, since: Instant) -> Result<(), AskError> {
        let sent = (&self.stream).write(bytes)?;
        if sent < bytes.len() {
            return Err(AskError::ShortWrite);
        }
        self.due += requests;
        self.since = since;
        Ok(())
    }

    /// Reads once; how many answers ended in it.
    fn read(&mut self, buffer: &mut [u8]) -> Result<u32, AskError> {
        let got = match (&self.stream).read(buffer) {
            Ok(0) => return Err(AskError::Closed),
            Ok(got) => got,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(e) => return Err(e.into()),
        };
        let answers = self.reader.read(&buffer[..got])?;
        self.due = self.due.checked_sub(answers).ok_or(AskError::Unasked)?;
        Ok(answers)
    }
}

/// Connections by index; one that erred is gone, and its error is counted.
pub struct Connections {
    epoll: Epoll,
    open: Vec<Option<Connection>>,
    events: Vec<Event>,
    buffer: Vec<u8>,
    /// What went wrong on those that are gone.
    pub errors: Errors,
}

const READ_BYTES: usize = 64 * 1024;
/// Events that one wait takes, at most.
const EVENTS_MAX: usize = 1024;

impl Connections {
    /// Opens `count` connections, one after the other.
    pub fn open(addr: SocketAddr, count: usize) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let mut open = Vec::with_capacity(count);
        for index in 0..count {
            let stream = TcpStream::connect(addr)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll.add(stream.as_raw_fd(), libc::EPOLLIN, index as u64)?;
            let reader = AnswerReader::default();
            open.push(Some(Connection { stream, reader, due: 0, since: Instant::now() }));
        }
        let events = vec![NO_EVENT; count.clamp(1, EVENTS_MAX)];
        Ok(Connections { epoll, open, events, buffer: vec![0; READ_BYTES], errors: Errors::default() })
    }

    /// Takes at most so many events with one wait.
    pub fn events_per_wait(mut self, events: usize) -> Self {
        self.events.truncate(events.max(1));
        self
    }

    /// How many there were at first: indices go from 0 to this.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Answers due on all of them.
    pub fn due(&self) -> u64 {
        self.open.iter().flatten().map(|connection| u64::from(connection.due)).sum()
    }

    /// True if every connection is gone.
    pub fn all_gone(&self) -> bool {
        self.open.iter().all(Option::is_none)
    }

    /// Asks on one connection; false if it is gone.
    pub fn ask(&mut self, index: usize, bytes: &[u8], requests: u32, since: Instant) -> bool {
        let Some(connection) = &mut self.open[index] else { return false };
        match connection.ask(bytes, requests, since) {
            Ok(()) => true,
            Err(error) => {
                self.give_up(index, &error);
                false
            }
        }
    }

    /// Waits for at most `timeout`, reads once where there is something, and calls `on_answers` with the
    /// connection's index, itself and how many answers ended.
    pub fn poll(
        &mut self,
        timeout: Duration,
        mut on_answers: impl FnMut(usize, &mut Connection, u32) -> Result<(), AskError>,
    ) -> io::Result<()> {
        let ready = self.epoll.wait(&mut self.events, Some(timeout))?;
        for at in 0..ready {
            let index = self.events[at].u64 as usize;
            let Some(connection) = &mut self.open[index] else { continue };
            let outcome = match connection.read(&mut self.buffer) {
                Ok(0) => Ok(()),
                Ok(answers) => on_answers(index, connection, answers),
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                self.give_up(index, &error);
            }
        }
        Ok(())
    }

    /// Counts the answers that are due for longer than `patience` as errors.
    pub fn count_overdue(&mut self, patience: Duration) {
        let overdue = self.open.iter().flatten().filter(|c| c.due > 0 && c.since.elapsed() > patience);
        let times = overdue.map(|c| u64::from(c.due)).sum();
        self.errors.add_many("no answer in time", times);
    }

    fn give_up(&mut self, index: usize, error: &AskError) {
        self.errors.add(error);
        self.open[index] = None;
    }
}
