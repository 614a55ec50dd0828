//! The peer `tungstenite` as a program: `peer_tungstenite --listen ADDR`.

use std::net::SocketAddr;

use clap::Parser;

/// Serves WebSockets at /ws (echo) and /room (broadcast) with tokio-tungstenite on one thread.
#[derive(Parser)]
struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

fn main() -> std::io::Result<()> {
    benches::ws_peers::serve_tungstenite(benches::sys::listen(Args::parse().listen)?)
}
