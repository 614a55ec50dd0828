//! The WebSocket client: one thread, io_uring, connections that send messages and check every byte that comes back.
//!
//! - A message counts when its whole frame has come and equals what was sent; what was sent counts nothing.
//! - Messages are encoded once, in a few variants that follow one another on each connection, so that a lost, doubled or
//!   misdirected one is noticed; while measuring nothing is allocated and nothing is masked.
//! - It waits for several completions at once where as many are due: a wake-up for each would be charged to the server,
//!   whose send it interrupts; a client on another machine would cost it nothing.
//! - Latency starts before the write that held the message, and ends when the turn begins that read its last byte.

mod client;
mod idle;
mod script;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use client::Client;
pub use idle::WsIdleSet;
pub use script::{Content, Progress, Script, Taken};

use super::{Edge, Report};
use crate::ws::UpgradeError;

/// Why a connection was given up.
#[derive(Debug)]
#[non_exhaustive]
pub enum WsError {
    /// A system call failed.
    Io(io::Error),
    /// The upgrade was not answered as asked.
    Upgrade(UpgradeError),
    /// The server ended the connection.
    Closed,
    /// What came is not what was sent.
    Mismatch,
    /// A message came that nobody sent.
    Unasked,
    /// A message is not there in time.
    Late,
}

impl fmt::Display for WsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WsError::Io(error) => write!(f, "{error}"),
            WsError::Upgrade(error) => write!(f, "{error}"),
            WsError::Closed => f.write_str("closed by the server"),
            WsError::Mismatch => f.write_str("a message is not the one that was sent"),
            WsError::Unasked => f.write_str("a message nobody sent"),
            WsError::Late => f.write_str("no message in time"),
        }
    }
}

impl std::error::Error for WsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WsError::Io(error) => Some(error),
            WsError::Upgrade(error) => Some(error),
            WsError::Closed | WsError::Mismatch | WsError::Unasked | WsError::Late => None,
        }
    }
}

impl From<io::Error> for WsError {
    fn from(error: io::Error) -> Self {
        WsError::Io(error)
    }
}

impl From<UpgradeError> for WsError {
    fn from(error: UpgradeError) -> Self {
        WsError::Upgrade(error)
    }
}

