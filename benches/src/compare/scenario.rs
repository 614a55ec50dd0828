//! The scenarios: which load, and which figures of it.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use super::{Options, WsScenario};
use crate::contestant::{Contestant, Service};
use crate::load::{self, AskError, Burst, Closed, Edge, IdleSet, Malformed, Mixed, Report};
use crate::process::{CpuTime, Server};
use crate::syscalls::SystemCalls;
use crate::table::Figure;

/// A load that all contestants get alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// `plaintextN`: N keep-alive connections, one request at a time on each.
    Plaintext(usize),
    /// `jsonN`: the same for `/json`.
    Json(usize),
    /// `pipelineN`: 64 connections, N requests at a time on each.
    Pipeline(u32),
    /// `burstN` (`burst`: 300): N connections ask in one instant, every 50 ms.
    Burst(usize),
    /// `submitN` (`submit`: 300): N requests of 2 ms of CPU in one burst, beside 1,000 light ones a second,
    /// with the work inline and then handed to other threads.
    Submit(usize),
    /// `idleN`: 64 busy connections, alone, then beside N idle ones, then alone again.
    Idle(usize),
    /// `ws-...`: WebSockets.
    WebSocket(WsScenario),
}

/// The name of a scenario that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownScenario(String);

impl fmt::Display for UnknownScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no scenario {:?}: plaintextN, jsonN, pipelineN, burst[N], submit[N], idleN, ws-echoN, ws-largeKIB, \
             ws-deflateKIB, ws-broadcastN, ws-idleN, ws-idle-roomN",
            self.0
        )
    }
}

impl std::error::Error for UnknownScenario {}

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(text: &str) -> Result<Self, UnknownScenario> {
        let unknown = || UnknownScenario(text.into());
        let digits_at = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
        let (kind, digits) = text.split_at(digits_at);
        let number = match (kind, digits) {
            ("burst" | "submit", "") => 300,
            _ => digits.parse::<usize>().ok().filter(|&number| number > 0).ok_or_else(unknown)?,
        };
        match kind {
            "plaintext" => Ok(Scenario::Plaintext(number)),
            "json" => Ok(Scenario::Json(number)),
            "pipeline" => Ok(Scenario::Pipeline(u32::try_from(number).map_err(|_| unknown())?)),
            "burst" => Ok(Scenario::Burst(number)),
            "submit" => Ok(Scenario::Submit(number)),
            "idle" => Ok(Scenario::Idle(number)),
            _ => WsScenario::named(kind, number).map(Scenario::WebSocket).ok_or_else(unknown),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scenario::Plaintext(n) => write!(f, "plaintext{n}"),
            Scenario::Json(n) => write!(f, "json{n}"),
            Scenario::Pipeline(n) => write!(f, "pipeline{n}"),
            Scenario::Burst(n) => write!(f, "burst{n}"),
            Scenario::Submit(n) => write!(f, "submit{n}"),
            Scenario::Idle(n) => write!(f, "idle{n}"),
            Scenario::WebSocket(scenario) => write!(f, "{scenario}"),
        }
    }
}

/// Connections of the closed loops that vary something else.
const BUSY_CONNECTIONS: usize = 64;
const BURST_PERIOD: Duration = Duration::from_millis(50);
const LIGHT_RATE: u32 = 1_000;
const PLAINTEXT: &str = "/plaintext";
const JSON: &str = "/json";
/// 2 ms of CPU on the IO thread.
const HEAVY_INLINE: &str = "/heavy/inline";
/// 2 ms of CPU on another thread.
const HEAVY_SUBMIT: &str = "/heavy/submit";

impl Scenario {
    /// What a server is started for.
    pub fn service(&self) -> Service {
        match self {
            Scenario::WebSocket(scenario) => scenario.service(),
            Scenario::Plaintext(_)
            | Scenario::Json(_)
            | Scenario::Pipeline(_)
            | Scenario::Burst(_)
            | Scenario::Submit(_)
            | Scenario::Idle(_) => Service::Http,
        }
    }

    /// Whether `contestant` does what this scenario asks for: a floor does no work that could be handed on.
    pub fn is_for(&self, contestant: Contestant) -> bool {
        contestant.serves(self.service()) && !(matches!(self, Scenario::Submit(_)) && contestant.is_floor())
    }

