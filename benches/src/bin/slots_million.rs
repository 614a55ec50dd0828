//! `slots_million`: the pool and the wheel at a million slots, without sockets.

use std::io;
use std::time::Duration;

use benches::slots_million::{Plan, measure};
use benches::sys;
use clap::Parser;

/// Measures slots and deadlines for very many connections: memory, lateness and CPU time.
#[derive(Parser)]
struct Args {
    /// Slots, all of them live.
    #[arg(long, default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    slots: u32,
    /// Seconds of each timeout, simulated.
    #[arg(long, default_value_t = 30.0, value_parser = seconds)]
    timeout_seconds: f64,
    /// Seconds in which nothing expires, simulated.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    idle_seconds: f64,
    /// Core to run on.
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    /// Sizes that only show that it runs.
    #[arg(long)]
    tiny: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.1..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err("between 0.1 and a day".into()) }
}

fn main() -> io::Result<()> {
    let mut args = Args::parse();
    if args.tiny {
        (args.slots, args.timeout_seconds, args.idle_seconds) = (10_000, 3.0, 1.0);
    }
    sys::pin_to_cpus(&[args.cpu])?;
    let report = measure(&Plan {
        slots: args.slots,
        timeout: Duration::from_secs_f64(args.timeout_seconds),
        idle: Duration::from_secs_f64(args.idle_seconds),
    })?;
    println!("{report}");
    Ok(())
}
