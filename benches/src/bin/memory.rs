//! `memory`: what idle connections cost a server and the kernel.

use std::io;
use std::path::PathBuf;

use benches::contestant::{Contestant, Service, default_sws, serve_if_asked};
use benches::memory::{Plan, measure, measure_websockets};
use benches::sys;
use clap::Parser;

/// Opens idle keep-alive connections, or WebSockets, and reads what memory they take.
#[derive(Parser)]
struct Args {
    /// Servers, one after the other.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sws")]
    contestant: Vec<Contestant>,
    /// Idle connections.
    #[arg(long, default_value_t = 15_000)]
    connections: usize,
    /// Connections opened and closed before the first reading.
    #[arg(long, default_value_t = 64)]
    warmup_connections: usize,
    /// What they ask for.
    #[arg(long, default_value = "/plaintext", default_value_if("websocket", "true", "/ws"))]
    path: String,
    /// WebSockets: `--path /ws` or `--path /room`.
    #[arg(long)]
    websocket: bool,
    /// The program of sws [default: examples/bench_server beside this program].
    #[arg(long)]
    sws: Option<PathBuf>,
    /// Core of the server.
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
}

fn main() -> io::Result<()> {
    serve_if_asked();
    let args = Args::parse();
    sys::raise_nofile()?;
    let sws = args.sws.unwrap_or_else(default_sws);
    let plan =
        Plan { path: args.path, connections: args.connections, warmup_connections: args.warmup_connections };
    let service = if args.websocket { Service::Websocket } else { Service::Http };
    for contestant in args.contestant {
        let mut server = contestant.start(service, &sws, &[args.server_cpu])?;
        let report = if args.websocket {
            measure_websockets(&server, &plan).map_err(io::Error::other)?
        } else {
            measure(&server, &plan).map_err(io::Error::other)?
        };
        println!("### {contestant}\n\n{report}");
        server.stop()?;
    }
    Ok(())
}
