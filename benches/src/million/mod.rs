//! Very many idle WebSocket connections in one server process, and a few of them talking.
//!
//! ```text
//! server   one process on one core: workers(n), each with a ring, a table of descriptors and a listener
//! client   this process on another core, one thread: a ring for the talkers, and as many as the idle ones need
//! ```
//!
//! `RLIMIT_NOFILE` bounds the table of one ring, so at 20,000 a million connections take 54 workers and 52 rings; where it is
//! raised to 1,048,576 one of each does. The kernel spreads connections over the workers by a hash, and one whose
//! table is full accepts no more: the workers have five percent more room than there are connections.
//!
//! The server listens on all addresses and the client connects to many of 127.0.0.0/8, because one pair of addresses has
//! only as many ports as `ip_local_port_range` gives.
//!
//! The phases: warm-up, opening, idle, talking. Memory is read between them.

mod memory;
mod open;
mod report;
mod ring;
mod server;
mod talk;
mod wire;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sws::runtime::Limits;

pub use memory::Reading;
pub use open::{OpenError, Opener};
pub use report::Report;
pub use ring::{ClientRing, Disturbed, slots_max};
pub use server::serve_if_asked;
pub use talk::{Talk, TalkReport, talk};

use crate::process::{CpuTime, Server};
use crate::sys;

/// What to hold.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All connections.
    pub connections: u32,
    /// Those among them that talk.
    pub talkers: u32,
    /// How long they do.
    pub active: Duration,
    /// How long the server's CPU time is read while nobody does.
    pub idle: Duration,
    /// Workers of the server; `None`: as many as it takes.
    pub workers: Option<usize>,
    /// Silence after which the server holds a connection by a poll.
    pub quiet_after: Duration,
    /// Cores of the server.
    pub server_cpus: Vec<usize>,
    /// A program to serve instead, started with the arguments that [`serve_if_asked`] takes behind its mark.
    pub program: Option<PathBuf>,
}

/// Between two messages of a talker.
const PERIOD: Duration = Duration::from_millis(100);
/// Connections per worker that come, talk and go before the first reading: what a worker needs once, it has then.
const WARMUP_PER_WORKER: u32 = 64;
const WARMUP: Talk = Talk { period: Duration::from_millis(50), messages: 64 };
/// What a pair of connections takes of the kernel and the server, rounded up.
const BYTES_PER_CONNECTION: u64 = 10_500;
/// What everything else takes, and is to be left.
const BYTES_BESIDE: u64 = 1 << 30;
/// What one worker has once.
const BYTES_PER_WORKER: u64 = 4 << 20;

impl Plan {
    fn workers(&self, nofile: u64) -> usize {
        let slots = Limits::default().connections_max;
        let slots = if slots == 0 { server::slots_per_worker(nofile) } else { slots };
        let wanted = u64::from(self.connections) * 112 / 100;
        self.workers.unwrap_or(wanted.div_ceil(u64::from(slots)).max(1) as usize)
    }
}

