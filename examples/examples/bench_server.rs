//! The contestant of comparisons: a few routes, written as a user would write them.
//!
//! `cargo run --release -p examples --example bench_server -- --listen 127.0.0.1:8080`

#![forbid(unsafe_code)]

use serde::Serialize;
use sws::{Bytes, Json, Path, Router, ServeError, Server};

#[derive(Serialize)]
struct Message {
    message: &'static str,
}

fn user(Path(id): Path<String>) -> String {
    id
}

fn echo(body: Bytes) -> Bytes {
    body
}

fn router() -> Router {
    Router::new()
        .get("/plaintext", || "Hello, World!")
        .get("/json", || Json(Message { message: "Hello, World!" }))
        .get("/user/{id}", user)
        .post("/echo", echo)
        .any("/any/{*rest}", echo)
}

fn main() -> Result<(), ServeError> {
    let addr = std::env::args().skip_while(|arg| arg != "--listen").nth(1);
    let server = Server::bind(addr.unwrap_or("127.0.0.1:8080".into()))?;
    println!("listening on http://{}", server.addr());
    server.serve(router)
}
