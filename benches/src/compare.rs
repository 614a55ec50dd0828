//! The comparison: every contestant under every scenario, interleaved over several runs.
//!
//! Each contestant is started anew for each run, pinned to the server's cores, warmed up,
//! measured and ended. The load runs in this process, on the load's core.

mod scenario;
mod websocket;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use scenario::{Scenario, UnknownScenario};
pub use websocket::WsScenario;

use crate::contestant::Contestant;
use crate::process::Server;
use crate::sys;
use crate::table::{Figure, Row, markdown};

/// What to compare, and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// In this order in the tables.
    pub contestants: Vec<Contestant>,
    /// One table each.
    pub scenarios: Vec<Scenario>,
    /// Runs of each contestant; the table shows medians.
    pub runs: usize,
    /// The measured part of a closed loop.
    pub duration: Duration,
    /// Before it.
    pub warmup: Duration,
    /// Bursts measured; a fifth as many come before.
    pub burst_rounds: u32,
    /// The program for [`Contestant::Sws`].
    pub sws: PathBuf,
    /// Cores of the servers.
    pub server_cpus: Vec<usize>,
    /// Core of the load.
    pub load_cpu: usize,
    /// Niceness of load and servers: below zero, other programs disturb less.
    pub nice: i32,
}

/// Runs the comparison; each table is printed as soon as it is complete.
pub fn run(options: &Options) -> io::Result<()> {
    sys::raise_nofile()?;
    sys::pin_to_cpus(&[options.load_cpu])?;
    sys::set_nice(options.nice)?;
    let mut contestants = options.contestants.clone();
    if contestants.contains(&Contestant::Sws) && !options.sws.exists() {
        println!(
            "sws is absent: {} does not exist. Build it with \
             `cargo build --release -p examples --example bench_server` or name it with --sws.\n",
            options.sws.display()
        );
        contestants.retain(|&contestant| contestant != Contestant::Sws);
    }
    let mut failed = 0;
    for scenario in &options.scenarios {
        println!(
            "### {scenario}\n\nMedian (least–greatest) of {} runs, ratio to the best floor\n",
            options.runs
        );
        let able: Vec<_> = contestants.iter().copied().filter(|&c| scenario.is_for(c)).collect();
        println!("{}", markdown("server", &measure_all(options, scenario, &able, &mut failed)));
    }
    if failed > 0 {
        return Err(io::Error::other(format!("{failed} measurements failed")));
    }
    Ok(())
}

/// The core beside the servers' first, where there is one.
pub fn default_load_cpu() -> usize {
    std::thread::available_parallelism().map_or(0, |cpus| (usize::from(cpus) - 1).min(1))
}

fn measure_all(
    options: &Options,
    scenario: &Scenario,
    contestants: &[Contestant],
    failed: &mut usize,
) -> Vec<Row> {
    let row = |c: &Contestant| Row { name: c.to_string(), is_floor: c.is_floor(), runs: Vec::new() };
    let mut rows: Vec<Row> = contestants.iter().map(row).collect();
    for run in 0..options.runs {
        for turn in 0..contestants.len() {
            let at = (run + turn) % contestants.len();
            match measure(options, scenario, contestants[at]) {
                Ok(Some(figures)) => rows[at].runs.push(figures),
                Ok(None) if run == 0 => println!("{} does not serve this.\n", contestants[at]),
                Ok(None) => {}
                Err(error) => {
                    *failed += 1;
                    eprintln!("{} in {scenario}, run {}: {error}", contestants[at], run + 1);
                }
            }
        }
    }
    rows
}

fn measure(
    options: &Options,
    scenario: &Scenario,
    contestant: Contestant,
) -> io::Result<Option<Vec<Figure>>> {
    let mut server: Server = contestant.start(scenario.service(), &options.sws, &options.server_cpus)?;
    let served = scenario.is_served_by(&server)?;
    let figures = if served { Some(scenario.measure(options, &server)?) } else { None };
    server.stop()?;
    Ok(figures)
}