    /// Whether `server` has what this scenario asks for: a 404 says that it has not.
    pub fn is_served_by(&self, server: &Server) -> io::Result<bool> {
        let paths: &[&str] = match self {
            Scenario::Plaintext(_) | Scenario::Pipeline(_) | Scenario::Burst(_) | Scenario::Idle(_) => {
                &[PLAINTEXT]
            }
            Scenario::Json(_) => &[JSON],
            Scenario::Submit(_) => &[PLAINTEXT, HEAVY_INLINE, HEAVY_SUBMIT],
            Scenario::WebSocket(scenario) => return scenario.is_served_by(server),
        };
        for path in paths {
            match IdleSet::open(server.addr(), path, 1) {
                Ok(_) => {}
                Err(AskError::Malformed(Malformed::Status(404))) => return Ok(false),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(true)
    }

    /// Puts the load on `server` and reads the figures.
    pub fn measure(&self, options: &Options, server: &Server) -> io::Result<Vec<Figure>> {
        match *self {
            Scenario::Plaintext(n) => Ok(figures(&closed(options, server, PLAINTEXT, n, 1)?)),
            Scenario::Json(n) => Ok(figures(&closed(options, server, JSON, n, 1)?)),
            Scenario::Pipeline(n) => Ok(figures(&closed(options, server, PLAINTEXT, BUSY_CONNECTIONS, n)?)),
            Scenario::Burst(n) => burst(options, server, n),
            Scenario::Submit(n) => submit(server, n),
            Scenario::Idle(n) => idle(options, server, n),
            Scenario::WebSocket(scenario) => scenario.measure(options, server),
        }
    }
}

/// A report with what the server spent between its edges.
pub(super) struct Measured {
    pub report: Report,
    pub cpu: Duration,
    pub user_share: f64,
}

impl Measured {
    pub fn cpu_us_per_answer(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.report.answers as f64
    }
}

/// Reads the server's CPU clock at the edges of what `load` measures.
pub(super) fn measured(
    server: &Server,
    load: impl FnOnce(&mut dyn FnMut(Edge)) -> io::Result<Report>,
) -> io::Result<Measured> {
    let (mut open, mut close) = (Ok(CpuTime::default()), Ok(CpuTime::default()));
    let report = load(&mut |edge| match edge {
        Edge::Open => open = server.cpu(),
        Edge::Close => close = server.cpu(),
    })?;
    refuse_errors(&report)?;
    let (cpu, user_share) = close?.since(&open?);
    Ok(Measured { report, cpu, user_share })
}

/// A figure over requests that failed would mean nothing.
fn refuse_errors(report: &Report) -> io::Result<()> {
    if report.errors.total() > 0 {
        return Err(io::Error::other(format!("errors: {}", report.errors)));
    }
    if report.answers == 0 {
        return Err(io::Error::other("no answers"));
    }
    Ok(())
}

fn closed(
    options: &Options,
    server: &Server,
    path: &str,
    connections: usize,
    depth: u32,
) -> io::Result<Measured> {
    let plan =
        Closed { path: path.into(), connections, depth, warmup: options.warmup, duration: options.duration };
    measured(server, |edge| load::closed(server.addr(), &plan, edge))
}

fn figures(measured: &Measured) -> Vec<Figure> {
    let us = |q| measured.report.latency.quantile(q).as_secs_f64() * 1e6;
    let cpu = measured.cpu_us_per_answer();
    vec![
        Figure::new("CPU us/request", cpu, 2).against_floor(),
        Figure::new("of it user", cpu * measured.user_share, 2),
        Figure::new("answers/s", measured.report.rate(), 0),
        Figure::new("p50 us", us(0.5), 0),
        Figure::new("p99 us", us(0.99), 0).against_floor(),
        Figure::new("p99.9 us", us(0.999), 0),
    ]
}

/// System calls are counted in further bursts of their own: the tracepoint costs the server time.
fn burst(options: &Options, server: &Server, connections: usize) -> io::Result<Vec<Figure>> {
    let mut plan = Burst {
        path: PLAINTEXT.into(),
        connections,
        period: BURST_PERIOD,
        warmup_rounds: options.burst_rounds.div_ceil(5),
        rounds: options.burst_rounds,
    };
    let mut figures = figures(&measured(server, |edge| load::burst(server.addr(), &plan, edge))?);
    figures.retain(|figure| figure.name != "answers/s");
    plan.rounds = plan.warmup_rounds;
    plan.warmup_rounds = 1;
    let mut counted = Ok(0);
    let mut counter = None;
    let report = load::burst(server.addr(), &plan, &mut |edge| match edge {
        Edge::Open => counter = Some(SystemCalls::of(server.pid())),
        Edge::Close => {
            if let Some(counter) = counter.take() {
                counted = counter.and_then(|mut counter| counter.count());
            }
        }
    })?;
    refuse_errors(&report)?;
    let calls = match counted {
        Ok(calls) => calls as f64 / f64::from(plan.rounds),
        Err(error) => {
            eprintln!("system calls cannot be counted: {error}");
            f64::NAN
        }
    };
    figures.push(Figure::new("system calls/burst", calls, 1));
    Ok(figures)
}

fn submit(server: &Server, heavy_requests: usize) -> io::Result<Vec<Figure>> {
    let mut plan = Mixed {
        light_path: PLAINTEXT.into(),
        light_rate: LIGHT_RATE,
        light_connections: BUSY_CONNECTIONS,
        heavy_path: HEAVY_INLINE.into(),
        heavy_requests,
        lead: Duration::from_millis(300),
        patience: Duration::from_secs(20),
    };
    let inline = load::mixed(server.addr(), &plan)?;
    plan.heavy_path = HEAVY_SUBMIT.into();
    let submitted = load::mixed(server.addr(), &plan)?;
    for report in [&inline, &submitted] {
        refuse_errors(&report.heavy)?;
        refuse_errors(&report.light_beside)?;
    }
    let p99 = |report: &Report| report.latency.quantile(0.99).as_secs_f64() * 1e6;
    let (with, without) = (p99(&submitted.light_beside), p99(&inline.light_beside));
    Ok(vec![
        Figure::new("light p99 us, alone", p99(&submitted.light_alone), 0),
        Figure::new("beside inline work", without, 0),
        Figure::new("beside submitted work", with, 0),
        Figure::new("inline / submitted", without / with, 1),
        Figure::new("heavy done in ms, inline", inline.heavy.elapsed.as_secs_f64() * 1e3, 0),
        Figure::new("submitted", submitted.heavy.elapsed.as_secs_f64() * 1e3, 0),
    ])
}

fn idle(options: &Options, server: &Server, count: usize) -> io::Result<Vec<Figure>> {
    let alone = closed(options, server, PLAINTEXT, BUSY_CONNECTIONS, 1)?;
    let held = IdleSet::open(server.addr(), PLAINTEXT, count).map_err(io::Error::other)?;
    let beside = closed(options, server, PLAINTEXT, BUSY_CONNECTIONS, 1)?;
    drop(held);
    let again = closed(options, server, PLAINTEXT, BUSY_CONNECTIONS, 1)?;
    let p99 = |measured: &Measured| measured.report.latency.quantile(0.99).as_secs_f64() * 1e6;
    let alone_us = (alone.cpu_us_per_answer() + again.cpu_us_per_answer()) / 2.0;
    Ok(vec![
        Figure::new("CPU us/request alone", alone_us, 2),
        Figure::new("beside idle ones", beside.cpu_us_per_answer(), 2).against_floor(),
        Figure::new("beside / alone", beside.cpu_us_per_answer() / alone_us, 3),
        Figure::new("p99 us alone", p99(&alone), 0),
        Figure::new("p99 us beside", p99(&beside), 0),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [
            "plaintext64",
            "json512",
            "pipeline16",
            "burst300",
            "submit300",
            "idle8000",
            "ws-echo512",
            "ws-large1024",
            "ws-deflate16",
            "ws-broadcast5000",
            "ws-idle15000",
            "ws-idle-room15000",
        ] {
            assert_eq!(name.parse::<Scenario>().unwrap().to_string(), name);
        }
        assert_eq!("burst".parse(), Ok(Scenario::Burst(300)));
        for name in ["", "plaintext", "plaintext0", "idle", "pipeline-1", "json9x", "64"] {
            assert!(name.parse::<Scenario>().is_err(), "{name}");
        }
    }
}
