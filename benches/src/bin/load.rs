//! The load generator as a program, against any HTTP/1.1 server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use benches::load::{Burst, Closed, Edge, IdleSet, Mixed, burst, closed, mixed};
use benches::sys;
use clap::{Parser, Subcommand};

/// Puts a load on a server and counts what is answered.
#[derive(Parser)]
struct Args {
    /// The server.
    #[arg(long, global = true, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// What is asked for.
    #[arg(long, global = true, default_value = "/plaintext")]
    path: String,
    /// Core of the load; all of them if not given.
    #[arg(long, global = true)]
    cpu: Option<usize>,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Keep-alive connections, each asking again when answered.
    Closed {
        /// How many.
        #[arg(long, default_value_t = 64)]
        connections: usize,
        /// Requests in one write.
        #[arg(long, default_value_t = 1)]
        depth: u32,
        /// Measured seconds.
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
        /// Seconds before that.
        #[arg(long, default_value_t = 1.0)]
        warmup_seconds: f64,
    },
    /// All connections ask in one instant, again and again.
    Burst {
        /// How many.
        #[arg(long, default_value_t = 300)]
        connections: usize,
        /// Milliseconds from one burst to the next.
        #[arg(long, default_value_t = 50)]
        period_ms: u64,
        /// Bursts measured; a fifth as many come before.
        #[arg(long, default_value_t = 200)]
        rounds: u32,
    },
    /// Light requests at a rate beside one burst of heavy ones.
    Mixed {
        /// Light requests per second.
        #[arg(long, default_value_t = 1000)]
        light_rate: u32,
        /// What the heavy ones ask for.
        #[arg(long, default_value = "/heavy/submit")]
        heavy_path: String,
        /// How many heavy ones.
        #[arg(long, default_value_t = 300)]
        heavy_requests: usize,
    },
    /// Connections that ask once and are then held.
    Idle {
        /// How many.
        #[arg(long, default_value_t = 8000)]
        connections: usize,
        /// Seconds to hold them.
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
    },
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    sys::raise_nofile()?;
    if let Some(cpu) = args.cpu {
        sys::pin_to_cpus(&[cpu])?;
    }
    let unmeasured = &mut |_: Edge| {};
    let path = args.path;
    match args.scenario {
        Scenario::Closed { connections, depth, seconds, warmup_seconds } => {
            let (warmup, duration) = (seconds_of(warmup_seconds), seconds_of(seconds));
            let plan = Closed { path, connections, depth, warmup, duration };
            println!("{}", closed(args.addr, &plan, unmeasured)?);
        }
        Scenario::Burst { connections, period_ms, rounds } => {
            let period = Duration::from_millis(period_ms);
            let plan = Burst { path, connections, period, warmup_rounds: rounds.div_ceil(5), rounds };
            println!("{}", burst(args.addr, &plan, unmeasured)?);
        }
        Scenario::Mixed { light_rate, heavy_path, heavy_requests } => {
            let report = mixed(
                args.addr,
                &Mixed {
                    light_path: path,
                    light_rate,
                    light_connections: 64,
                    heavy_path,
                    heavy_requests,
                    lead: Duration::from_millis(300),
                    patience: Duration::from_secs(20),
                },
            )?;
            println!("light, alone: {}", report.light_alone);
            println!("light, beside heavy: {}", report.light_beside);
            println!("heavy: {}", report.heavy);
        }
        Scenario::Idle { connections, seconds } => {
            let held = IdleSet::open(args.addr, &path, connections).map_err(io::Error::other)?;
            println!("{} connections answered and held for {seconds} seconds", held.len());
            std::thread::sleep(seconds_of(seconds));
        }
    }
    Ok(())
}

fn seconds_of(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}
