//! A page with live numbers of its own server. Every second they are published to a topic, which each open page is subscribed to by
//! Server-Sent Events: an open page costs its connection's slot and no fiber. The topic keeps the last minute, so a page that comes
//! begins with a picture, and one that comes back gets what it missed.
//!
//! `cargo run --release -p examples --example dashboard_sse -- --listen 127.0.0.1:8080`, then a browser on that address

#![forbid(unsafe_code)]

use serde::Serialize;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use sws::runtime::fs::File;
use sws::runtime::{Publication, TopicOptions, go, sleep, stats, topics, turn_time};
use sws::sse::{Sse, SseOptions};
use sws::{Html, Response, Router, ServeError, Server, State};

const TOPIC: &str = "numbers";
const PERIOD: Duration = Duration::from_secs(1);
/// Publications that are kept: one minute.
const HISTORY: usize = 60;

/// What the page shows.
#[derive(Serialize)]
struct Numbers {
    uptime_seconds: u64,
    viewers: usize,
    connections: u32,
    accepted: u64,
    turns_per_second: u64,
    fibers: usize,
    delivered: u64,
    memory_kb: u64,
}

/// Whether somebody publishes: there is one fiber for that, as long as somebody watches.
#[derive(Clone, Default)]
struct Publishing(Rc<Cell<bool>>);

impl Publishing {
    fn begin(&self) {
        if !self.0.replace(true) {
            let publishing = self.clone();
            go("publisher", move || {
                if let Err(error) = publish() {
                    eprintln!("no numbers any more: {error}");
                }
                publishing.0.set(false);
            });
        }
    }
}

/// Publishes until nobody watches any more: so it does not hold up the server's end, which closes the streams.
fn publish() -> io::Result<()> {
    let (mut turns, mut at) = (stats().turns, turn_time());
    loop {
        let (counts, now) = (stats(), turn_time());
        let elapsed = now.saturating_sub(at).as_secs_f64().max(0.001);
        let numbers = Numbers {
            uptime_seconds: now.as_secs(),
            viewers: topics().subscribers(TOPIC),
            connections: counts.connections,
            accepted: counts.accepted,
            turns_per_second: ((counts.turns - turns) as f64 / elapsed).round() as u64,
            fibers: counts.fibers,
            delivered: counts.delivered,
            memory_kb: memory_kb()?,
        };
        let json = serde_json::to_string(&numbers)?;
        topics().publish(TOPIC, Publication::from(json).event("numbers")).map_err(io::Error::other)?;
        (turns, at) = (counts.turns, now);
        if sleep(PERIOD).is_err() || topics().subscribers(TOPIC) == 0 {
            return Ok(());
        }
    }
}

/// Resident memory of this process, as the kernel tells it.
fn memory_kb() -> io::Result<u64> {
    let mut status = [0; 4096];
    let len = File::open("/proc/self/status")?.read_at(&mut status, 0)?;
    let text = String::from_utf8_lossy(&status[..len]);
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0))
}

/// The stream of the page: behind the last numbers that it has, if it comes again.
fn events(State(publishing): State<Publishing>, sse: Sse) -> Response {
    let last = sse.last_sequence().unwrap_or(0);
    let options = SseOptions { retry: Some(PERIOD), ..SseOptions::default() };
    sse.options(options).open(move |stream| match stream.subscribe_since(TOPIC, last) {
        Ok(_) => publishing.begin(),
        Err(error) => {
            eprintln!("a page without numbers: {error}");
            stream.close();
        }
    })
}

fn router() -> Router {
    topics().configure(TOPIC, TopicOptions::default().history(HISTORY));
    Router::new()
        .get("/", || Html(include_str!("dashboard_sse.html")))
        .get("/events", events)
        .with_state(Publishing::default())
}

fn main() -> Result<(), ServeError> {
    let server = Server::bind(examples::listen_addr())?;
    println!("listening on {}", server.addr());
    server.serve(router)
}
