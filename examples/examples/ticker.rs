//! Prices, many times a second. Who reads them slowly gets fewer, and each the latest there is: what waits for a socket is one price
//! for each symbol, however far behind it is.
//!
//! `cargo run --release -p examples --example ticker -- --listen 127.0.0.1:8080`, then a WebSocket at
//! `ws://127.0.0.1:8080/prices` for all symbols or `ws://127.0.0.1:8080/prices/RING` for one. `--interval-us 1000` sets the pace.

#![forbid(unsafe_code)]

use serde_json::json;
use std::thread;
use std::time::Duration;
use sws::http::StatusCode;
use sws::websocket::{Socket, SocketHandler, SocketOptions, WebSocketUpgrade};
use sws::{
    IntoResponse, Overflow, Path, Publication, PublishError, Response, Router, ServeError, Server,
    TopicOptions, Topics, topics,
};

const SYMBOLS: [&str; 8] = ["ACME", "BOLT", "CORK", "DUNE", "ECHO", "FERN", "RING", "SLOT"];
const INTERVAL: Duration = Duration::from_millis(10);
/// Bytes that may wait for a socket; a price over that takes the place of the one before it.
const OUTPUT_BYTES_MAX: usize = 16 * 1024;

/// What the topics of all symbols begin with.
const PRICES: &str = "prices/";

/// A socket that listens to one symbol, or to all.
struct Listener {
    symbol: Option<String>,
}

impl SocketHandler for Listener {
    fn on_open(&mut self, socket: &mut Socket<'_>) {
        let subscribed = match &self.symbol {
            Some(symbol) => socket.subscribe(&format!("{PRICES}{symbol}")),
            None => socket.subscribe_prefix(PRICES),
        };
        if subscribed.is_err() {
            socket.close(1013, "too many listeners");
        }
    }
}

fn listen(symbol: Option<String>, upgrade: WebSocketUpgrade) -> Response {
    let options = SocketOptions {
        message_bytes_max: 1024,
        output_bytes_max: OUTPUT_BYTES_MAX,
        ..SocketOptions::default()
    };
    upgrade.options(options).accept(Listener { symbol })
}

fn all(upgrade: WebSocketUpgrade) -> Response {
    listen(None, upgrade)
}

fn one(Path(symbol): Path<String>, upgrade: WebSocketUpgrade) -> Response {
    if SYMBOLS.contains(&symbol.as_str()) {
        listen(Some(symbol), upgrade)
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

/// A random walk, and not a random one: xorshift64.
struct Market {
    random: u64,
    cents: [i64; SYMBOLS.len()],
    /// Prices so far.
    number: u64,
}

impl Market {
    fn step(&mut self, symbol: usize) -> i64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let change = (self.random % 21) as i64 - 10;
        self.cents[symbol] = (self.cents[symbol] + change).max(1);
        self.number += 1;
        self.cents[symbol]
    }
}

/// The market stands for a feed from elsewhere: it has a thread of its own, and publishes from there until no worker is left.
fn run_market(topics: &Topics, interval: Duration) {
    let mut market = Market { random: 0x9e37_79b9_7f4a_7c15, cents: [10_000; SYMBOLS.len()], number: 0 };
    loop {
        thread::sleep(interval);
        for (place, symbol) in SYMBOLS.iter().enumerate() {
            let cents = market.step(place);
            let price = json!({ "symbol": symbol, "cents": cents, "number": market.number }).to_string();
            // The key says what a price is the latest of.
            let price = Publication::from(price).key(place as u64 + 1);
            // One that finds the worker too busy is lost: the next comes soon.
            if topics.publish(&format!("prices/{symbol}"), price) == Err(PublishError::Closed) {
                return;
            }
        }
    }
}

fn interval() -> Duration {
    let micros = examples::argument("--interval-us").and_then(|text| text.parse().ok());
    micros.map_or(INTERVAL, Duration::from_micros)
}

/// Called by the server on its own thread, where the signals are already taken care of.
fn router() -> Router {
    let topics = topics();
    thread::spawn(move || run_market(&topics, interval()));
    Router::new().get("/prices", all).get("/prices/{symbol}", one)
}

fn main() -> Result<(), ServeError> {
    let server = Server::bind(examples::listen_addr())?;
    server.topics().configure("prices/*", TopicOptions::default().overflow(Overflow::KeepLatest));
    println!("listening on {}", server.addr());
    server.serve(router)
}
