//! `pingpong`: round trips between two threads over eventfds.

use benches::pingpong::round_trips;
use clap::Parser;

/// Measures what waking another thread and being woken by it costs.
#[derive(Parser)]
struct Args {
    /// Round trips.
    #[arg(long, default_value_t = 100_000)]
    rounds: u32,
    /// Cores of the two threads; the same one twice is allowed.
    #[arg(long, value_delimiter = ',', default_value = "0,1")]
    cpus: Vec<usize>,
}

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    let Ok(cpus) = <[usize; 2]>::try_from(args.cpus) else {
        eprintln!("--cpus takes two cores, as in 0,1");
        std::process::exit(2);
    };
    let latency = round_trips(args.rounds, Some(cpus))?;
    let us = |q| latency.quantile(q).as_secs_f64() * 1e6;
    println!("cores {cpus:?}: p50 {:.2} us, p99 {:.2} us, p99.9 {:.2} us", us(0.5), us(0.99), us(0.999));
    Ok(())
}
