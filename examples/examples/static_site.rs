//! A folder of files beside a handler: the files of `examples/station` with media types, conditional requests, ranges and a page for what
//! is not there, read on the ring.
//!
//! `cargo run --release -p examples --example static_site -- --listen 127.0.0.1:8080`, then open `http://127.0.0.1:8080/`

#![forbid(unsafe_code)]

use std::error::Error;
use sws::{RemoteAddr, Router, ServeDir, Server};

const SITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/station");

fn whoami(RemoteAddr(addr): RemoteAddr) -> String {
    format!("You come from {addr}.\n")
}

fn main() -> Result<(), Box<dyn Error>> {
    let site = ServeDir::new(examples::argument("--site").unwrap_or(SITE.into()))?;
    let server = Server::bind(examples::listen_addr())?;
    println!("listening on {}", server.addr());
    server.serve(move || Router::new().get("/whoami", whoami).fallback(site.clone()))?;
    Ok(())
}
