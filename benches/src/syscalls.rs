//! Counts the system calls of another process by the kernel's tracepoint `raw_syscalls:sys_enter`.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A counter over all threads of one process, those it starts later included.
pub struct SystemCalls {
    counters: Vec<fs::File>,
}

const PERF_TYPE_TRACEPOINT: u32 = 2;
/// Bit 1 of the flags of `perf_event_attr`: count what the task starts, too.
const INHERIT: u64 = 1 << 1;
const ATTR_BYTES: usize = 64;

/// The first version of `perf_event_attr`, as perf_event_open(2) lists it.
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    bp_addr: u64,
}

const _: () = assert!(size_of::<PerfEventAttr>() == ATTR_BYTES);

impl SystemCalls {
    /// Counts from here on. Fails where tracepoints may not be read (not root, no tracefs).
    pub fn of(pid: u32) -> io::Result<Self> {
        let config = tracepoint_id()?;
        let mut counters = Vec::new();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let name = task?.file_name();
            let tid = name.to_str().and_then(|name| name.parse::<i32>().ok());
            let tid = tid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
            counters.push(open_counter(tid, config)?);
        }
        Ok(SystemCalls { counters })
    }

    /// How many there were.
    pub fn count(&mut self) -> io::Result<u64> {
        let mut sum = 0;
        for counter in &mut self.counters {
            let mut value = [0; 8];
            counter.read_exact(&mut value)?;
            sum += u64::from_ne_bytes(value);
        }
        Ok(sum)
    }
}

fn tracepoint_id() -> io::Result<u64> {
    let roots = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for root in roots {
        match fs::read_to_string(format!("{root}/events/raw_syscalls/sys_enter/id")) {
            Ok(id) => return id.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn open_counter(tid: i32, config: u64) -> io::Result<fs::File> {
    let attr = PerfEventAttr {
        kind: PERF_TYPE_TRACEPOINT,
        size: ATTR_BYTES as u32,
        config,
        flags: INHERIT,
        ..PerfEventAttr::default()
    };
    // SAFETY: the kernel reads `size` bytes of `attr`, which is that large and outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attr, tid, -1, -1, 0usize) };
    let fd = crate::sys::check(fd as i32)?;
    // SAFETY: `fd` was just created and nobody else owns it.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: sets a flag on an open descriptor.
    crate::sys::check(unsafe { libc::fcntl(owned.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
    Ok(fs::File::from(owned))
}
