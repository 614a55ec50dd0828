//! `slow_peers`: what the members of a topic notice of those that have stopped reading.

use std::io;
use std::time::Duration;

use benches::compare::default_load_cpu;
use benches::slow_peers::{Plan, measure, overflow_of, serve_if_asked};
use benches::sys;
use benches::table::markdown;
use clap::Parser;
use sws::Overflow;

/// Measures deliveries to the members of a topic that read, without and with members that have stopped.
#[derive(Parser)]
struct Args {
    /// Runs of each way, interleaved.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Members that read.
    #[arg(long, default_value_t = 1000)]
    readers: usize,
    /// Members that have stopped.
    #[arg(long, default_value_t = 1000)]
    stopped: usize,
    /// Messages of a round.
    #[arg(long, default_value_t = 1)]
    messages: u32,
    /// What becomes of messages for those who stopped: drop-oldest, keep-latest, close.
    #[arg(long, default_value = "drop-oldest", value_parser = parse_overflow)]
    overflow: Overflow,
    /// Measured seconds.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Core of the server.
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// Core of the load [default: 1 where there are two].
    #[arg(long)]
    load_cpu: Option<usize>,
    /// Sizes that only show that it runs.
    #[arg(long)]
    tiny: bool,
}

fn parse_overflow(name: &str) -> Result<Overflow, String> {
    overflow_of(name).ok_or_else(|| format!("no policy is called {name:?}"))
}

fn main() -> io::Result<()> {
    serve_if_asked();
    let mut args = Args::parse();
    if args.tiny {
        (args.runs, args.readers, args.stopped, args.seconds) = (1, 20, 20, 0.05);
    }
    sys::raise_nofile()?;
    sys::pin_to_cpus(&[args.load_cpu.unwrap_or_else(default_load_cpu)])?;
    let rows = measure(&Plan {
        runs: args.runs,
        readers: args.readers,
        stopped: args.stopped,
        messages: args.messages,
        overflow: args.overflow,
        warmup: Duration::from_secs_f64(args.seconds / 4.0),
        duration: Duration::from_secs_f64(args.seconds),
        server_cpus: vec![args.server_cpu],
    })?;
    println!(
        "A topic at full rate, {} message(s) a round, {:?}: median (least–greatest) of {} runs, ratio to nobody stopped\n",
        args.messages, args.overflow, args.runs
    );
    println!("{}", markdown("members", &rows));
    Ok(())
}
