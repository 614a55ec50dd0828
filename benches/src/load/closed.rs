//! Closed loop: each connection asks again as soon as all it asked for has been answered.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::connection::{Connections, request};
use super::{Edge, Report};

/// A closed loop over keep-alive connections.
#[derive(Clone, Debug)]
pub struct Closed {
    /// What is asked for.
    pub path: String,
    /// How many connections.
    pub connections: usize,
    /// Requests sent in one write; the next follow when all of them are answered.
    pub depth: u32,
    /// Before measuring begins.
    pub warmup: Duration,
    /// The measured part.
    pub duration: Duration,
}

/// With all events at once, an answer that comes just behind a wait is looked at behind all others of that wait, and a server that answers
/// faster than the load asks has two rounds of the load as its tail.
const EVENTS_PER_WAIT: usize = 8;
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs the loop; latency counts from the write that held the request.
pub fn closed(addr: SocketAddr, plan: &Closed, edge: &mut dyn FnMut(Edge)) -> io::Result<Report> {
    assert!(plan.depth > 0, "a write holds at least one request");
    let asks = request(addr, &plan.path).repeat(plan.depth as usize);
    let mut connections = Connections::open(addr, plan.connections)?.events_per_wait(EVENTS_PER_WAIT);
    for index in 0..connections.len() {
        connections.ask(index, &asks, plan.depth, Instant::now());
    }
    let mut report = Report::default();
    run(&mut connections, plan, &asks, plan.warmup, &mut Report::default())?;
    edge(Edge::Open);
    let from = Instant::now();
    run(&mut connections, plan, &asks, plan.duration, &mut report)?;
    report.elapsed = from.elapsed();
    edge(Edge::Close);
    connections.count_overdue(PATIENCE);
    report.errors = connections.errors;
    Ok(report)
}

fn run(
    connections: &mut Connections,
    plan: &Closed,
    asks: &[u8],
    duration: Duration,
    report: &mut Report,
) -> io::Result<()> {
    let end = Instant::now() + duration;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || connections.all_gone() {
            return Ok(());
        }
        connections.poll(left, |_, connection, answers| {
            let now = Instant::now();
            report.answers += u64::from(answers);
            report.latency.record(now - connection.since, u64::from(answers));
            if connection.due == 0 { connection.ask(asks, plan.depth, now) } else { Ok(()) }
        })?;
    }
}
