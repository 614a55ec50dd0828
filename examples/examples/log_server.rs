//! A log behind HTTP, WebSocket and Server-Sent Events, beside a light page: what the log's measurements talk to.
//!
//! `cargo run --release -p examples --example log_server -- --data /tmp/log --listen 127.0.0.1:8080`, then
//! `curl -H 'Content-Type: text/plain' -d 'two tickets' http://127.0.0.1:8080/topics/orders` and `curl http://127.0.0.1:8080/topics/orders/0`

#![forbid(unsafe_code)]

use serde::Serialize;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;
use sws::content::log::{LogOptions, TopicConfig};
use sws::http::StatusCode;
use sws::log_routes::LogRoutes;
use sws::{Json, Log, Router, ServeDir, Server};

/// What the log has done so far.
#[derive(Serialize)]
struct Stats {
    records: u64,
    commits: u64,
}

fn stats(log: &Log) -> Result<Json<Stats>, StatusCode> {
    let stats = log.stats().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(Json(Stats { records: stats.records, commits: stats.commits }))
}

fn options() -> Result<LogOptions, Box<dyn Error>> {
    let mut options = LogOptions::default();
    if let Some(millis) = examples::argument("--maintenance-ms") {
        options.maintenance_interval = Duration::from_millis(millis.parse()?);
    }
    Ok(options)
}

fn main() -> Result<(), Box<dyn Error>> {
    let data = PathBuf::from(examples::argument("--data").unwrap_or("data".into()));
    let (log, report) = Log::open_with(&data, options()?)?;
    // The log's own files, as any others: without what the log knows of them.
    let files = ServeDir::new(&data)?;
    let server = Server::bind(examples::listen_addr())?;
    println!("listening on http://{} with {} records", server.addr(), report.records());
    server.serve(move || {
        let topics = LogRoutes::new(log.clone()).admin(true).create_on_produce(TopicConfig::default());
        let counted = log.clone();
        Router::new()
            .get("/light", || "Hello, World!")
            .get("/stats", move || stats(&counted))
            .nest("/topics", topics.into_router())
            .fallback(files.clone())
    })?;
    Ok(())
}
