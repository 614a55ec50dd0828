//! A server of sws inside the measuring program, for what `bench_server` does not offer: other limits, and handlers that wait.
//!
//! As the contestants are, it is the measuring program itself, started again as a child.

use std::env;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sws::runtime::{Config, Limits, sleep};
use sws::{HttpLimits, Router};

use crate::process::{self, Server};

const MARK: &str = "--serve-as-sws";
/// Longer than any measurement.
const LONG: Duration = Duration::from_secs(3600);

/// Answers at once.
pub const PLAINTEXT: &str = "/plaintext";
/// Suspends its handler for as long as the server lives.
pub const SUSPEND: &str = "/suspend";
/// Says how many handlers are suspended.
const SUSPENDED: &str = "/suspended";

/// Handlers that wait. The router's factory must be `Send`, so it cannot be a cell of the worker.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Serves, and never returns, if this process was started by [`start`]. Call it first in `main`.
pub fn serve_if_asked() {
    let mut args = env::args().skip(1);
    if args.next().as_deref() != Some(MARK) {
        return;
    }
    let quiet_after_ms = args.next().and_then(|ms| ms.parse().ok());
    let addr = args.next().and_then(|addr| addr.parse().ok());
    let (Some(quiet_after_ms), Some(addr)) = (quiet_after_ms, addr) else {
        eprintln!("{MARK} QUIET_AFTER_MS ADDR");
        std::process::exit(2);
    };
    if let Err(error) = serve(Duration::from_millis(quiet_after_ms), addr) {
        eprintln!("{error}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

fn serve(quiet_after: Duration, addr: SocketAddr) -> Result<(), sws::ServeError> {
    let limits = Limits { quiet_after, drain_timeout: Duration::ZERO, ..Limits::default() };
    let http = HttpLimits { handler_timeout: LONG, idle_timeout: LONG, ..HttpLimits::default() };
    sws::Server::bind(addr)?.limits(http).config(Config { limits, ..Config::default() }).serve(|| {
        Router::new()
            .get(PLAINTEXT, || "Hello, World!")
            .get(SUSPENDED, || WAITING.load(Ordering::Relaxed).to_string())
            .get(SUSPEND, || {
                WAITING.fetch_add(1, Ordering::Relaxed);
                // Its end is the server's.
                let _ = sleep(LONG);
                "resumed"
            })
    })
}

/// Starts it on `cpus`. `quiet_after` is [`Limits::quiet_after`]; zero: every connection is held by a receive.
pub fn start(quiet_after: Duration, cpus: &[usize]) -> io::Result<Server> {
    let addr = process::free_address()?;
    let mut command = Command::new(env::current_exe()?);
    command.arg(MARK).arg(quiet_after.as_millis().to_string()).arg(addr.to_string());
    Server::start(command, addr, cpus)
}

/// How many handlers of the server at `addr` are suspended.
pub fn suspended(addr: SocketAddr) -> io::Result<usize> {
    let mut stream = TcpStream::connect(addr)?;
    write!(stream, "GET {SUSPENDED} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.rsplit("\r\n\r\n").next().unwrap_or_default();
    body.parse().map_err(|_| io::Error::other(format!("{SUSPENDED} answered {answer:?}")))
}
