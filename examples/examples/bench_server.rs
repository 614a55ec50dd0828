//! The contestant of comparisons: a few routes, written as a user would write them.
//!
//! `cargo run --release -p examples --example bench_server -- --listen 127.0.0.1:8080`

#![forbid(unsafe_code)]

use serde::Serialize;
use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use sws::http::StatusCode;
use sws::runtime::submit;
use sws::websocket::{DeflateConfig, Message, Socket, SocketHandler, SocketOptions, WebSocketUpgrade};
use sws::{Bytes, Json, Path, Response, Router, ServeError, Server, State};

/// CPU time of one heavy request.
const HEAVY: Duration = Duration::from_millis(2);

#[derive(Serialize)]
struct Greeting {
    message: &'static str,
}

fn user(Path(id): Path<String>) -> String {
    id
}

fn echo(body: Bytes) -> Bytes {
    body
}

/// Work that no compiler shortens.
fn mix(rounds: u64) -> u64 {
    (0..rounds).fold(0, |sum: u64, round| (sum ^ black_box(round)).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The rounds that take so much CPU time here, by the fastest of several trials.
static HEAVY_ROUNDS: LazyLock<u64> = LazyLock::new(|| {
    const TRIAL_ROUNDS: u64 = 200_000;
    let trial = |_| {
        let start = Instant::now();
        black_box(mix(TRIAL_ROUNDS));
        start.elapsed()
    };
    let fastest = (0..20).map(trial).min().unwrap_or(HEAVY);
    (TRIAL_ROUNDS as f64 * HEAVY.as_secs_f64() / fastest.as_secs_f64()) as u64
});

fn heavy_inline() -> String {
    mix(*HEAVY_ROUNDS).to_string()
}

fn heavy_submit() -> Result<String, StatusCode> {
    submit(heavy_inline).join().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

/// The largest message of `/ws`.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

fn socket_options() -> SocketOptions {
    SocketOptions {
        message_bytes_max: MESSAGE_BYTES_MAX,
        frame_bytes_max: MESSAGE_BYTES_MAX,
        // One message is on its way back while the next comes.
        output_bytes_max: 2 * MESSAGE_BYTES_MAX,
        deflate: std::env::args().any(|arg| arg == "--deflate").then(DeflateConfig::default),
        ..SocketOptions::default()
    }
}

fn echo_socket(upgrade: WebSocketUpgrade, State(options): State<SocketOptions>) -> Response {
    upgrade.options(options).on_message(|socket: &mut Socket<'_>, message: Message<'_>| {
        // One that reads too slowly is closed by its policy.
        let _ = socket.send(message);
    })
}

/// Everybody gets what anybody says.
struct Member;

impl SocketHandler for Member {
    fn on_open(&mut self, socket: &mut Socket<'_>) {
        if socket.subscribe("room").is_err() {
            socket.abort();
        }
    }

    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        if socket.publish("room", message).is_err() {
            socket.abort();
        }
    }
}

fn room(upgrade: WebSocketUpgrade, State(options): State<SocketOptions>) -> Response {
    upgrade.options(options).accept(Member)
}

fn router() -> Router {
    Router::new()
        .with_state(socket_options())
        .get("/ws", echo_socket)
        .get("/room", room)
        .get("/plaintext", || "Hello, World!")
        .get("/json", || Json(Greeting { message: "Hello, World!" }))
        .get("/user/{id}", user)
        .post("/echo", echo)
        .any("/any/{*rest}", echo)
        .get("/heavy/inline", heavy_inline)
        .get("/heavy/submit", heavy_submit)
}

fn main() -> Result<(), ServeError> {
    LazyLock::force(&HEAVY_ROUNDS);
    let server = Server::bind(examples::listen_addr())?;
    println!("listening on http://{}", server.addr());
    server.serve(router)
}
