//! The peer `fastwebsockets` as a program: `peer_fastwebsockets --listen ADDR`.

use std::net::SocketAddr;

use clap::Parser;

/// Serves WebSockets at /ws (echo) and /room (broadcast) with fastwebsockets over hyper on one thread.
#[derive(Parser)]
struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

fn main() -> std::io::Result<()> {
    benches::ws_peers::serve_fastwebsockets(benches::sys::listen(Args::parse().listen)?)
}
