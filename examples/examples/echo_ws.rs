//! What a WebSocket says comes back, written in the two ways that there are: by callbacks, which cost nothing while a socket is idle,
//! and in a straight line on a fiber of its own. A peer that does not read its echoes is held back, not closed.
//!
//! `cargo run --release -p examples --example echo_ws -- --listen 127.0.0.1:8080`, then `ws://127.0.0.1:8080/callbacks` and
//! `ws://127.0.0.1:8080/line`

#![forbid(unsafe_code)]

use sws::websocket::{Message, Socket, SocketHandler, WebSocketUpgrade};
use sws::{Response, Router, ServeError, Server};

/// So much may wait for a peer before nothing more is taken from it.
const PENDING_BYTES_HIGH: usize = 256 * 1024;

struct Echo;

impl SocketHandler for Echo {
    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        // A socket that is closing gets no echo.
        let _ = socket.send(message);
        if socket.pending_bytes() > PENDING_BYTES_HIGH {
            socket.pause();
            socket.notify_drain();
        }
    }

    fn on_drain(&mut self, socket: &mut Socket<'_>) {
        socket.resume();
    }
}

fn callbacks(upgrade: WebSocketUpgrade) -> Response {
    upgrade.accept(Echo)
}

/// Here `send` waits for a slow peer, and meanwhile little is taken from it.
fn line(upgrade: WebSocketUpgrade) -> Response {
    upgrade.run(|mut socket| {
        while let Ok(Some(message)) = socket.recv() {
            if socket.send(&message).is_err() {
                break;
            }
        }
    })
}

fn main() -> Result<(), ServeError> {
    let server = Server::bind(examples::listen_addr())?;
    println!("listening on {}", server.addr());
    server.serve(|| Router::new().get("/callbacks", callbacks).get("/line", line))
}
