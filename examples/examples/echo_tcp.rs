//! Echo over TCP, by callbacks: an idle connection costs its slot and nothing else, and a peer that sends but does not read
//! is slowed down by TCP itself.
//!
//! `cargo run --release -p examples --example echo_tcp -- --listen 127.0.0.1:7000`, then `nc 127.0.0.1 7000`

#![forbid(unsafe_code)]

use std::error::Error;
use std::net::TcpListener;
use sws::runtime::signal::Signals;
use sws::runtime::{Config, Conn, Data, EventHandler, Runtime, SendError};

/// What is sent back at once. All that came may be more than the output takes.
const PIECE_BYTES: usize = 16 * 1024;

struct Echo;

impl EventHandler for Echo {
    type Workspace = ();

    fn on_data(&mut self, conn: &mut Conn<'_>, data: &Data<'_>) -> usize {
        let mut taken = 0;
        for piece in data.chunks(PIECE_BYTES) {
            match conn.send(piece) {
                Ok(()) => taken += piece.len(),
                // What is not taken waits, and the peer with it, until the output is sent.
                Err(SendError::Full) => break,
                Err(_) => {
                    conn.abort();
                    return data.len();
                }
            }
        }
        taken
    }

    fn on_sent(&mut self, conn: &mut Conn<'_>) {
        if conn.pending_input() > 0 {
            conn.resume_input();
        } else if conn.is_ended() {
            conn.close();
        }
    }

    fn on_end(&mut self, conn: &mut Conn<'_>) {
        if conn.pending_input() == 0 {
            conn.close();
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let signals = Signals::block()?;
    let listener = TcpListener::bind(examples::listen_addr())?;
    println!("listening on {}", listener.local_addr()?);
    let runtime = Runtime::new(Config::default())?;
    runtime.listen(listener, Echo);
    runtime.handle_signals(signals);
    runtime.run();
    Ok(())
}
