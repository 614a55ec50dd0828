//! The server: sws in this program, started again as a child.

use std::env;
use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use sws::runtime::{BufferConfig, Config, Limits, RingConfig, default_slots_max};
use sws::websocket::{Message, Socket, SocketHandler, SocketOptions, WebSocketUpgrade};
use sws::{Response, Router, ServeError};

use super::Plan;
use crate::process::{self, Server};

const MARK: &str = "--serve-a-million";
/// Where sockets are opened.
pub(super) const PATH: &str = "/ws";
/// Bytes of a receive buffer. Dozens of workers have their own each, and no message here is longer than a hundred bytes.
const BUFFER_BYTES: u32 = 4096;
/// All workers share one core, so a turn takes as long as the others let it.
const TURN_WARN: Duration = Duration::from_secs(10);

struct Echo;

impl SocketHandler for Echo {
    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        if socket.send(message).is_err() {
            socket.abort();
        }
    }
}

/// The client's idle connections answer nothing, so nobody pings them.
fn upgrade(upgrade: WebSocketUpgrade) -> Response {
    upgrade.options(SocketOptions { ping_interval: None, ..SocketOptions::default() }).accept(Echo)
}

/// Serves, and never returns, if this process was started to do so. Call it first in `main`.
pub fn serve_if_asked() {
    let args: Vec<String> = env::args().skip(1).collect();
    let [mark, addr, workers, quiet_after_ms] = &args[..] else { return };
    if mark != MARK {
        return;
    }
    let (Ok(addr), Ok(workers), Ok(quiet_after_ms)) = (addr.parse(), workers.parse(), quiet_after_ms.parse())
    else {
        eprintln!("{MARK} ADDRESS WORKERS QUIET_AFTER_MS");
        std::process::exit(2);
    };
    if let Err(error) = serve(addr, workers, Duration::from_millis(quiet_after_ms)) {
        eprintln!("{error}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

fn serve(addr: SocketAddr, workers: usize, quiet_after: Duration) -> Result<(), ServeError> {
    let limits =
        Limits { quiet_after, drain_timeout: Duration::ZERO, turn_warn: TURN_WARN, ..Limits::default() };
    let buffers = BufferConfig { size: BUFFER_BYTES, ..BufferConfig::default() };
    let ring = RingConfig { buffers: Some(buffers), ..RingConfig::default() };
    sws::Server::bind(addr)?
        .workers(workers)?
        .config(Config { limits, ring, ..Config::default() })
        .serve(|| Router::new().get(PATH, upgrade))
}

/// Connections that one worker holds where a process may have `nofile` descriptors.
pub(super) fn slots_per_worker(nofile: u64) -> u32 {
    default_slots_max(nofile)
}

/// Starts the server on all addresses, ours or the program of the plan.
pub(super) fn start(plan: &Plan, workers: usize) -> io::Result<Server> {
    let addr = process::free_address()?;
    let all = SocketAddr::from(([0, 0, 0, 0], addr.port()));
    let mut command = match &plan.program {
        Some(program) => Command::new(program),
        None => {
            let mut command = Command::new(env::current_exe()?);
            command.arg(MARK);
            command
        }
    };
    command.args([all.to_string(), workers.to_string(), plan.quiet_after.as_millis().to_string()]);
    Server::start(command, addr, &plan.server_cpus)
}
