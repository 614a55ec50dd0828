//! `cargo run --release -p benches --bin compare`: the servers against each other and the floors.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use benches::compare::{Options, Scenario, default_load_cpu, run};
use benches::contestant::{Contestant, default_sws, serve_if_asked};
use clap::Parser;

/// Compares servers by CPU time per request and latency. Server and load have a core each.
#[derive(Parser)]
struct Args {
    /// Loads: plaintextN, jsonN, pipelineN, burstN, submitN, idleN; burst and submit alone mean 300. WebSockets: ws-echoN,
    /// ws-largeKIB, ws-deflateKIB, ws-broadcastN, ws-idleN, ws-idle-roomN.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "plaintext64,plaintext512,pipeline16,burst,submit,idle8000",
        default_value_ifs([
            ("websocket", "true", "ws-echo512,ws-large16,ws-large1024,ws-broadcast5000,ws-idle15000,ws-idle-room15000"),
            ("tiny", "true", concat!(
                "plaintext64,json64,pipeline16,burst,submit20,idle200,",
                "ws-echo32,ws-large64,ws-deflate64,ws-broadcast64,ws-idle200,ws-idle-room200"
            )),
        ])
    )]
    scenario: Vec<Scenario>,
    /// The scenarios of WebSockets instead of those of HTTP.
    #[arg(long)]
    websocket: bool,
    /// Servers. What one does not serve is left out.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "floor-uring,floor-uring-minwait,floor-epoll,floor-rw-epoll,hyper,axum,tungstenite,fastwebsockets,sws"
    )]
    contestant: Vec<Contestant>,
    /// Interleaved runs of each server.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Measured seconds of each closed loop.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 1.0)]
    warmup_seconds: f64,
    /// Bursts measured.
    #[arg(long, default_value_t = 200)]
    burst_rounds: u32,
    /// The program of sws [default: examples/bench_server beside this program].
    #[arg(long)]
    sws: Option<PathBuf>,
    /// Cores of the server.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    server_cpus: Vec<usize>,
    /// Core of the load [default: 1 where there are two].
    #[arg(long)]
    load_cpu: Option<usize>,
    /// Niceness of load and servers; below zero (as root), other programs disturb the figures less.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    nice: i32,
    /// One short run, to show that everything works; its figures mean nothing.
    #[arg(long)]
    tiny: bool,
}

fn main() -> io::Result<()> {
    serve_if_asked();
    let args = Args::parse();
    let tiny = |full: f64, tiny: f64| Duration::from_secs_f64(if args.tiny { tiny } else { full });
    run(&Options {
        duration: tiny(args.seconds, 0.2),
        warmup: tiny(args.warmup_seconds, 0.1),
        runs: if args.tiny { 1 } else { args.runs },
        burst_rounds: if args.tiny { 5 } else { args.burst_rounds },
        contestants: args.contestant,
        scenarios: args.scenario,
        sws: args.sws.unwrap_or_else(default_sws),
        server_cpus: args.server_cpus,
        load_cpu: args.load_cpu.unwrap_or_else(default_load_cpu),
        nice: args.nice,
    })
}
