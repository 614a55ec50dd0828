//! Memory at one moment: the server's, and the kernel's.

use std::io;
use std::time::{Duration, Instant};

use crate::process::Server;

/// What was in use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Resident bytes of the server.
    pub rss_bytes: u64,
    /// Slab bytes of the whole machine: sockets, files, armed operations, of both ends.
    pub slab_bytes: u64,
    /// What else the kernel has taken: stacks and other mapped memory, page tables, per-core memory.
    pub other_kernel_bytes: u64,
}

impl Reading {
    /// All bytes of the kernel that are counted here.
    pub fn kernel_bytes(&self) -> u64 {
        self.slab_bytes + self.other_kernel_bytes
    }
}

const SETTLE_PERIOD: Duration = Duration::from_millis(250);
/// How long a reading may take to settle, on a machine with neighbours: so long, and so much more for each connection.
const SETTLE_PATIENCE: Duration = Duration::from_secs(1);
const SETTLE_PATIENCE_EACH: Duration = Duration::from_micros(10);

/// Reads until two readings differ by less than one byte for each of `connections`, or 64 KiB.
pub(super) fn settled(server: &Server, connections: u32) -> io::Result<Reading> {
    let tolerance = u64::from(connections).max(64 * 1024);
    let end = Instant::now() + SETTLE_PATIENCE + SETTLE_PATIENCE_EACH * connections;
    let mut last = read(server)?;
    loop {
        std::thread::sleep(SETTLE_PERIOD);
        let now = read(server)?;
        let moved =
            now.rss_bytes.abs_diff(last.rss_bytes).max(now.kernel_bytes().abs_diff(last.kernel_bytes()));
        if moved < tolerance || Instant::now() > end {
            return Ok(now);
        }
        last = now;
    }
}

fn read(server: &Server) -> io::Result<Reading> {
    let text = meminfo()?;
    // Stacks of the kernel's threads are part of what is mapped.
    let others = ["VmallocUsed:", "PageTables:", "Percpu:"];
    let other_kernel_bytes = others.iter().map(|name| bytes_of(&text, name)).sum::<io::Result<u64>>()?;
    Ok(Reading { rss_bytes: server.rss_bytes()?, slab_bytes: bytes_of(&text, "Slab:")?, other_kernel_bytes })
}

/// Bytes that can be taken without swapping.
pub(super) fn available_bytes() -> io::Result<u64> {
    bytes_of(&meminfo()?, "MemAvailable:")
}

fn meminfo() -> io::Result<String> {
    std::fs::read_to_string("/proc/meminfo")
}

fn bytes_of(meminfo: &str, name: &str) -> io::Result<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("/proc/meminfo has no {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read() {
        let text = "MemTotal:       24690588 kB\nSlab:              72480 kB\n";
        assert_eq!(bytes_of(text, "Slab:").unwrap(), 72_480 * 1024);
        assert!(bytes_of(text, "Percpu:").is_err());
        assert!(available_bytes().unwrap() > 0);
    }
}
