//! The load generator as a program, against any HTTP/1.1 or WebSocket server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use benches::load::ws::{self, Broadcast, Content, Echo, WsIdleSet};
use benches::load::{Burst, Closed, Edge, IdleSet, Mixed, burst, closed, mixed};
use benches::sys;
use clap::{Parser, Subcommand};

/// Puts a load on a server and counts what is answered.
#[derive(Parser)]
struct Args {
    /// The server.
    #[arg(long, global = true, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// What is asked for [default: /plaintext; of WebSockets /ws and /room].
    #[arg(long, global = true)]
    path: Option<String>,
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
    /// WebSockets, each sending again when all it sent has come back.
    WsEcho {
        /// How many.
        #[arg(long, default_value_t = 512)]
        connections: usize,
        #[command(flatten)]
        messages: Messages,
    },
    /// Members of a room, of whom some publish in turn, when all members have what was published before.
    WsBroadcast {
        /// How many.
        #[arg(long, default_value_t = 5000)]
        members: usize,
        /// How many of them publish.
        #[arg(long, default_value_t = 1)]
        publishers: usize,
        #[command(flatten)]
        messages: Messages,
    },
    /// WebSockets that have one message echoed and are then held.
    WsIdle {
        /// How many.
        #[arg(long, default_value_t = 15_000)]
        connections: usize,
        /// Seconds to hold them.
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
    },
}

/// What WebSockets send, and for how long.
#[derive(clap::Args)]
struct Messages {
    /// Bytes of a message.
    #[arg(long, default_value_t = 64)]
    bytes: usize,
    /// Messages in one write.
    #[arg(long, default_value_t = 1)]
    depth: u32,
    /// Binary instead of text.
    #[arg(long)]
    binary: bool,
    /// Compressed (permessage-deflate).
    #[arg(long)]
    deflate: bool,
    /// Measured seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 1.0)]
    warmup_seconds: f64,
}

impl Messages {
    fn content(&self) -> Content {
        Content {
            payload_bytes: self.bytes,
            messages: self.depth,
            binary: self.binary,
            deflate: self.deflate,
        }
    }
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    sys::raise_nofile()?;
    if let Some(cpu) = args.cpu {
        sys::pin_to_cpus(&[cpu])?;
    }
    let (addr, path) = (args.addr, args.path);
    let or = |default: &str| path.clone().unwrap_or_else(|| default.into());
    let unmeasured = &mut |_: Edge| {};
    match args.scenario {
        Scenario::Closed { connections, depth, seconds, warmup_seconds } => {
            let (warmup, duration) = (seconds_of(warmup_seconds), seconds_of(seconds));
            let plan = Closed { path: or("/plaintext"), connections, depth, warmup, duration };
            println!("{}", closed(addr, &plan, unmeasured)?);
        }
        Scenario::Burst { connections, period_ms, rounds } => {
            let (path, period) = (or("/plaintext"), Duration::from_millis(period_ms));
            let plan = Burst { path, connections, period, warmup_rounds: rounds.div_ceil(5), rounds };
            println!("{}", burst(addr, &plan, unmeasured)?);
        }
        Scenario::Mixed { light_rate, heavy_path, heavy_requests } => {
            let plan = Mixed {
                light_path: or("/plaintext"),
                light_rate,
                light_connections: 64,
                heavy_path,
                heavy_requests,
                lead: Duration::from_millis(300),
                patience: Duration::from_secs(20),
            };
            let report = mixed(addr, &plan)?;
            println!("light, alone: {}", report.light_alone);
            println!("light, beside heavy: {}", report.light_beside);
            println!("heavy: {}", report.heavy);
        }
        Scenario::Idle { connections, seconds } => {
            let held = IdleSet::open(addr, &or("/plaintext"), connections).map_err(io::Error::other)?;
            hold(held.len(), seconds);
        }
        Scenario::WsEcho { connections, messages } => {
            let (warmup, duration) = (seconds_of(messages.warmup_seconds), seconds_of(messages.seconds));
            let plan = Echo { path: or("/ws"), connections, content: messages.content(), warmup, duration };
            println!("{}", ws::echo(addr, &plan, unmeasured).map_err(io::Error::other)?);
        }
        Scenario::WsBroadcast { members, publishers, messages } => {
            let (warmup, duration) = (seconds_of(messages.warmup_seconds), seconds_of(messages.seconds));
            let (path, content) = (or("/room"), messages.content());
            let plan = Broadcast { path, members, publishers, content, warmup, duration };
            println!("{}", ws::broadcast(addr, &plan, unmeasured).map_err(io::Error::other)?);
        }
        Scenario::WsIdle { connections, seconds } => {
            let held = WsIdleSet::open(addr, &or("/ws"), connections).map_err(io::Error::other)?;
            held.echo(1).map_err(io::Error::other)?;
            hold(held.len(), seconds);
        }
    }
    Ok(())
}

fn hold(connections: usize, seconds: f64) {
    println!("{connections} connections answered and held for {seconds} seconds");
    std::thread::sleep(seconds_of(seconds));
}

fn seconds_of(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}
