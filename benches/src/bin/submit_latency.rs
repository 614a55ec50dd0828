//! `submit_latency`: from `submit` to its answer, beside a bare ping-pong of two threads.

use std::io;
use std::time::Duration;

use benches::submit_latency::{Plan, measure};
use benches::sys;
use benches::table::markdown;
use clap::Parser;

/// Measures `submit` and `join` from a fiber of a runtime that does nothing else.
#[derive(Parser)]
struct Args {
    /// Runs of each kind, interleaved.
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Round trips in one run.
    #[arg(long, default_value_t = 10_000)]
    rounds: u32,
    /// Microseconds between two round trips of the paced kind.
    #[arg(long, default_value_t = 300)]
    gap_us: u64,
    /// Cores of the loop and of the pool's thread; the same one twice is allowed.
    #[arg(long, value_delimiter = ',', default_value = "0,1")]
    cpus: Vec<usize>,
    /// Sizes that only show that it runs, on any core.
    #[arg(long)]
    tiny: bool,
}

fn main() -> io::Result<()> {
    let mut args = Args::parse();
    let Ok(cpus) = <[usize; 2]>::try_from(args.cpus) else {
        eprintln!("--cpus takes two cores, as in 0,1");
        std::process::exit(2);
    };
    if args.tiny {
        (args.runs, args.rounds) = (1, 200);
    }
    sys::set_timer_slack_to_least();
    for (name, gap) in [("paced", Duration::from_micros(args.gap_us)), ("hot", Duration::ZERO)] {
        let cpus = (!args.tiny).then_some(cpus);
        let rows = measure(&Plan { runs: args.runs, rounds: args.rounds, gap, cpus })?;
        println!(
            "{name}, a rest of {} us before each: median (least–greatest) of {} runs, ratio to the ping-pong\n\n{}",
            gap.as_micros(),
            args.runs,
            markdown("round trip", &rows)
        );
    }
    Ok(())
}
