//! Light requests at a fixed rate, alone and beside producers at full rate and compaction: what the light ones notice.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::load::request;
use crate::log_client::protocol::{Protocol, TOPIC};
use crate::log_client::{Askers, payload, server};
use crate::sys;
use crate::table::{Figure, Row};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Runs, each of which has both parts.
    pub runs: usize,
    /// Light requests a second.
    pub rate: u32,
    /// Connections that share them.
    pub light_connections: usize,
    /// Producers, each of which sends its next record when it has the answer to the last.
    pub producers: usize,
    /// Bytes of a record's payload.
    pub payload_bytes: usize,
    /// Keys that repeat.
    pub keys: usize,
    /// Bytes of a segment of the topic, which is compacted.
    pub segment_bytes: u64,
    /// Before each part.
    pub warmup: Duration,
    /// Of each part.
    pub duration: Duration,
    /// The program of sws.
    pub sws: PathBuf,
    /// A folder on the disk in question.
    pub dir: PathBuf,
    /// Cores of the server.
    pub server_cpus: Vec<usize>,
}

/// How often the log looks for what is to be compacted.
const MAINTENANCE_MS: &str = "200";

/// Rows: alone, and beside the producers. The ratio is that to the light ones alone.
pub fn measure(plan: &Plan) -> io::Result<Vec<Row>> {
    let row = |name: &str, is_floor| Row { name: name.into(), is_floor, runs: Vec::new() };
    let mut rows = vec![row("alone", true), row("beside producers and compaction", false)];
    for _ in 0..plan.runs {
        let args = ["--maintenance-ms", MAINTENANCE_MS];
        let mut running = server::start_sws(&plan.sws, &plan.dir, &args, &plan.server_cpus)?;
        let addr = running.server.addr();
        let config = format!(r#"{{"compact":true,"segment_bytes":{}}}"#, plan.segment_bytes);
        server::create_topic(addr, TOPIC, &config)?;
        for (row, producers) in rows.iter_mut().zip([0, plan.producers]) {
            let mut load = Load::open(plan, addr, producers)?;
            load.run(plan.warmup)?;
            (load.light, load.produced) = (Histogram::new(), 0);
            let (begin, cpu) = (Instant::now(), running.server.cpu()?);
            load.run(plan.duration)?;
            let (took, (spent, _)) = (begin.elapsed(), running.server.cpu()?.since(&cpu));
            let us = |q| load.light.quantile(q).as_secs_f64() * 1e6;
            row.runs.push(vec![
                Figure::new("light: p50 us", us(0.5), 0).against_floor(),
                Figure::new("p99 us", us(0.99), 0).against_floor(),
                Figure::new("p99.9 us", us(0.999), 0),
                Figure::new("light/s", load.light.count() as f64 / took.as_secs_f64(), 0),
                Figure::new("records/s", load.produced as f64 / took.as_secs_f64(), 0),
                Figure::new("core busy %", 100.0 * spent.as_secs_f64() / took.as_secs_f64(), 0),
                Figure::new("segments", segments(addr)?, 0),
                Figure::new("MiB kept", kept(addr)? / f64::from(1 << 20), 0),
            ]);
            load.askers.drain()?;
        }
        running.server.stop()?;
    }
    Ok(rows)
}

fn shown(addr: SocketAddr, what: &str) -> io::Result<f64> {
    let (_, body) = server::ask(addr, "GET", &format!("/topics/{TOPIC}"), "")?;
    let value: serde_json::Value = serde_json::from_str(&body)?;
    value["partitions"][0][what].as_f64().ok_or_else(|| io::Error::other(format!("a topic is {body:?}")))
}

fn segments(addr: SocketAddr) -> io::Result<f64> {
    shown(addr, "segments")
}

fn kept(addr: SocketAddr) -> io::Result<f64> {
    shown(addr, "bytes")
}

/// The light ones' clock and connections, and the producers, in one loop.
struct Load {
    askers: Askers,
    ask: Vec<u8>,
    records: Vec<Vec<u8>>,
    free: Vec<usize>,
    late: VecDeque<Instant>,
    next: Instant,
    gap: Duration,
    light_connections: usize,
    /// Latency of the light ones, from their intended time.
    light: Histogram,
    produced: u64,
}

impl Load {
    fn open(plan: &Plan, addr: SocketAddr, producers: usize) -> io::Result<Load> {
        sys::set_timer_slack_to_least();
        let mut askers = Askers::new()?;
        askers.open(addr, Protocol::Http, plan.light_connections + producers)?;
        let payload = payload(plan.payload_bytes);
        let record = |key| Protocol::Http.encode(addr, &payload, Some(&format!("key-{key}")));
        let records: Vec<Vec<u8>> = (0..plan.keys).map(record).collect();
        for producer in 0..producers {
            askers.ask(
                plan.light_connections + producer,
                &records[producer % records.len()],
                Instant::now(),
            )?;
        }
        Ok(Load {
            askers,
            ask: request(addr, "/light"),
            records,
            free: (0..plan.light_connections).collect(),
            late: VecDeque::new(),
            next: Instant::now(),
            gap: Duration::from_secs(1) / plan.rate,
            light_connections: plan.light_connections,
            light: Histogram::new(),
            produced: 0,
        })
    }

    fn run(&mut self, duration: Duration) -> io::Result<()> {
        let end = Instant::now() + duration;
        self.next = Instant::now();
        while Instant::now() < end || !self.late.is_empty() {
            let now = Instant::now();
            while self.next <= now && self.next < end {
                self.late.push_back(self.next);
                self.next += self.gap;
            }
            while let (Some(&intended), Some(number)) = (self.late.front(), self.free.last().copied()) {
                self.askers.ask(number, &self.ask, intended)?;
                self.free.pop();
                self.late.pop_front();
            }
            let wait = self.next.saturating_duration_since(now).max(Duration::from_micros(10));
            let (records, free) = (&self.records, &mut self.free);
            let (light, produced, producers_from) =
                (&mut self.light, &mut self.produced, self.light_connections);
            self.askers.poll(wait, |number, took| {
                if number < producers_from {
                    light.record(took, 1);
                    free.push(number);
                    return None;
                }
                *produced += 1;
                Some(&records[*produced as usize % records.len()])
            })?;
        }
        Ok(())
    }
}
