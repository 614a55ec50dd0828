//! A server as a child process: pinned, awaited, measured from outside, ended by its id.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::sys;

/// CPU time of a process, all its threads together, those that ended included.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    /// To the nanosecond, of the process's own CPU clock.
    pub total: Duration,
    /// The kernel's split, by samples: rough over short spans.
    user_ticks: u64,
    system_ticks: u64,
}

impl CpuTime {
    /// What was spent from `earlier` to `self`, and the share of user space in it.
    pub fn since(&self, earlier: &CpuTime) -> (Duration, f64) {
        let user = (self.user_ticks - earlier.user_ticks) as f64;
        let all = user + (self.system_ticks - earlier.system_ticks) as f64;
        (self.total - earlier.total, if all > 0.0 { user / all } else { 0.0 })
    }
}

/// A running server. Dropped, it is ended.
pub struct Server {
    child: Child,
    addr: SocketAddr,
}

const START_PATIENCE: Duration = Duration::from_secs(10);
const STOP_PATIENCE: Duration = Duration::from_secs(2);
const POLL_PERIOD: Duration = Duration::from_millis(5);

/// Ports below the usual range of ephemeral ones: no connection can take one of these as its own.
const PORTS: std::ops::Range<u32> = 20_000..32_000;

/// A loopback address on which nobody listens at this moment; another one each time.
pub fn free_address() -> io::Result<SocketAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let offset = std::process::id().wrapping_mul(31);
    let mut taken = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in PORTS {
        let next = offset.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + next % (PORTS.end - PORTS.start);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port as u16)) {
            Ok(listener) => return listener.local_addr(),
            Err(error) => taken = error,
        }
    }
    Err(taken)
}

impl Server {
    /// Starts `command` on `cpus`, ended with this process at the latest, and waits until `addr` accepts.
    pub fn start(mut command: Command, addr: SocketAddr, cpus: &[usize]) -> io::Result<Self> {
        let cpus = cpus.to_vec();
        command.stdin(Stdio::null()).stdout(Stdio::null());
        // SAFETY: between fork and exec the closure makes system calls only; it neither allocates nor locks.
        unsafe {
            command.pre_exec(move || {
                sys::check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
                sys::pin_to_cpus(&cpus)
            })
        };
        let mut server = Server { child: command.spawn()?, addr };
        server.wait_until_it_listens()?;
        Ok(server)
    }

    fn wait_until_it_listens(&mut self) -> io::Result<()> {
        let end = Instant::now() + START_PATIENCE;
        while TcpStream::connect(self.addr).is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("the server ended before it listened: {status}")));
            }
            if Instant::now() > end {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not listen"));
            }
            std::thread::sleep(POLL_PERIOD);
        }
        Ok(())
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// CPU time since it began.
    pub fn cpu(&self) -> io::Result<CpuTime> {
        let (user_ticks, system_ticks) = ticks(self.pid())?;
        Ok(CpuTime { total: process_clock(self.pid())?, user_ticks, system_ticks })
    }

    /// Resident bytes.
    pub fn rss_bytes(&self) -> io::Result<u64> {
        rss_bytes_of(self.pid())
    }

    /// Ends it: SIGTERM, and SIGKILL if that does not help within two seconds. An error if it had ended by
    /// itself: what was measured was then not this server, or not all of it.
    pub fn stop(&mut self) -> io::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            return Err(io::Error::other(format!("the server had ended: {status}")));
        }
        // SAFETY: sends a signal to a child that was not waited for yet, so that its id is still its own.
        unsafe { libc::kill(self.pid() as libc::pid_t, libc::SIGTERM) };
        let end = Instant::now() + STOP_PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > end {
                self.child.kill()?;
                self.child.wait()?;
                break;
            }
            std::thread::sleep(POLL_PERIOD);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) && self.stop().is_err() {
            eprintln!("process {} could not be ended", self.pid());
        }
    }
}

/// Bytes of kernel slab memory in use on the machine.
#[derive(Clone, Copy, Debug)]
pub struct SlabBytes {
    /// All of it.
    pub total: u64,
    /// The part that is not a cache.
    pub unreclaimable: u64,
}

/// Reads /proc/meminfo.
pub fn slab_bytes() -> io::Result<SlabBytes> {
    let path = "/proc/meminfo";
    Ok(SlabBytes { total: kib_field(path, "Slab:")?, unreclaimable: kib_field(path, "SUnreclaim:")? })
}

/// Resident bytes of a process.
pub fn rss_bytes_of(pid: u32) -> io::Result<u64> {
    kib_field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Bytes of the slab caches in which the kernel keeps a ring's armed operations (`io_kiocb` and the general ones), of the
/// whole machine; sockets and files are in none of them. Only root may read that.
pub fn ring_slab_bytes() -> io::Result<u64> {
    let path = "/proc/slabinfo";
    let text = std::fs::read_to_string(path)?;
    // After a version and a heading: the name, objects in use, objects, bytes of one.
    let bytes_of = |line: &str| -> Option<u64> {
        let mut fields = line.split_whitespace();
        let name = fields.next()?;
        let objects: u64 = fields.next()?.parse().ok()?;
        let size: u64 = fields.nth(1)?.parse().ok()?;
        let holds_operations = name == "io_kiocb" || name.starts_with("kmalloc-");
        Some(if holds_operations { objects * size } else { 0 })
    };
    text.lines().skip(2).map(bytes_of).sum::<Option<u64>>().ok_or_else(|| unreadable(path))
}

fn process_clock(pid: u32) -> io::Result<Duration> {
    let mut clock = 0;
    // SAFETY: `clock` outlives the call.
    let failed = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) };
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call.
    sys::check(unsafe { libc::clock_gettime(clock, &mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// `utime` and `stime`, fields 14 and 15 of proc_pid_stat(5); the name before them may hold spaces.
fn ticks(pid: u32) -> io::Result<(u64, u64)> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path)?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = after_name.split_whitespace().skip(11).map(|field| field.parse::<u64>());
    match (fields.next(), fields.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok((user, system)),
        _ => Err(unreadable(&path)),
    }
}

fn kib_field(path: &str, name: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| unreadable(path))
}

fn unreadable(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{path} is not as proc(5) describes it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_clock_counts_this_process() {
        let before = process_clock(std::process::id()).unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        assert!(process_clock(std::process::id()).unwrap() > before);
        ticks(std::process::id()).unwrap();
    }

    #[test]
    fn memory_fields_are_read() {
        let slab = slab_bytes().unwrap();
        assert!(slab.unreclaimable > 0 && slab.total > slab.unreclaimable);
        assert!(kib_field("/proc/self/status", "VmRSS:").unwrap() > 0);
        assert!(kib_field("/proc/self/status", "NoSuch:").is_err());
    }
}
