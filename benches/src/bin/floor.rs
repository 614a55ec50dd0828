//! The floor as a program: `floor --listen ADDR --mode MODE`. SIGTERM prints its count of system calls.

use std::net::SocketAddr;

use benches::floor::{Mode, print_system_calls_on_sigterm, serve};
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
}

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    print_system_calls_on_sigterm();
    serve(args.mode, benches::sys::listen(args.listen)?)
}
