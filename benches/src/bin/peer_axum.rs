//! The peer `axum` as a program: `peer_axum --listen ADDR`.

use std::net::SocketAddr;

use clap::Parser;

/// Serves /plaintext and /json with axum on one thread.
#[derive(Parser)]
struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

fn main() -> std::io::Result<()> {
    benches::peers::serve_axum(benches::sys::listen(Args::parse().listen)?)
}
