//! The floor as a program: `floor --listen ADDR --mode MODE`. SIGTERM prints its count of system calls.

use std::net::SocketAddr;

use benches::floor::{self, Mode, print_system_calls_on_sigterm};
use benches::{sys, ws_floor};
use clap::Parser;

/// Answers every request with the same bytes: the least a server can do.
#[derive(Parser)]
struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// How it waits and moves bytes.
    #[arg(long, value_enum, default_value = "uring")]
    mode: Mode,
    /// WebSockets at /ws (echo) and /room (broadcast) instead of requests.
    #[arg(long)]
    websocket: bool,
}

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    print_system_calls_on_sigterm();
    let listener = sys::listen(args.listen)?;
    if args.websocket { ws_floor::serve(args.mode, listener) } else { floor::serve(args.mode, listener) }
}
