//! The peer `hyper` as a program: `peer_hyper --listen ADDR`.

use std::net::SocketAddr;

use clap::Parser;

/// Serves /plaintext and /json with hyper on one thread.
#[derive(Parser)]
struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

fn main() -> std::io::Result<()> {
    benches::peers::serve_hyper(benches::sys::listen(Args::parse().listen)?)
}
