//! A server with a log behind its routes, and requests to it.

use crate::common::{Answer, Client};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use sws::content::log::LogOptions;
use sws::log_routes::LogRoutes;
use sws::{HttpLimits, Log, Router, Running, Server};

/// A folder of its own, taken away at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("log-routes-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server whose `/topics` are those of a log.
pub struct Fixture {
    pub server: Running,
    pub log: Log,
    _folder: Option<Folder>,
}

impl Fixture {
    /// With the topics' routes that `routes` makes of plain ones.
    pub fn new(routes: impl Fn(LogRoutes) -> LogRoutes + Send + Sync + 'static) -> Fixture {
        let folder = Folder::new();
        let (log, _) = Log::open(&folder.0).unwrap();
        Fixture { _folder: Some(folder), ..Fixture::with_log(log, HttpLimits::default(), 1, routes) }
    }

    /// With topics that can be made by who wants them.
    pub fn admin() -> Fixture {
        Fixture::new(|routes| routes.admin(true))
    }

    pub fn with_options(options: LogOptions) -> Fixture {
        let folder = Folder::new();
        let (log, _) = Log::open_with(&folder.0, options).unwrap();
        let routes = |routes: LogRoutes| routes.admin(true);
        Fixture { _folder: Some(folder), ..Fixture::with_log(log, HttpLimits::default(), 1, routes) }
    }

    pub fn with_log(
        log: Log,
        limits: HttpLimits,
        workers: usize,
        routes: impl Fn(LogRoutes) -> LogRoutes + Send + Sync + 'static,
    ) -> Fixture {
        let shared = log.clone();
        let server = Server::bind("127.0.0.1:0").unwrap().limits(limits).workers(workers).unwrap();
        let router =
            move || Router::new().nest("/topics", routes(LogRoutes::new(shared.clone())).into_router());
        Fixture { server: server.spawn(router).unwrap(), log, _folder: None }
    }

    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    pub fn client(&self) -> Client {
        Client::connect(self.addr())
    }

    /// Ends the server; every slot, fiber and buffer must have come back.
    pub fn end(self) {
        crate::common::wait_until(&self.server, "slots, fibers and buffers come back", |stats| {
            stats.connections == 0 && stats.fiber_ops == 0 && stats.buffer_bytes == 0
        });
        self.server.shutdown();
    }
}

/// A request with headers and a body.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    [request.as_bytes(), b"\r\n", body].concat()
}

/// Requests over one connection, in words of the log.
pub trait Ask {
    fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer;

    fn put(&mut self, path: &str, json: &str) -> Answer {
        self.ask("PUT", path, &[("Content-Type", "application/json")], json.as_bytes())
    }

    fn post_json(&mut self, path: &str, json: &str) -> Answer {
        self.ask("POST", path, &[("Content-Type", "application/json")], json.as_bytes())
    }

    fn post_text(&mut self, path: &str, text: &str) -> Answer {
        self.ask("POST", path, &[("Content-Type", "text/plain; charset=utf-8")], text.as_bytes())
    }

    fn fetch(&mut self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }
}

impl Ask for Client {
    fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send(request(method, path, headers, body));
        self.answer()
    }
}

/// The body of an answer with this status.
pub fn json(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).unwrap()
}

/// A problem with this status and code.
pub fn problem(answer: &Answer, status: u16, code: &str) -> Value {
    let problem = json(answer, status);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    problem
}

/// The payloads of fetched records that are texts.
pub fn texts(answer: &Value) -> Vec<&str> {
    answer["records"].as_array().unwrap().iter().map(|record| record["text"].as_str().unwrap()).collect()
}