/// Whether the server upgrades at `path`, with permessage-deflate where that is asked for.
pub fn is_served(addr: SocketAddr, path: &str, deflate: bool) -> Result<bool, WsError> {
    match idle::upgrade(&idle::connected(0, addr)?, addr, path, deflate) {
        Ok(()) => Ok(true),
        Err(WsError::Upgrade(UpgradeError::Status(404) | UpgradeError::Extensions)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A closed loop of echoes.
#[derive(Clone, Debug)]
pub struct Echo {
    /// Where the server echoes.
    pub path: String,
    /// How many connections.
    pub connections: usize,
    /// The messages; [`Content::messages`] are sent in one write, and the next follow when all have come back.
    pub content: Content,
    /// Before measuring begins.
    pub warmup: Duration,
    /// The measured part.
    pub duration: Duration,
}

/// Rounds of messages to a room.
#[derive(Clone, Debug)]
pub struct Broadcast {
    /// Where the room is.
    pub path: String,
    /// How many members.
    pub members: usize,
    /// How many of them publish, in turn.
    pub publishers: usize,
    /// The messages; [`Content::messages`] are sent in one write, and the next follow when every member has all.
    pub content: Content,
    /// Before measuring begins.
    pub warmup: Duration,
    /// The measured part.
    pub duration: Duration,
}

/// How long nothing may come while something is due.
const PATIENCE: Duration = Duration::from_secs(10);

/// Completions that are waited for at once: one for so many connections that echo, and the most.
const CONNECTIONS_PER_WAIT: usize = 32;
const WAIT_MOST: usize = 128;

/// Runs the echoes.
pub fn echo(addr: SocketAddr, plan: &Echo, edge: &mut dyn FnMut(Edge)) -> Result<Report, WsError> {
    let scripts = script::scripts(addr, &plan.path, &plan.content)?;
    let mut client = Client::open(addr, &plan.path, plan.connections, scripts, plan.content.deflate)?;
    let mut echoes = Vec::with_capacity(plan.connections);
    for index in 0..plan.connections {
        let variant = index % client.variants();
        echoes.push(Due { variant, progress: Progress::default(), since: Instant::now() });
        client.send(index, variant)?;
    }
    let mut report = Report::default();
    run_echoes(&mut client, &mut echoes, plan.warmup, &mut Report::default())?;
    edge(Edge::Open);
    let from = Instant::now();
    run_echoes(&mut client, &mut echoes, plan.duration, &mut report)?;
    report.elapsed = from.elapsed();
    edge(Edge::Close);
    let late = echoes.iter().filter(|due| due.since.elapsed() > PATIENCE).count();
    report.errors = client.take_errors();
    report.errors.add_many(WsError::Late, late as u64);
    Ok(report)
}

/// What a connection is to be sent back.
struct Due {
    variant: usize,
    progress: Progress,
    since: Instant,
}

fn run_echoes(
    client: &mut Client,
    echoes: &mut [Due],
    duration: Duration,
    report: &mut Report,
) -> Result<(), WsError> {
    let end = Instant::now() + duration;
    let variants = client.variants();
    // Every connection is due an answer at any time, so that there will be as many.
    let count = (echoes.len() / CONNECTIONS_PER_WAIT).clamp(1, WAIT_MOST);
    loop {
        let now = Instant::now();
        // A machine may be so busy that nothing has come by then: a figure needs one message.
        let end = if report.answers == 0 { end + PATIENCE } else { end };
        if now >= end || client.all_gone() {
            return Ok(());
        }
        client.turn(end - now, count, |index, bytes, scripts, now| {
            let due = &mut echoes[index];
            let taken = due.progress.take(bytes, &scripts[due.variant])?;
            report.answers += u64::from(taken.messages);
            report.latency.record(now - due.since, u64::from(taken.messages));
            if !taken.whole {
                return Ok(None);
            }
            let variant = (due.variant + 1) % variants;
            *due = Due { variant, progress: Progress::default(), since: now };
            Ok(Some(variant))
        })?;
    }
}

/// Runs the rounds; the report counts deliveries.
pub fn broadcast(addr: SocketAddr, plan: &Broadcast, edge: &mut dyn FnMut(Edge)) -> Result<Report, WsError> {
    assert!(plan.publishers > 0 && plan.publishers <= plan.members, "publishers are members");
    let scripts = script::scripts(addr, &plan.path, &plan.content)?;
    let mut client = Client::open(addr, &plan.path, plan.members, scripts, plan.content.deflate)?;
    let mut rounds = Rounds { number: 0, members: vec![(0, Progress::default()); plan.members] };
    let mut report = Report::default();
    rounds.run(&mut client, plan, plan.warmup, &mut Report::default())?;
    edge(Edge::Open);
    let from = Instant::now();
    rounds.run(&mut client, plan, plan.duration, &mut report)?;
    report.elapsed = from.elapsed();
    edge(Edge::Close);
    report.errors.add_many("no delivery", client.gone() as u64);
    let errors = client.take_errors();
    report.errors.merge(&errors);
    Ok(report)
}

struct Rounds {
    number: u64,
    /// For each member, how many rounds it has whole, and how much it has of the one that is under way.
    members: Vec<(u64, Progress)>,
}

impl Rounds {
    /// Whole rounds, at least one, until `duration` is over.
    fn run(
        &mut self,
        client: &mut Client,
        plan: &Broadcast,
        duration: Duration,
        report: &mut Report,
    ) -> Result<(), WsError> {
        let end = Instant::now() + duration;
        loop {
            self.number += 1;
            let publisher = (self.number as usize % plan.publishers) * (plan.members / plan.publishers);
            let since = Instant::now();
            client.send(publisher, self.number as usize % client.variants())?;
            self.receive(client, since, report)?;
            if Instant::now() >= end || client.gone() > 0 {
                return Ok(());
            }
        }
    }

    fn receive(&mut self, client: &mut Client, since: Instant, report: &mut Report) -> Result<(), WsError> {
        let number = self.number;
        let variant = number as usize % client.variants();
        let mut due = self.members.len();
        let mut last = since;
        while due > 0 && client.gone() == 0 {
            if last.elapsed() > PATIENCE {
                report.errors.add_many(WsError::Late, due as u64);
                client.give_all_up();
                return Ok(());
            }
            client.turn(PATIENCE, due.min(WAIT_MOST), |index, bytes, scripts, now| {
                last = now;
                let (whole, progress) = &mut self.members[index];
                if *whole == number {
                    return progress.take_unasked(bytes).map(|()| None);
                }
                let taken = progress.take(bytes, &scripts[variant])?;
                report.answers += u64::from(taken.messages);
                report.latency.record(now - since, u64::from(taken.messages));
                if taken.whole {
                    *whole = number;
                    *progress = Progress::default();
                    due -= 1;
                }
                Ok(None)
            })?;
        }
        Ok(())
    }
}
