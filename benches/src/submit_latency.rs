//! The way of a job to the pool for CPU work and of its answer back to the fiber, on a runtime that does nothing else,
//! beside the bare ping-pong of two threads on the same cores.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use sws_runtime::workers::WorkerConfig;
use sws_runtime::{Config, Runtime, sleep, submit};

use crate::histogram::Histogram;
use crate::pingpong;
use crate::sys;
use crate::table::{Figure, Row};

/// How much to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Runs of each, interleaved.
    pub runs: usize,
    /// Round trips in one run.
    pub rounds: u32,
    /// The rest between two round trips; zero: none.
    pub gap: Duration,
    /// Cores of the loop and of the pool's thread, if they are to be pinned.
    pub cpus: Option<[usize; 2]>,
}

/// Rows of one table: the ping-pong and `submit`.
pub fn measure(plan: &Plan) -> io::Result<Vec<Row>> {
    assert!(plan.runs > 0 && plan.rounds > 0, "there is something to measure");
    let row = |name: &str, is_floor| Row { name: name.into(), is_floor, runs: Vec::new() };
    let mut rows = vec![row("eventfd ping-pong", true), row("`submit` and `join`", false)];
    for _ in 0..plan.runs {
        rows[0].runs.push(figures(&pingpong::round_trips_paced(plan.rounds, plan.gap, plan.cpus)?));
        rows[1].runs.push(figures(&submits(plan)?));
    }
    Ok(rows)
}

fn figures(latency: &Histogram) -> Vec<Figure> {
    let us = |q| latency.quantile(q).as_secs_f64() * 1e6;
    vec![
        Figure::new("p50 us", us(0.5), 2).against_floor(),
        Figure::new("p99 us", us(0.99), 2).against_floor(),
    ]
}

/// Latency from `submit` to the end of `join`, after a tenth as many unmeasured ones, on a thread of its own.
fn submits(plan: &Plan) -> io::Result<Histogram> {
    let Plan { rounds, gap, cpus, .. } = *plan;
    let near = move || {
        if let Some([near, _]) = cpus {
            sys::pin_to_cpus(&[near])?;
        }
        // One thread, so that it is pinned by the first job.
        let workers = WorkerConfig { threads: 1, ..WorkerConfig::default() };
        let runtime = Runtime::new(Config { workers, ..Config::default() }).map_err(io::Error::other)?;
        runtime.block_on_fiber(move || {
            if let Some([_, far]) = cpus {
                submit(move || sys::pin_to_cpus(&[far])).join().map_err(io::Error::from)??;
            }
            let warmup = rounds.div_ceil(10);
            let mut latency = Histogram::new();
            for round in 0..warmup + rounds {
                if !gap.is_zero() {
                    sleep(gap).map_err(io::Error::from)?;
                }
                let start = Instant::now();
                submit(|| ()).join().map_err(io::Error::from)?;
                if round >= warmup {
                    latency.record(start.elapsed(), 1);
                }
            }
            Ok(latency)
        })
    };
    thread::spawn(near).join().expect("the thread does not panic")
}
