//! `log_resume`: subscribers that break off and resume by offset, each of which must have every record once, in order.

use std::io;
use std::time::Duration;

use benches::log_client::server::{Place, ServerArgs};
use benches::log_resume::{Plan, measure};
use benches::sys;
use benches::table::{Row, markdown};
use clap::Parser;

/// Follows a topic by Server-Sent Events and WebSocket, under a steady produce, with subscribers that break off at random. It fails if
/// one of them lacks a record, or gets one twice or out of order.
#[derive(Parser)]
struct Args {
    /// Runs.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Subscribers of each kind.
    #[arg(long, default_value_t = 1000)]
    subscribers: usize,
    /// Records a second.
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// Milliseconds between batches of them.
    #[arg(long, default_value_t = 20)]
    tick_ms: u64,
    /// Seconds in which records are produced.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Seconds that a subscriber stays, on average.
    #[arg(long, default_value_t = 5.0)]
    stay_seconds: f64,
    /// Seconds that it is away at most.
    #[arg(long, default_value_t = 1.0)]
    away_seconds: f64,
    /// What is random follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    server: ServerArgs,
    /// 50 subscribers for two seconds.
    #[arg(long)]
    tiny: bool,
}

fn main() -> io::Result<()> {
    let mut args = Args::parse();
    if args.tiny {
        (args.subscribers, args.seconds, args.stay_seconds, args.away_seconds) = (25, 2.0, 0.3, 0.1);
    }
    sys::raise_nofile()?;
    let Place { sws, dir, server_cpus } = args.server.place()?;
    let plan = Plan {
        subscribers: args.subscribers,
        rate: args.rate,
        tick: Duration::from_millis(args.tick_ms),
        duration: Duration::from_secs_f64(args.seconds),
        stay: Duration::from_secs_f64(args.stay_seconds),
        away: Duration::from_secs_f64(args.away_seconds),
        seed: args.seed,
        sws,
        dir,
        server_cpus,
    };
    let name = format!("{0} events, {0} WebSockets, {1} records/s", plan.subscribers, plan.rate);
    let runs = (0..args.runs).map(|run| measure(&Plan { seed: plan.seed + run as u64, ..plan.clone() }));
    let row = Row { name, is_floor: false, runs: runs.collect::<io::Result<_>>()? };
    println!("Each subscriber had every record once, in order.\n\n{}", markdown("subscribers", &[row]));
    Ok(())
}
