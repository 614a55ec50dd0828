//! A durable topic that the program makes at its start, and handlers that produce to it and read it.
//!
//! `cargo run --release -p examples --example orders -- --data /tmp/orders --listen 127.0.0.1:8080`, then
//! `curl -d 'two tickets' http://127.0.0.1:8080/orders` and `curl http://127.0.0.1:8080/orders`

#![forbid(unsafe_code)]

use std::error::Error;
use sws::content::log::{Acks, Entry, FetchError, FetchMax, ProduceError, TopicConfig};
use sws::runtime::go;
use sws::{Log, Router, Server};

const ORDERS: &str = "orders";

/// Errors of the log are answered as its own routes do: 404, 429 with Retry-After, 503 and so on.
fn order(log: &Log, what: &str) -> Result<String, ProduceError> {
    let placed = log.produce(ORDERS, Entry::text(what), Acks::Durable)?;
    Ok(format!("order {}\n", placed.offset))
}

fn list(log: &Log) -> Result<String, FetchError> {
    let records = log.fetch(ORDERS, 0, 0, FetchMax::default())?;
    let line = |payload: &[u8]| format!("{}\n", String::from_utf8_lossy(payload));
    Ok(records.iter().map(|record| line(&record.payload)).collect())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (log, _) = Log::open(examples::argument("--data").unwrap_or("data".into()))?;
    let server = Server::bind(examples::listen_addr())?;
    println!("listening on http://{}", server.addr());
    server.serve(move || {
        let (made, taking, listing) = (log.clone(), log.clone(), log.clone());
        // Making a topic waits for the disk, so it is done on a fiber. Each worker asks; the topic is made once.
        go("make topics", move || {
            if let Err(error) = made.ensure_topic(ORDERS, TopicConfig::default()) {
                eprintln!("the topic {ORDERS} cannot be made: {error}");
            }
        });
        Router::new()
            .post("/orders", move |what: String| order(&taking, &what))
            .get("/orders", move || list(&listing))
    })?;
    Ok(())
}
