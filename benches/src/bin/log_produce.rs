//! `log_produce`: durable records of many producers and of one, beside Redis.

use std::io;
use std::time::Duration;

use benches::log_client::protocol::Protocol;
use benches::log_client::server::{self, Place, ServerArgs};
use benches::log_produce::{Plan, measure, rate_ratios};
use benches::table::markdown;
use clap::Parser;

/// Measures durable produce over HTTP and WebSocket, beside XADD of Redis (`appendfsync always`), which `.ci/redis` installs.
#[derive(Parser)]
struct Args {
    /// Runs of each, interleaved.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Numbers of producers.
    #[arg(long, value_delimiter = ',', default_value = "64,1")]
    producers: Vec<usize>,
    /// Only these: http, websocket, redis.
    #[arg(long, value_delimiter = ',', default_value = "http,websocket,redis")]
    protocol: Vec<String>,
    /// Bytes of a record.
    #[arg(long, default_value_t = 1024)]
    bytes: usize,
    /// Measured seconds of each.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 0.5)]
    warmup_seconds: f64,
    /// Settings of the topic, as JSON [default: those of the log].
    #[arg(long, default_value = "")]
    topic: String,
    #[command(flatten)]
    server: ServerArgs,
    /// One short run without Redis, to show that everything works.
    #[arg(long)]
    tiny: bool,
}

fn protocol(name: &str) -> io::Result<Protocol> {
    match name {
        "http" => Ok(Protocol::Http),
        "websocket" => Ok(Protocol::WebSocket),
        "redis" => Ok(Protocol::Redis),
        _ => Err(io::Error::other(format!("no protocol is called {name:?}"))),
    }
}

fn main() -> io::Result<()> {
    let mut args = Args::parse();
    if args.tiny {
        (args.runs, args.producers, args.seconds, args.warmup_seconds) = (1, vec![4, 1], 0.1, 0.05);
        args.protocol.retain(|name| name != "redis");
    }
    if args.protocol.iter().any(|name| name == "redis") && !server::has_redis() {
        eprintln!("{} is not installed (.ci/redis does that): measured without it", server::REDIS);
        args.protocol.retain(|name| name != "redis");
    }
    let Place { sws, dir, server_cpus } = args.server.place()?;
    let plan = Plan {
        runs: args.runs,
        producers: args.producers,
        protocols: args.protocol.iter().map(|name| protocol(name)).collect::<io::Result<_>>()?,
        payload_bytes: args.bytes,
        warmup: Duration::from_secs_f64(args.warmup_seconds),
        duration: Duration::from_secs_f64(args.seconds),
        topic: args.topic,
        sws,
        dir,
        server_cpus,
    };
    println!("Median (least–greatest) of {} runs, ratio to Redis\n", plan.runs);
    let tables = measure(&plan)?;
    for (table, producers) in tables.iter().zip(&plan.producers) {
        println!("#### {producers} producer(s), records of {} bytes\n", plan.payload_bytes);
        println!("{}", markdown("server", table));
    }
    if let ([many, one], [most, least]) = (&tables[..], &plan.producers[..]) {
        println!("Records/s of {most} producers over those of {least}:\n");
        for (name, ratio) in rate_ratios(many, one) {
            println!("- {name}: {ratio:.1}");
        }
        println!();
    }
    Ok(())
}
