//! Bursts: all connections ask in one instant, again and again.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::connection::{Connections, request};
use super::{Edge, Report};

/// Bursts at a fixed period.
#[derive(Clone, Debug)]
pub struct Burst {
    /// What is asked for.
    pub path: String,
    /// How many connections, each asking once per burst.
    pub connections: usize,
    /// From one burst to the next. A burst that is not answered by then delays the next.
    pub period: Duration,
    /// Bursts before measuring begins.
    pub warmup_rounds: u32,
    /// Bursts measured.
    pub rounds: u32,
}

const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the bursts; the latency of every answer counts from the instant before its burst's first write.
pub fn burst(addr: SocketAddr, plan: &Burst, edge: &mut dyn FnMut(Edge)) -> io::Result<Report> {
    crate::sys::set_timer_slack_to_least();
    let ask = request(addr, &plan.path);
    let mut connections = Connections::open(addr, plan.connections)?;
    run(&mut connections, plan.warmup_rounds, plan.period, &ask, &mut Report::default())?;
    let mut report = Report::default();
    edge(Edge::Open);
    let from = Instant::now();
    run(&mut connections, plan.rounds, plan.period, &ask, &mut report)?;
    report.elapsed = from.elapsed();
    edge(Edge::Close);
    report.errors = connections.errors;
    Ok(report)
}

fn run(
    connections: &mut Connections,
    rounds: u32,
    period: Duration,
    ask: &[u8],
    report: &mut Report,
) -> io::Result<()> {
    let mut next = Instant::now() + period;
    for _ in 0..rounds {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        let instant = Instant::now();
        next = (next + period).max(instant);
        for index in 0..connections.len() {
            connections.ask(index, ask, 1, instant);
        }
        while connections.due() > 0 {
            if instant.elapsed() > PATIENCE {
                connections.count_overdue(Duration::ZERO);
                return Ok(());
            }
            connections.poll(PATIENCE, |_, _, answers| {
                report.answers += u64::from(answers);
                report.latency.record(instant.elapsed(), u64::from(answers));
                Ok(())
            })?;
        }
    }
    Ok(())
}
