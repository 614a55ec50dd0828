//! Light requests at a fixed rate beside one burst of heavy ones.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::connection::{Connections, request};
use super::{Errors, Report};

/// Light requests at a rate, and a burst of heavy ones among them.
#[derive(Clone, Debug)]
pub struct Mixed {
    /// What the light ones ask for.
    pub light_path: String,
    /// Light requests per second.
    pub light_rate: u32,
    /// Connections that share them. When all wait, a request waits too, and its latency counts.
    pub light_connections: usize,
    /// What the heavy ones ask for.
    pub heavy_path: String,
    /// How many heavy requests, each on a connection of its own.
    pub heavy_requests: usize,
    /// Light requests alone, before the burst.
    pub lead: Duration,
    /// When to give up, counted from the burst.
    pub patience: Duration,
}

/// What was seen of both kinds.
#[derive(Clone, Default)]
pub struct MixedReport {
    /// Light requests whose intended time lay between the burst and the last heavy answer; latency from the
    /// intended time.
    pub light_beside: Report,
    /// Light requests before the burst.
    pub light_alone: Report,
    /// The heavy ones; latency from the burst.
    pub heavy: Report,
}

/// Runs the mixture, until all heavy requests are answered and the light ones intended by then.
pub fn mixed(addr: SocketAddr, plan: &Mixed) -> io::Result<MixedReport> {
    assert!(plan.light_rate > 0 && plan.light_connections > 0, "there are light requests");
    crate::sys::set_timer_slack_to_least();
    let light_ask = request(addr, &plan.light_path);
    let heavy_ask = request(addr, &plan.heavy_path);
    let mut heavy = Connections::open(addr, plan.heavy_requests)?;
    let mut light = Light::open(addr, plan, light_ask)?;
    let mut report = MixedReport::default();

    let burst = Instant::now() + plan.lead;
    while Instant::now() < burst || light.is_waiting() {
        light.turn(burst, &mut report.light_alone)?;
        if burst.elapsed() > plan.patience {
            break;
        }
    }
    report.light_alone.elapsed = plan.lead;
    let burst = Instant::now();
    for index in 0..heavy.len() {
        heavy.ask(index, &heavy_ask, 1, burst);
    }
    light.resume(burst);
    let end = burst + plan.patience;
    let mut heavy_ended = None;
    while Instant::now() < end && (heavy_ended.is_none() || light.is_waiting()) {
        light.turn(heavy_ended.unwrap_or(end), &mut report.light_beside)?;
        heavy.poll(Duration::ZERO, |_, _, answers| {
            report.heavy.answers += u64::from(answers);
            report.heavy.latency.record(burst.elapsed(), u64::from(answers));
            Ok(())
        })?;
        if heavy_ended.is_none() && heavy.due() == 0 {
            heavy_ended = Some(Instant::now());
        }
    }
    report.heavy.elapsed = heavy_ended.unwrap_or(end) - burst;
    report.light_beside.elapsed = report.heavy.elapsed;
    heavy.count_overdue(Duration::ZERO);
    report.heavy.errors = heavy.errors;
    report.light_beside.errors = light.finish();
    Ok(report)
}

/// The light requests: a clock, the connections that are free, and what is late for want of one.
struct Light {
    connections: Connections,
    ask: Vec<u8>,
    free: Vec<usize>,
    late: VecDeque<Instant>,
    next: Instant,
    gap: Duration,
}

impl Light {
    fn open(addr: SocketAddr, plan: &Mixed, ask: Vec<u8>) -> io::Result<Self> {
        let connections = Connections::open(addr, plan.light_connections)?;
        let free = (0..connections.len()).collect();
        let gap = Duration::from_secs(1) / plan.light_rate;
        Ok(Light { connections, ask, free, late: VecDeque::new(), next: Instant::now(), gap })
    }

    fn is_waiting(&self) -> bool {
        !self.late.is_empty() || self.connections.due() > 0
    }

    fn resume(&mut self, at: Instant) {
        self.next = at;
    }

    /// Sends what is intended by now (and before `until`), then reads until the next is.
    fn turn(&mut self, until: Instant, report: &mut Report) -> io::Result<()> {
        let now = Instant::now();
        while self.next <= now && self.next < until {
            self.late.push_back(self.next);
            self.next += self.gap;
        }
        while let Some(&intended) = self.late.front() {
            let Some(index) = self.free.pop() else { break };
            if self.connections.ask(index, &self.ask, 1, intended) {
                self.late.pop_front();
            }
        }
        let wait = self.next.saturating_duration_since(now).min(MAX_WAIT);
        let free = &mut self.free;
        self.connections.poll(wait, |index, connection, answers| {
            report.answers += u64::from(answers);
            report.latency.record(connection.since.elapsed(), u64::from(answers));
            free.push(index);
            Ok(())
        })
    }

    fn finish(mut self) -> Errors {
        self.connections.count_overdue(Duration::ZERO);
        self.connections.errors.add_many("not sent in time", self.late.len() as u64);
        self.connections.errors
    }
}

/// The longest wait on the light connections alone, so that the heavy ones are read in time.
const MAX_WAIT: Duration = Duration::from_micros(100);
