//! Subscribers that break off at random under a steady produce, and resume by offset: each must have every record once, in order.

pub mod follower;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::load::AnswerReader;
use crate::log_client::server;
use crate::process::Server;
use crate::sys::{Epoll, Event, NO_EVENT};
use crate::table::Figure;
use follower::{Follower, Kind, Progress, TOPIC, text};
use std::io::{Read, Write};
use std::net::TcpStream;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Subscribers of each kind.
    pub subscribers: usize,
    /// Records a second.
    pub rate: u32,
    /// Time between batches of them.
    pub tick: Duration,
    /// How long records are produced.
    pub duration: Duration,
    /// How long a subscriber stays, on average.
    pub stay: Duration,
    /// How long it is away at most.
    pub away: Duration,
    /// The seed of what is random.
    pub seed: u64,
    /// The program of sws.
    pub sws: PathBuf,
    /// A folder on the disk in question.
    pub dir: PathBuf,
    /// Cores of the server.
    pub server_cpus: Vec<usize>,
}

/// How long nothing may come while records are due.
const PATIENCE: Duration = Duration::from_secs(30);

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        bound.mul_f64((self.0 >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// Who produces: a batch at each tick, when the one before is answered.
struct Producer {
    stream: TcpStream,
    reader: AnswerReader,
    begin: Instant,
    sent: u64,
    answered: u64,
    next: Instant,
}

impl Producer {
    fn open(addr: SocketAddr) -> io::Result<Producer> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let now = Instant::now();
        Ok(Producer { stream, reader: AnswerReader::default(), begin: now, sent: 0, answered: 0, next: now })
    }

    /// Sends what is due by now, if the last batch is answered.
    fn turn(&mut self, plan: &Plan, now: Instant) -> io::Result<()> {
        if now < self.next || self.sent > self.answered {
            return Ok(());
        }
        self.next = now + plan.tick;
        let due = (now - self.begin).min(plan.duration).as_secs_f64() * f64::from(plan.rate);
        let until = due as u64;
        if until > self.sent {
            let records: Vec<String> =
                (self.sent..until).map(|number| format!(r#"{{"text":"{}"}}"#, text(number))).collect();
            let body = format!(r#"{{"atomic":true,"records":[{}]}}"#, records.join(","));
            let request = format!(
                "POST /topics/{TOPIC} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            self.stream.write_all(request.as_bytes())?;
            self.sent = until;
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let got = self.stream.read(buffer)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.reader.read(&buffer[..got]).map_err(io::Error::other)? > 0 {
            self.answered = self.sent;
        }
        Ok(())
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    delivered: u64,
    resumed: u64,
    closed_by_server: u64,
}

struct Run<'a> {
    plan: &'a Plan,
    addr: SocketAddr,
    epoll: Epoll,
    random: Random,
    followers: Vec<Follower>,
    producer: Producer,
    seen: Seen,
}

/// The producer's place in the events.
const PRODUCER: u64 = u64::MAX;

impl<'a> Run<'a> {
    fn open(plan: &'a Plan, addr: SocketAddr) -> io::Result<Run<'a>> {
        let epoll = Epoll::new()?;
        let mut random = Random(plan.seed.max(1));
        let mut followers = Vec::new();
        for number in 0..2 * plan.subscribers {
            let kind = if number % 2 == 0 { Kind::Sse } else { Kind::WebSocket };
            let mut follower = Follower::new(kind, Instant::now() + random.below(2 * plan.stay));
            follower.connect(addr)?;
            watch(&epoll, &follower, number)?;
            followers.push(follower);
        }
        let producer = Producer::open(addr)?;
        epoll.add(producer.stream.as_raw_fd(), libc::EPOLLIN, PRODUCER)?;
        Ok(Run { plan, addr, epoll, random, followers, producer, seen: Seen::default() })
    }

    fn run(&mut self) -> io::Result<()> {
        let (mut events, mut buffer) = ([NO_EVENT; 512], vec![0; 256 * 1024]);
        let mut progress = Instant::now();
        let mut looked = progress;
        loop {
            let now = Instant::now();
            let is_over = now - self.producer.begin >= self.plan.duration
                && self.producer.sent == self.producer.answered
                && self.producer.next <= now;
            if is_over && self.followers.iter().all(|follower| follower.next == self.producer.answered) {
                return Ok(());
            }
            if now - progress > PATIENCE {
                let behind = self.followers.iter().filter(|f| f.next < self.producer.answered).count();
                let what = format!("{behind} subscribers do not get what they lack");
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            self.producer.turn(self.plan, now)?;
            if now - looked > Duration::from_millis(5) {
                looked = now;
                self.come_and_go(now, is_over)?;
            }
            let before = self.seen.delivered;
            self.turn(&mut events, &mut buffer)?;
            if self.seen.delivered > before || !is_over {
                progress = now;
            }
        }
    }

    fn turn(&mut self, events: &mut [Event], buffer: &mut [u8]) -> io::Result<()> {
        let ready = self.epoll.wait(events, Some(Duration::from_millis(2)))?;
        for event in &events[..ready] {
            let number = event.u64;
            if number == PRODUCER {
                self.producer.read(buffer)?;
                continue;
            }
            let follower = &mut self.followers[number as usize];
            let had = follower.next;
            let read = follower.read(buffer)?;
            self.seen.delivered += follower.next - had;
            if read == Progress::Closed {
                // By its policy, for one that reads too slowly.
                self.seen.closed_by_server += 1;
                follower.break_off();
                follower.turns = Instant::now();
            }
        }
        Ok(())
    }

    /// Breaks off and connects whose time has come. At the end all stay.
    fn come_and_go(&mut self, now: Instant, is_over: bool) -> io::Result<()> {
        for (number, follower) in self.followers.iter_mut().enumerate() {
            if follower.turns > now && !(is_over && follower.stream.is_none()) {
                continue;
            }
            if follower.stream.is_none() {
                follower.connect(self.addr)?;
                watch(&self.epoll, follower, number)?;
                self.seen.resumed += 1;
                follower.turns = now + self.random.below(2 * self.plan.stay);
            } else if !is_over {
                follower.break_off();
                follower.turns = now + self.random.below(self.plan.away);
            }
        }
        Ok(())
    }
}

fn watch(epoll: &Epoll, follower: &Follower, number: usize) -> io::Result<()> {
    let stream = follower.stream.as_ref().expect("it was just connected");
    epoll.add(stream.as_raw_fd(), libc::EPOLLIN, number as u64)
}

/// Runs it once. An error if a subscriber gets a record twice, not in order, or not at all.
pub fn measure(plan: &Plan) -> io::Result<Vec<Figure>> {
    let mut running = server::start_sws(&plan.sws, &plan.dir, &[], &plan.server_cpus)?;
    let server: &Server = &running.server;
    server::create_topic(server.addr(), TOPIC, "")?;
    let mut run = Run::open(plan, server.addr())?;
    let (begin, cpu) = (Instant::now(), server.cpu()?);
    run.run()?;
    let (took, (spent, _)) = (begin.elapsed(), server.cpu()?.since(&cpu));
    let (seen, records) = (run.seen, run.producer.answered);
    let rss = server.rss_bytes()?;
    drop(run);
    running.server.stop()?;
    let expected = records * 2 * plan.subscribers as u64;
    if seen.delivered != expected || records == 0 {
        return Err(io::Error::other(format!("{} of {expected} records were delivered", seen.delivered)));
    }
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    Ok(vec![
        Figure::new("records", records as f64, 0),
        Figure::new("delivered", seen.delivered as f64, 0),
        Figure::new("deliveries/s", seen.delivered as f64 / took.as_secs_f64(), 0),
        Figure::new("CPU us/delivery", us(spent) / seen.delivered as f64, 3),
        Figure::new("core busy %", 100.0 * us(spent) / us(took), 0),
        Figure::new("resumed", seen.resumed as f64, 0),
        Figure::new("of them closed by the server", seen.closed_by_server as f64, 0),
        Figure::new("last one had all after s", took.as_secs_f64() - plan.duration.as_secs_f64(), 2),
        Figure::new("RSS MiB", rss as f64 / f64::from(1 << 20), 0),
    ])
}
