//! What a suspended handler costs in memory: as a fiber alone, and as a request whose connection waits for its answer.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use sws_runtime::{Config, Limits, Run, Runtime, go, run_inline, sleep, yield_now};

use crate::load::{loopback_source, request};
use crate::{process, sws_server, sys};

/// Longer than any measurement: the end of the runtime ends the wait.
const LONG: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(20);
const POLL_PERIOD: Duration = Duration::from_millis(50);

/// How a fiber comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Start {
    /// By `run_inline`, from the loop, as the handler of a request does.
    Inline,
    /// By `go`.
    Go,
}

/// Growth of this process's resident bytes for each of `count` fibers that sleep.
pub fn bytes_per_fiber(count: usize, how: Start) -> io::Result<f64> {
    assert!(count > 0, "there is something to measure");
    let fibers_max = u32::try_from(count + 64).map_err(io::Error::other)?;
    let limits = Limits { fibers_max, ..Limits::default() };
    let runtime = Runtime::new(Config { limits, ..Config::default() }).map_err(io::Error::other)?;
    let before = process::rss_bytes_of(std::process::id())?;
    match how {
        Start::Inline => runtime.enter(|| {
            for _ in 0..count {
                let run = run_inline("suspended", || {
                    // Its end is the runtime's.
                    let _ = sleep(LONG);
                });
                assert!(matches!(run, Run::Suspended(_)), "a fiber that sleeps is suspended");
            }
        }),
        Start::Go => runtime.block_on_fiber(move || {
            for at in 0..count {
                drop(go("suspended", || sleep(LONG)));
                if at % STARTED_AT_ONCE == 0 {
                    yield_now().expect("nobody cancels it");
                }
            }
            yield_now().expect("nobody cancels it");
        }),
    }
    let suspended = runtime.stats().fibers;
    assert_eq!(suspended, count, "all of them wait");
    let after = process::rss_bytes_of(std::process::id())?;
    Ok((after as f64 - before as f64) / count as f64)
}

/// Fibers started in one turn of the loop: fewer than are run in one.
const STARTED_AT_ONCE: usize = 512;

/// Growth of a server's resident bytes for each of `count` requests whose handlers are suspended, connection included.
pub fn bytes_per_request(count: usize, server_cpus: &[usize]) -> io::Result<f64> {
    assert!(count > 0, "there is something to measure");
    let mut server = sws_server::start(Duration::ZERO, server_cpus)?;
    let addr = server.addr();
    sws_server::suspended(addr)?;
    let before = server.rss_bytes()?;
    let ask = request(addr, sws_server::SUSPEND);
    let mut streams: Vec<TcpStream> = Vec::with_capacity(count);
    for index in 0..count {
        let mut stream = sys::connect_from(loopback_source(index, addr), addr)?;
        stream.write_all(&ask)?;
        streams.push(stream);
    }
    let end = Instant::now() + PATIENCE;
    while sws_server::suspended(addr)? < count {
        if Instant::now() > end {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "not all handlers were reached"));
        }
        std::thread::sleep(POLL_PERIOD);
    }
    let after = server.rss_bytes()?;
    drop(streams);
    server.stop()?;
    Ok((after as f64 - before as f64) / count as f64)
}
