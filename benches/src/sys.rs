//! The few system calls that `std` does not offer.
//!
//! Unsafe: each block is one libc call over values that live on this function's stack, or over a
//! descriptor that the caller's borrow keeps open.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Readiness as epoll reports it.
pub type Event = libc::epoll_event;

/// An empty event, to fill arrays with.
pub const NO_EVENT: Event = Event { events: 0, u64: 0 };

/// The queue length that every listener here asks for.
pub const BACKLOG: i32 = 4096;

/// Turns a libc result into an `io::Result`.
pub fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

static SYSTEM_CALLS: AtomicU64 = AtomicU64::new(0);

/// Counts one system call of a floor. There is one thread, so a load and a store do and no lock is taken.
pub fn count_system_call() {
    SYSTEM_CALLS.store(system_calls() + 1, Ordering::Relaxed);
}

/// What [`count_system_call`] has counted.
pub fn system_calls() -> u64 {
    SYSTEM_CALLS.load(Ordering::Relaxed)
}

/// Confines the calling thread, and what it starts later, to these cores.
pub fn pin_to_cpus(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: a cpu_set_t is a plain bit array, for which all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &cpu in cpus {
        assert!(cpu < libc::CPU_SETSIZE as usize, "core {cpu} is beyond the set");
        // SAFETY: `cpu` is within the set, as asserted.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: `set` is initialised and its size is given with it.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) }).map(drop)
}

/// Sets the niceness of this process, which what it starts inherits.
pub fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: takes integers and touches no memory.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

/// Lets timed waits of the calling thread end at their time and not up to 50 us later.
pub fn set_timer_slack_to_least() {
    // SAFETY: this option takes one integer and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1u64, 0u64, 0u64, 0u64) };
}

/// A listener with [`BACKLOG`], not inherited, blocking.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addr)?;
    // SAFETY: the descriptor is open; listening again only changes the queue length.
    check(unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) })?;
    Ok(listener)
}

/// Connects from `source`, so that more connections fit than one source address has ports.
pub fn connect_from(source: Option<IpAddr>, addr: SocketAddr) -> io::Result<TcpStream> {
    let (Some(IpAddr::V4(source)), SocketAddr::V4(to)) = (source, addr) else {
        return TcpStream::connect(addr);
    };
    let socket = stream_socket()?;
    set_option(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
    let from = sockaddr(source.octets(), 0);
    // SAFETY: a sockaddr_in that outlives the call, with its size.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const from).cast(), size_of_val(&from) as u32) })?;
    connect(socket, to)
}

/// Connects with segments of at most `segment_bytes_max`, as over a network: the kernel makes the buffers of a connection for ten
/// of them, and those of loopback are 64 KB.
pub fn connect_in_segments(addr: SocketAddr, segment_bytes_max: i32) -> io::Result<TcpStream> {
    let SocketAddr::V4(to) = addr else { return TcpStream::connect(addr) };
    let socket = stream_socket()?;
    set_option(&socket, libc::IPPROTO_TCP, libc::TCP_MAXSEG, segment_bytes_max)?;
    connect(socket, to)
}

fn stream_socket() -> io::Result<OwnedFd> {
    // SAFETY: creates a descriptor and touches no memory.
    let fd = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: `fd` was just created and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set_option(socket: &OwnedFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let size = size_of_val(&value) as u32;
    // SAFETY: the option value is an int that outlives the call, and its size is given.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) })?;
    Ok(())
}

fn connect(socket: OwnedFd, to: SocketAddrV4) -> io::Result<TcpStream> {
    let to = sockaddr(to.ip().octets(), to.port());
    let size = size_of_val(&to) as u32;
    loop {
        // SAFETY: a sockaddr_in that outlives the call, with its size.
        let connected = check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const to).cast(), size) });
        match connected {
            // Work of a ring on this thread interrupts; asked again, the call waits for the same attempt.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(|_| TcpStream::from(socket)),
        }
    }
}

/// Reads once. Work of a ring on this thread may interrupt a call that blocks: it is made again.
pub fn read(mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn sockaddr(octets: [u8; 4], port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(octets) },
        sin_zero: [0; 8],
    }
}

/// Raises the soft limit of open descriptors to the hard one and returns it.
pub fn raise_nofile() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_cur)
}

/// An epoll instance.
pub struct Epoll(OwnedFd);

impl Epoll {
    /// A new one, closed on exec.
    pub fn new() -> io::Result<Self> {
        // SAFETY: creates a descriptor and touches no memory.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: `fd` was just created and nobody else owns it.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches `fd` for `events`; `data` comes back with each of them.
    pub fn add(&self, fd: RawFd, events: i32, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, events, data)
    }

    /// Changes what a watched `fd` is watched for.
    pub fn modify(&self, fd: RawFd, events: i32, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, events, data)
    }

    fn control(&self, verb: i32, fd: RawFd, events: i32, data: u64) -> io::Result<()> {
        let mut event = Event { events: events as u32, u64: data };
        // SAFETY: `event` outlives the call, which copies it.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), verb, fd, &mut event) }).map(drop)
    }

    /// Fills `events`, waiting for at most `timeout` (`None`: without end), to the nanosecond.
    pub fn wait(&self, events: &mut [Event], timeout: Option<Duration>) -> io::Result<usize> {
        let span = timeout.map(|t| libc::timespec {
            tv_sec: t.as_secs() as libc::time_t,
            tv_nsec: t.subsec_nanos() as libc::c_long,
        });
        let span = span.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the kernel writes at most `events.len()` events, all within `events`; `span` is null or
        // points to a timespec of this frame; there is no signal mask.
        let ready = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                events.len() as i32,
                span,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        match check(ready as i32) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(0),
            result => result.map(|n| n as usize),
        }
    }
}
