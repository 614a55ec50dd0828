//! `log_light`: what light requests notice of producers and compaction.

use std::io;
use std::time::Duration;

use benches::log_client::server::{Place, ServerArgs};
use benches::log_light::{Plan, measure};
use benches::table::markdown;
use clap::Parser;

/// Measures light requests at a fixed rate, alone and beside durable producers of a topic that is compacted.
#[derive(Parser)]
struct Args {
    /// Runs, each with both parts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Light requests a second.
    #[arg(long, default_value_t = 300)]
    rate: u32,
    /// Producers at full rate.
    #[arg(long, default_value_t = 10)]
    producers: usize,
    /// Bytes of a record.
    #[arg(long, default_value_t = 1024)]
    bytes: usize,
    /// Keys that repeat.
    #[arg(long, default_value_t = 2000)]
    keys: usize,
    /// Bytes of a segment.
    #[arg(long, default_value_t = 4 << 20)]
    segment_bytes: u64,
    /// Seconds of each part.
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Seconds before each.
    #[arg(long, default_value_t = 2.0)]
    warmup_seconds: f64,
    #[command(flatten)]
    server: ServerArgs,
    /// Sizes that only show that it runs.
    #[arg(long)]
    tiny: bool,
}

fn main() -> io::Result<()> {
    let mut args = Args::parse();
    if args.tiny {
        (args.runs, args.seconds, args.warmup_seconds, args.segment_bytes) = (1, 0.3, 0.1, 64 << 10);
    }
    let Place { sws, dir, server_cpus } = args.server.place()?;
    let plan = Plan {
        runs: args.runs,
        rate: args.rate,
        light_connections: 16,
        producers: args.producers,
        payload_bytes: args.bytes,
        keys: args.keys,
        segment_bytes: args.segment_bytes,
        warmup: Duration::from_secs_f64(args.warmup_seconds),
        duration: Duration::from_secs_f64(args.seconds),
        sws,
        dir,
        server_cpus,
    };
    println!(
        "{} light requests a second, {} producers of {} bytes: median (least–greatest) of {} runs, ratio to the light ones alone\n",
        plan.rate, plan.producers, plan.payload_bytes, plan.runs
    );
    println!("{}", markdown("light requests", &measure(&plan)?));
    Ok(())
}
