//! What idle keep-alive connections cost: resident bytes of the server, slab bytes of the kernel.
//!
//! The slab figures are the whole machine's and cover both ends of each connection; anything else
//! that opens files or sockets meanwhile is in them, too.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::load::ws::{WsError, WsIdleSet};
use crate::load::{AskError, IdleSet};
use crate::process::{Server, SlabBytes, slab_bytes};

/// What to open.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What every connection asks for once, and the active ones once more.
    pub path: String,
    /// Idle connections.
    pub connections: usize,
    /// Connections opened, asked many times and closed before the first reading. Few, because what they make
    /// the server keep is missing from the growth that follows.
    pub warmup_connections: usize,
}

/// Memory at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Resident bytes of the server.
    pub rss_bytes: u64,
    /// Slab bytes of the machine.
    pub slab: SlabBytes,
}

/// The readings, in the order they were taken.
#[derive(Clone, Debug)]
pub struct MemoryReport {
    /// Connections held.
    pub connections: usize,
    /// After the warm-up, none open.
    pub before: Reading,
    /// All open and idle, each request or upgrade answered.
    pub idle: Reading,
    /// After what [`MemoryReport::activity`] says.
    pub active: Reading,
    /// What the connections did before the last reading.
    pub activity: &'static str,
}

impl MemoryReport {
    /// Growth of the server's resident bytes per idle connection.
    pub fn rss_bytes_per_connection(&self) -> f64 {
        per(self.connections, self.before.rss_bytes, self.idle.rss_bytes)
    }

    /// The same after [`MemoryReport::activity`].
    pub fn rss_bytes_per_active_connection(&self) -> f64 {
        per(self.connections, self.before.rss_bytes, self.active.rss_bytes)
    }

    /// Growth of the machine's slab bytes per idle connection, both ends together.
    pub fn slab_bytes_per_connection(&self) -> f64 {
        per(self.connections, self.before.slab.total, self.idle.slab.total)
    }
}

impl fmt::Display for MemoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| {} connections | RSS MiB | RSS bytes each | slab bytes each | of it unreclaimable |",
            self.connections
        )?;
        writeln!(f, "|---|---|---|---|---|")?;
        let rows = [("none open", self.before), ("all idle", self.idle), (self.activity, self.active)];
        for (name, now) in rows {
            let before = &self.before;
            writeln!(
                f,
                "| {name} | {:.1} | {:.0} | {:.0} | {:.0} |",
                now.rss_bytes as f64 / f64::from(1 << 20),
                per(self.connections, before.rss_bytes, now.rss_bytes),
                per(self.connections, before.slab.total, now.slab.total),
                per(self.connections, before.slab.unreclaimable, now.slab.unreclaimable),
            )?;
        }
        Ok(())
    }
}

fn per(connections: usize, before: u64, after: u64) -> f64 {
    (after as f64 - before as f64) / connections as f64
}

/// Warms `server` up, opens the connections, and reads at each step what has settled.
pub fn measure(server: &Server, plan: &Plan) -> Result<MemoryReport, AskError> {
    assert!(plan.connections > 0, "there is something to measure");
    let warmup = IdleSet::open(server.addr(), &plan.path, plan.warmup_connections)?;
    for _ in 0..WARMUP_REQUESTS {
        warmup.ask_again(1)?;
    }
    drop(warmup);
    let before = settled(server)?;
    let held = IdleSet::open(server.addr(), &plan.path, plan.connections)?;
    let idle = settled(server)?;
    held.ask_again(3)?;
    let active = settled(server)?;
    Ok(MemoryReport { connections: held.len(), before, idle, active, activity: "a third made active" })
}

/// The same with WebSockets. At `/room` they are its members, to whom one message is published; elsewhere each has one
/// echoed.
pub fn measure_websockets(server: &Server, plan: &Plan) -> Result<MemoryReport, WsError> {
    assert!(plan.connections > 0, "there is something to measure");
    let is_room = plan.path == "/room";
    let message = |set: &WsIdleSet| if is_room { set.publish() } else { set.echo(1) };
    let warmup = WsIdleSet::open(server.addr(), &plan.path, plan.warmup_connections)?;
    for _ in 0..WARMUP_REQUESTS {
        message(&warmup)?;
    }
    drop(warmup);
    let before = settled(server)?;
    let held = WsIdleSet::open(server.addr(), &plan.path, plan.connections)?;
    let idle = settled(server)?;
    message(&held)?;
    let active = settled(server)?;
    let activity = "after a message to each";
    Ok(MemoryReport { connections: held.len(), before, idle, active, activity })
}

/// Further requests on each connection of the warm-up.
const WARMUP_REQUESTS: usize = 16;
const SETTLE_PERIOD: Duration = Duration::from_millis(250);
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);
const SETTLED_BYTES: u64 = 64 * 1024;

/// Reads until two readings differ by less than [`SETTLED_BYTES`]: what was closed is freed a little later.
pub(crate) fn settled(server: &Server) -> io::Result<Reading> {
    let end = Instant::now() + SETTLE_PATIENCE;
    let mut last = read(server)?;
    loop {
        std::thread::sleep(SETTLE_PERIOD);
        let now = read(server)?;
        let moved = now.rss_bytes.abs_diff(last.rss_bytes).max(now.slab.total.abs_diff(last.slab.total));
        if moved < SETTLED_BYTES || Instant::now() > end {
            return Ok(now);
        }
        last = now;
    }
}

fn read(server: &Server) -> io::Result<Reading> {
    Ok(Reading { rss_bytes: server.rss_bytes()?, slab: slab_bytes()? })
}
