//! The client of the log's measurements: producers that each wait for their answer, over HTTP, WebSocket or Redis' protocol, by the
//! same loop over epoll; beside them light requests at a fixed rate.
//!
//! What counts is an answer that says that the record was taken. Latency begins before the write.

pub mod protocol;
pub mod server;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::load::{Edge, Errors, Report};
use crate::sys::{Epoll, Event, NO_EVENT};
use crate::ws;
use protocol::{Protocol, Reader};

/// Where the log's WebSocket is.
pub const SOCKET_PATH: &str = "/topics";
/// How long nothing may come while an answer is due.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest head of an upgrade's answer.
const HEAD_BYTES_MAX: usize = 4096;

/// A connection that has at most one request under way.
pub struct Asker {
    stream: TcpStream,
    reader: Reader,
    /// When its request was sent, or, if it is one at a time of its own, was to be; `None`: it is free.
    pub since: Option<Instant>,
}

impl Asker {
    /// Connects, and upgrades where the protocol wants it.
    pub fn open(addr: SocketAddr, protocol: Protocol) -> io::Result<Asker> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        if protocol == Protocol::WebSocket {
            upgrade(&stream, addr, SOCKET_PATH)?;
        }
        stream.set_nonblocking(true)?;
        Ok(Asker { stream, reader: protocol.reader(), since: None })
    }

    /// Sends a request in one write.
    pub fn ask(&mut self, request: &[u8], since: Instant) -> io::Result<()> {
        self.since = Some(since);
        match (&self.stream).write(request)? {
            sent if sent == request.len() => Ok(()),
            _ => Err(io::Error::other("a request was taken in part")),
        }
    }

    /// Reads once. When the request was sent, if its answer ended.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<Instant>> {
        let got = match (&self.stream).read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        match self.reader.read(&buffer[..got]).map_err(io::Error::other)? {
            0 => Ok(None),
            1 => Ok(self.since.take()),
            _ => Err(io::Error::other("an answer nobody asked for")),
        }
    }
}

/// Opens a WebSocket on a blocking connection.
pub fn upgrade(mut stream: &TcpStream, addr: SocketAddr, path: &str) -> io::Result<()> {
    stream.write_all(&ws::upgrade_request(addr, path, false))?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(ws::HEAD_END) {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
        if head.len() > HEAD_BYTES_MAX {
            return Err(io::Error::other("the upgrade's answer has no end"));
        }
    }
    ws::check_upgrade(&head, false).map_err(io::Error::other)
}

/// Askers behind one epoll. An error of one ends the measurement: each of them matters.
pub struct Askers {
    epoll: Epoll,
    all: Vec<Asker>,
    events: Vec<Event>,
    buffer: Vec<u8>,
}

impl Askers {
    /// None yet.
    pub fn new() -> io::Result<Askers> {
        let (events, buffer) = (vec![NO_EVENT; 256], vec![0; 64 * 1024]);
        Ok(Askers { epoll: Epoll::new()?, all: Vec::new(), events, buffer })
    }

    /// Opens `count` more; the number of the first.
    pub fn open(&mut self, addr: SocketAddr, protocol: Protocol, count: usize) -> io::Result<usize> {
        let first = self.all.len();
        for number in first..first + count {
            let asker = Asker::open(addr, protocol)?;
            self.epoll.add(asker.stream.as_raw_fd(), libc::EPOLLIN, number as u64)?;
            self.all.push(asker);
        }
        Ok(first)
    }

    /// Has one ask.
    pub fn ask(&mut self, number: usize, request: &[u8], since: Instant) -> io::Result<()> {
        self.all[number].ask(request, since)
    }

    /// How many wait for an answer.
    pub fn due(&self) -> usize {
        self.all.iter().filter(|asker| asker.since.is_some()).count()
    }

    /// Waits for at most `timeout`, and tells of each answer its asker's number and how long it took. What `next` returns is asked next.
    pub fn poll<'a>(
        &mut self,
        timeout: Duration,
        mut next: impl FnMut(usize, Duration) -> Option<&'a [u8]>,
    ) -> io::Result<()> {
        let ready = self.epoll.wait(&mut self.events, Some(timeout))?;
        for at in 0..ready {
            let number = self.events[at].u64 as usize;
            let asker = &mut self.all[number];
            let Some(since) = asker.read(&mut self.buffer)? else { continue };
            let now = Instant::now();
            if let Some(request) = next(number, now - since) {
                asker.ask(request, now)?;
            }
        }
        Ok(())
    }

    /// Waits until nothing is due.
    pub fn drain(&mut self) -> io::Result<()> {
        let end = Instant::now() + PATIENCE;
        while self.due() > 0 {
            if Instant::now() > end {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "answers are due"));
            }
            self.poll(Duration::from_millis(10), |_, _| None)?;
        }
        Ok(())
    }
}

/// Producers, each of which sends its next record when it has the answer to the last.
#[derive(Clone, Debug)]
pub struct Produce {
    /// What they speak.
    pub protocol: Protocol,
    /// How many.
    pub producers: usize,
    /// Bytes of a record's payload.
    pub payload_bytes: usize,
    /// Before measuring begins.
    pub warmup: Duration,
    /// The measured part.
    pub duration: Duration,
}

/// A payload of so many letters and digits.
pub fn payload(bytes: usize) -> String {
    ('a'..='z').chain('0'..='9').cycle().take(bytes).collect()
}

/// Runs the producers.
pub fn produce(addr: SocketAddr, plan: &Produce, edge: &mut dyn FnMut(Edge)) -> io::Result<Report> {
    let record = plan.protocol.encode(addr, &payload(plan.payload_bytes), None);
    let mut askers = Askers::new()?;
    askers.open(addr, plan.protocol, plan.producers)?;
    for number in 0..plan.producers {
        askers.ask(number, &record, Instant::now())?;
    }
    let mut report = Report { errors: Errors::default(), ..Report::default() };
    let run = |askers: &mut Askers, duration: Duration, report: &mut Report| {
        let begin = Instant::now();
        let mut last = begin;
        while begin.elapsed() < duration || report.answers == 0 {
            let before = report.answers;
            askers.poll(Duration::from_millis(10), |_, took| {
                report.answers += 1;
                report.latency.record(took, 1);
                Some(&record)
            })?;
            if report.answers > before {
                last = Instant::now();
            } else if last.elapsed() > PATIENCE {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer"));
            }
        }
        report.elapsed = begin.elapsed();
        Ok(())
    };
    run(&mut askers, plan.warmup, &mut Report::default())?;
    edge(Edge::Open);
    run(&mut askers, plan.duration, &mut report)?;
    edge(Edge::Close);
    askers.drain()?;
    Ok(report)
}
