//! Durable records from many producers and from one: over HTTP, over WebSocket, and beside Redis with a sync for each turn of its loop.
//!
//! The three are asked by the same client, with one record under way for each producer, over files on the same disk.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::load::{Edge, Report};
use crate::log_client::protocol::Protocol;
use crate::log_client::server::{self, Running};
use crate::log_client::{self, Produce};
use crate::process::CpuTime;
use crate::table::{Figure, Row, median};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Runs of each, interleaved.
    pub runs: usize,
    /// Numbers of producers, a table for each.
    pub producers: Vec<usize>,
    /// Who is measured.
    pub protocols: Vec<Protocol>,
    /// Bytes of a record's payload.
    pub payload_bytes: usize,
    /// Before measuring begins.
    pub warmup: Duration,
    /// The measured part.
    pub duration: Duration,
    /// Settings of the topic, as JSON; nothing: those of the log.
    pub topic: String,
    /// The program of sws.
    pub sws: PathBuf,
    /// A folder on the disk in question.
    pub dir: PathBuf,
    /// Cores of the servers.
    pub server_cpus: Vec<usize>,
}

/// The column of the rate.
const RATE: usize = 2;

/// Rows of the table of each number of producers.
pub fn measure(plan: &Plan) -> io::Result<Vec<Vec<Row>>> {
    assert!(plan.runs > 0 && !plan.protocols.is_empty(), "there is something to measure");
    let row = |protocol: &Protocol| Row {
        name: name(*protocol).into(),
        is_floor: *protocol == Protocol::Redis,
        runs: Vec::new(),
    };
    let mut tables: Vec<Vec<Row>> =
        plan.producers.iter().map(|_| plan.protocols.iter().map(row).collect()).collect();
    for run in 0..plan.runs {
        for turn in 0..plan.protocols.len() {
            let at = (run + turn) % plan.protocols.len();
            for (table, &producers) in tables.iter_mut().zip(&plan.producers) {
                table[at].runs.push(measure_one(plan, plan.protocols[at], producers)?);
            }
        }
    }
    Ok(tables)
}

/// The name of a row.
pub fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "sws, HTTP",
        Protocol::WebSocket => "sws, WebSocket",
        Protocol::Redis => "redis, XADD",
    }
}

/// The rates of one table over those of another, row by row: the median over the runs.
pub fn rate_ratios(over: &[Row], under: &[Row]) -> Vec<(String, f64)> {
    let ratio = |(over, under): (&Row, &Row)| {
        let ratios: Vec<f64> =
            over.runs.iter().zip(&under.runs).map(|(o, u)| o[RATE].value / u[RATE].value).collect();
        (over.name.clone(), median(&ratios))
    };
    over.iter().zip(under).map(ratio).collect()
}

fn start(plan: &Plan, protocol: Protocol) -> io::Result<Running> {
    let dir: &Path = &plan.dir;
    match protocol {
        Protocol::Http | Protocol::WebSocket => {
            let running = server::start_sws(&plan.sws, dir, &[], &plan.server_cpus)?;
            server::create_topic(running.server.addr(), log_client::protocol::TOPIC, &plan.topic)?;
            Ok(running)
        }
        Protocol::Redis => server::start_redis(dir, &plan.server_cpus),
    }
}

fn measure_one(plan: &Plan, protocol: Protocol, producers: usize) -> io::Result<Vec<Figure>> {
    let mut running = start(plan, protocol)?;
    let addr = running.server.addr();
    let load = Produce {
        protocol,
        producers,
        payload_bytes: plan.payload_bytes,
        warmup: plan.warmup,
        duration: plan.duration,
    };
    let is_sws = protocol != Protocol::Redis;
    let mut edges: Vec<io::Result<(CpuTime, (u64, u64))>> = Vec::new();
    let report: Report = log_client::produce(addr, &load, &mut |edge| {
        // The server is asked outside of the measured part.
        let stats =
            |running: &Running| if is_sws { server::stats(running.server.addr()) } else { Ok((0, 0)) };
        let both = match edge {
            Edge::Open => stats(&running).and_then(|stats| Ok((running.server.cpu()?, stats))),
            Edge::Close => running.server.cpu().and_then(|cpu| Ok((cpu, stats(&running)?))),
        };
        edges.push(both);
    })?;
    running.server.stop()?;
    let mut edges = edges.into_iter();
    let (Some(open), Some(close)) = (edges.next(), edges.next()) else {
        return Err(io::Error::other("the load has no edges"));
    };
    let ((open, before), (close, after)) = (open?, close?);
    let (spent, user) = close.since(&open);
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let each = us(spent) / report.answers as f64;
    let per_sync = match after.1 - before.1 {
        0 => f64::NAN,
        commits => (after.0 - before.0) as f64 / commits as f64,
    };
    Ok(vec![
        Figure::new("CPU us/record", each, 2).against_floor(),
        Figure::new("of it user", each * user, 2),
        Figure::new("records/s", report.rate(), 0).against_floor(),
        Figure::new("p50 us", us(report.latency.quantile(0.5)), 0).against_floor(),
        Figure::new("p99 us", us(report.latency.quantile(0.99)), 0).against_floor(),
        Figure::new("p99.9 us", us(report.latency.quantile(0.999)), 0),
        Figure::new("records/sync", per_sync, 1),
        Figure::new("core busy %", 100.0 * us(spent) / us(report.elapsed), 0),
    ])
}
