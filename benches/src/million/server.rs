//! The server, as a child process.

use std::io;
use std::net::SocketAddr;
use std::process::Command;

use super::Plan;
use crate::process::{self, Server};

/// Where sockets are opened.
pub(super) const PATH: &str = "/ws";

/// Serves, and never returns, if this process was started to do so. Call it first in `main`.
pub fn serve_if_asked() {}

/// Connections that one worker holds where a process may have `nofile` descriptors.
pub(super) fn slots_per_worker(nofile: u64) -> u32 {
    sws_stackpool::limits::default_slots_max(nofile)
}

/// Starts it.
pub(super) fn start(plan: &Plan, workers: usize) -> io::Result<Server> {
    let addr = process::free_address()?;
    let all = SocketAddr::from(([0, 0, 0, 0], addr.port()));
    let program = plan.program.clone().ok_or_else(|| io::Error::other("no program"))?;
    let mut command = Command::new(program);
    command.args([all.to_string(), workers.to_string(), plan.quiet_after.as_millis().to_string()]);
    Server::start(command, addr, &plan.server_cpus)
}