/// Runs all phases.
pub fn measure(plan: &Plan) -> io::Result<Report> {
    assert!(plan.talkers > 0 && plan.talkers <= plan.connections, "some of the connections talk");
    let nofile = sys::raise_nofile()?;
    let workers = plan.workers(nofile);
    check_memory(plan, workers)?;
    if plan.talkers > slots_max(nofile) {
        let text =
            format!("at most {} connections can talk: RLIMIT_NOFILE bounds one ring", slots_max(nofile));
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut server = server::start(plan, workers)?;
    let mut client = Client::new(plan, server.addr().port(), slots_max(nofile))?;
    eprintln!("{workers} workers, {} rings of the client; warming up", 1 + client.idle.len());
    let started = memory::settled(&server, plan.connections)?;
    client.warm_up(workers as u32 * WARMUP_PER_WORKER)?;
    let warm = memory::settled(&server, plan.connections)?;

    eprintln!("opening {} connections", plan.connections);
    let (cpu, from) = (server.cpu()?, Instant::now());
    client.open_all(plan)?;
    let (opening, opening_cpu) = (from.elapsed(), spent(&server, &cpu)?.0);

    eprintln!("idle");
    // The hand that looks for quiet connections needs two rounds to be sure of all.
    std::thread::sleep(plan.quiet_after * 3);
    let idle = memory::settled(&server, plan.connections)?;
    let (cpu, from) = (server.cpu()?, Instant::now());
    std::thread::sleep(plan.idle);
    let idle_cpu_share = spent(&server, &cpu)?.0.as_secs_f64() / from.elapsed().as_secs_f64();

    eprintln!("{} connections talk for {:.0?}", plan.talkers, plan.active);
    let messages = (plan.active.as_nanos() / PERIOD.as_nanos()).max(1) as u32;
    let (cpu, client_cpu, from) = (server.cpu()?, client_cpu()?, Instant::now());
    let talk = talk(&mut client.talkers, Talk { period: PERIOD, messages })?;
    let (talking_cpu, talking_user_share) = spent(&server, &cpu)?;
    let client_share = (self::client_cpu()? - client_cpu).as_secs_f64() / from.elapsed().as_secs_f64();
    let talked = memory::settled(&server, plan.connections)?;
    let disturbed = client.disturbed()?;

    drop(client);
    server.stop()?;
    Ok(Report {
        connections: plan.connections,
        talkers: plan.talkers,
        workers,
        started,
        warm,
        idle,
        talked,
        opening,
        opening_cpu,
        idle_cpu_share,
        talk,
        talking_cpu,
        talking_user_share,
        client_share,
        disturbed,
    })
}

fn spent(server: &Server, before: &CpuTime) -> io::Result<(Duration, f64)> {
    Ok(server.cpu()?.since(before))
}

/// CPU time of this process, which is the client.
fn client_cpu() -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call.
    sys::check(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

fn check_memory(plan: &Plan, workers: usize) -> io::Result<()> {
    let wanted =
        u64::from(plan.connections) * BYTES_PER_CONNECTION + workers as u64 * BYTES_PER_WORKER + BYTES_BESIDE;
    let available = memory::available_bytes()?;
    if available >= wanted {
        return Ok(());
    }
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let text = format!(
        "{} connections take about {:.1} GiB with both ends on this machine, and {:.1} GiB are available; \
         hold fewer with --connections",
        plan.connections,
        gib(wanted),
        gib(available)
    );
    Err(io::Error::new(io::ErrorKind::OutOfMemory, text))
}

/// The client's side of all connections.
struct Client {
    talkers: ClientRing,
    idle: Vec<ClientRing>,
    opener: Opener,
}

impl Client {
    /// Makes all rings, so that they are part of the first reading.
    fn new(plan: &Plan, port: u16, slots: u32) -> io::Result<Self> {
        let mut left = plan.connections - plan.talkers;
        let mut idle = Vec::new();
        while left > 0 {
            let size = left.min(slots);
            idle.push(ClientRing::new(size)?);
            left -= size;
        }
        let talkers = ClientRing::new(plan.talkers)?;
        Ok(Client { talkers, idle, opener: Opener::new(port, server::PATH)? })
    }

    fn warm_up(&mut self, connections: u32) -> io::Result<()> {
        let mut ring = ClientRing::new(connections)?;
        self.opener.open(&mut ring, connections).map_err(io::Error::other)?;
        let report = talk(&mut ring, WARMUP)?;
        if report.lost() > 0 {
            let text = format!("{} of {} messages of the warm-up were lost", report.lost(), report.due);
            return Err(io::Error::other(text));
        }
        Ok(())
    }

    /// Opens ring by ring; talkers are opened between, so that they are spread over the workers and over time.
    fn open_all(&mut self, plan: &Plan) -> io::Result<()> {
        let mut opened = 0;
        let idle = plan.connections - plan.talkers;
        for ring in &mut self.idle {
            let count = ring.room();
            self.opener.open(ring, count).map_err(io::Error::other)?;
            opened += count;
            let share = u64::from(plan.talkers) * u64::from(opened) / u64::from(idle);
            let missing = share as u32 - self.talkers.len();
            self.opener.open(&mut self.talkers, missing).map_err(io::Error::other)?;
        }
        let rest = self.talkers.room();
        self.opener.open(&mut self.talkers, rest).map_err(io::Error::other)
    }

    /// What happened to those that do not talk.
    fn disturbed(&mut self) -> io::Result<Disturbed> {
        let mut all = Disturbed::default();
        for ring in &mut self.idle {
            let found = ring.disturbed()?;
            all.closed += found.closed;
            all.unasked += found.unasked;
        }
        Ok(all)
    }
}
