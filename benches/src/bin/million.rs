//! `million`: very many idle WebSocket connections in one server process, and one percent of them talking.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use benches::compare::default_load_cpu;
use benches::million::{Plan, measure, serve_if_asked};
use benches::sys;
use clap::Parser;

/// Holds idle WebSocket connections on loopback, lets one percent of them talk, and reports memory, CPU time and latency.
/// It takes about 10 KB of memory for each connection, and fails if a message is lost or a connection closed.
#[derive(Parser)]
struct Args {
    /// All connections.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=8_000_000))]
    connections: u32,
    /// Those among them that send 10 messages a second each [default: one percent].
    #[arg(long)]
    talkers: Option<u32>,
    /// Seconds for which they do.
    #[arg(long, default_value_t = 60.0)]
    active_seconds: f64,
    /// Seconds for which the server's CPU time is read while nobody does.
    #[arg(long, default_value_t = 5.0)]
    idle_seconds: f64,
    /// Workers of the server [default: as many as RLIMIT_NOFILE asks for].
    #[arg(long)]
    workers: Option<usize>,
    /// Milliseconds of silence after which the server holds a connection by a poll.
    #[arg(long, default_value_t = 2_000)]
    quiet_after_ms: u64,
    /// A program to serve instead of sws, started with ADDRESS WORKERS QUIET_AFTER_MS.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Core of the server.
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// Core of the client [default: 1 where there are two].
    #[arg(long)]
    load_cpu: Option<usize>,
    /// Sizes that only show that it runs.
    #[arg(long)]
    tiny: bool,
}

fn main() -> ExitCode {
    serve_if_asked();
    match run(Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("messages were lost or wrong, or connections closed or written to without being asked");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints; whether nothing went wrong.
fn run(mut args: Args) -> io::Result<bool> {
    if args.tiny {
        (args.connections, args.talkers, args.quiet_after_ms) = (1_000, Some(100), 100);
        (args.active_seconds, args.idle_seconds) = (1.0, 0.2);
    }
    sys::pin_to_cpus(&[args.load_cpu.unwrap_or_else(default_load_cpu)])?;
    let report = measure(&Plan {
        connections: args.connections,
        talkers: args.talkers.unwrap_or(args.connections / 100).clamp(1, args.connections),
        active: Duration::from_secs_f64(args.active_seconds),
        idle: Duration::from_secs_f64(args.idle_seconds),
        workers: args.workers,
        quiet_after: Duration::from_millis(args.quiet_after_ms),
        server_cpus: vec![args.server_cpu],
        program: args.program,
    })?;
    println!("{report}");
    Ok(report.is_clean())
}
