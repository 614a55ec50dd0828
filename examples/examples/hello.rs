//! Hello, World: a handler, a router, a server.
//!
//! `cargo run --release -p examples --example hello -- --listen 127.0.0.1:8080`

#![forbid(unsafe_code)]

use sws::{Context, IntoResponse, Router, ServeError, Server};

fn hello(ctx: &mut Context) -> impl IntoResponse {
    let name = ctx.param("name").unwrap_or("World");
    ctx.text(format!("Hello, {name}!\n"))
}

fn main() -> Result<(), ServeError> {
    let server = Server::bind(examples::listen_addr())?;
    println!("listening on {}", server.addr());
    server.serve(|| Router::new().get("/", hello).get("/{name}", hello))
}
