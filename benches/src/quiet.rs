//! Idle connections held by a receive or by a poll: what each way costs the kernel in memory and the server in CPU time,
//! and whether the busy connections beside them notice.
//!
//! Slab memory is the whole machine's and holds both ends of each connection; the caches of a ring's operations are read by
//! themselves, because the noise of sockets and files around them is larger than the difference.

use std::io;
use std::time::{Duration, Instant};

use crate::load::{self, Closed, Edge, IdleSet, Report};
use crate::process::{CpuTime, Server, ring_slab_bytes};
use crate::table::{Figure, Row};
use crate::{memory, sws_server};

/// What to hold and to ask.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Runs of each way, interleaved.
    pub runs: usize,
    /// Idle connections.
    pub connections: usize,
    /// Busy ones beside them.
    pub busy_connections: usize,
    /// Silence after which a connection is held by a poll.
    pub quiet_after: Duration,
    /// The measured part of the closed loop, and of the idle time.
    pub duration: Duration,
    /// Before the closed loop.
    pub warmup: Duration,
    /// Cores of the server.
    pub server_cpus: Vec<usize>,
}

/// Rows of one table: held by receives, and by polls.
pub fn measure(plan: &Plan) -> io::Result<Vec<Row>> {
    assert!(plan.runs > 0 && plan.connections > 0, "there is something to measure");
    let row = |name: &str, is_floor| Row { name: name.into(), is_floor, runs: Vec::new() };
    let mut rows = vec![row("receive", true), row("poll", false)];
    for run in 0..plan.runs {
        for turn in 0..rows.len() {
            let at = (run + turn) % rows.len();
            let quiet_after = if at == 0 { Duration::ZERO } else { plan.quiet_after };
            rows[at].runs.push(measure_one(plan, quiet_after)?);
        }
    }
    Ok(rows)
}

fn measure_one(plan: &Plan, quiet_after: Duration) -> io::Result<Vec<Figure>> {
    let mut server = sws_server::start(quiet_after, &plan.server_cpus)?;
    drop(
        IdleSet::open(server.addr(), sws_server::PLAINTEXT, plan.busy_connections)
            .map_err(io::Error::other)?,
    );
    let before = slab(&server)?;
    let held =
        IdleSet::open(server.addr(), sws_server::PLAINTEXT, plan.connections).map_err(io::Error::other)?;
    // The hand that looks for quiet connections needs two rounds to be sure of all.
    std::thread::sleep(quiet_after * 3);
    let after = slab(&server)?;
    let idle_cpu = idle_cpu(&server, plan.duration)?;
    let (busy_us, p99_us) = busy(plan, &server)?;
    std::thread::sleep(quiet_after * 3);
    let again_us = asked_again(&server, &held)?;
    drop(held);
    server.stop()?;
    let each = |at: usize| (after[at] - before[at]) / plan.connections as f64;
    Ok(vec![
        Figure::new("ring's slab bytes each", each(0), 0),
        Figure::new("all slab bytes each", each(1), 0),
        Figure::new("CPU us/s, all idle", idle_cpu, 0),
        Figure::new("busy: CPU us/request", busy_us, 2).against_floor(),
        Figure::new("busy: p99 us", p99_us, 0).against_floor(),
        Figure::new("an idle one asks again: CPU us", again_us, 2).against_floor(),
    ])
}

/// Bytes of the slab caches of a ring's operations (not a number where they cannot be read), and of all.
fn slab(server: &Server) -> io::Result<[f64; 2]> {
    let all = memory::settled(server)?.slab.total as f64;
    Ok([ring_slab_bytes().map_or(f64::NAN, |bytes| bytes as f64), all])
}

/// Microseconds of CPU in a second in which nobody asks.
fn idle_cpu(server: &Server, duration: Duration) -> io::Result<f64> {
    let (before, from) = (server.cpu()?, Instant::now());
    std::thread::sleep(duration);
    let (spent, _) = server.cpu()?.since(&before);
    Ok(spent.as_secs_f64() * 1e6 / from.elapsed().as_secs_f64())
}

/// CPU microseconds per request, and the latency's p99, of the busy connections.
fn busy(plan: &Plan, server: &Server) -> io::Result<(f64, f64)> {
    let closed = Closed {
        path: sws_server::PLAINTEXT.into(),
        connections: plan.busy_connections,
        depth: 1,
        warmup: plan.warmup,
        duration: plan.duration,
    };
    let (mut open, mut close) = (Ok(CpuTime::default()), Ok(CpuTime::default()));
    let report: Report = load::closed(server.addr(), &closed, &mut |edge| match edge {
        Edge::Open => open = server.cpu(),
        Edge::Close => close = server.cpu(),
    })?;
    if report.errors.total() > 0 || report.answers == 0 {
        return Err(io::Error::other(format!("{report}")));
    }
    let (spent, _) = close?.since(&open?);
    let p99 = report.latency.quantile(0.99);
    Ok((spent.as_secs_f64() * 1e6 / report.answers as f64, p99.as_secs_f64() * 1e6))
}

/// CPU microseconds per request of connections that were idle and ask once, one after the other.
fn asked_again(server: &Server, held: &IdleSet) -> io::Result<f64> {
    let before = server.cpu()?;
    held.ask_again(1).map_err(io::Error::other)?;
    let (spent, _) = server.cpu()?.since(&before);
    Ok(spent.as_secs_f64() * 1e6 / held.len() as f64)
}
