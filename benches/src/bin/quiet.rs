//! `quiet`: idle connections held by receives and by polls.

use std::io;
use std::time::Duration;

use benches::compare::default_load_cpu;
use benches::quiet::{Plan, measure};
use benches::table::markdown;
use benches::{sws_server, sys};
use clap::Parser;

/// Measures what each way to hold an idle connection costs the kernel, the server and the busy connections.
#[derive(Parser)]
struct Args {
    /// Runs of each way, interleaved.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Idle connections.
    #[arg(long, default_value_t = 15_000)]
    connections: usize,
    /// Busy ones beside them.
    #[arg(long, default_value_t = 64)]
    busy_connections: usize,
    /// Milliseconds of silence after which a connection is held by a poll.
    #[arg(long, default_value_t = 500)]
    quiet_after_ms: u64,
    /// Measured seconds of the closed loop, and of the idle time.
    #[arg(long, default_value_t = 3.0)]
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

fn main() -> io::Result<()> {
    sws_server::serve_if_asked();
    let mut args = Args::parse();
    if args.tiny {
        (args.runs, args.connections, args.busy_connections) = (1, 200, 8);
        (args.quiet_after_ms, args.seconds) = (100, 0.1);
    }
    sys::raise_nofile()?;
    sys::pin_to_cpus(&[args.load_cpu.unwrap_or_else(default_load_cpu)])?;
    let rows = measure(&Plan {
        runs: args.runs,
        connections: args.connections,
        busy_connections: args.busy_connections,
        quiet_after: Duration::from_millis(args.quiet_after_ms),
        duration: Duration::from_secs_f64(args.seconds),
        warmup: Duration::from_secs_f64(args.seconds / 3.0),
        server_cpus: vec![args.server_cpu],
    })?;
    println!(
        "{} idle connections, {} busy ones: median (least–greatest) of {} runs, ratio to the receive\n",
        args.connections, args.busy_connections, args.runs
    );
    println!("{}", markdown("held by", &rows));
    Ok(())
}
