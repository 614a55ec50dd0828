//! The floor over io_uring.
//!
//! Ownership: the ring and its buffer ring are used by this thread only. A connection is known by
//! its descriptor, which is closed only when no operation on it is in flight, so a completion
//! always finds the connection it was made for. What the kernel reads from or writes to while an
//! operation is in flight is either the buffer ring's memory, which lives as long as the loop, or
//! a connection's `flight`, which is not touched until its send has completed.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::{ANSWER, HeadCounter, count_system_call};
use crate::sys;

/// How long a turn waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// For one completion.
    ForOne,
    /// For [`BATCH`] completions, or after [`BATCH_USEC`] for one.
    Batch,
}

/// What a connection that waits for a request has armed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// A multishot recv.
    Recv,
    /// A multishot poll, and one recv per event.
    Poll,
}

const BATCH: usize = 64;
const BATCH_USEC: u32 = 200;
/// Without a timeout a minimum wait ends with ETIME even where nothing came; with one it goes on for one.
const BATCH_TIMEOUT: Timespec = Timespec::new().sec(10);
const SQ_ENTRIES: u32 = 4096;
const CQ_ENTRIES: u32 = 16_384;
const BUFFERS: u16 = 1024;
const BUFFER_BYTES: usize = 4096;
const BUFFER_GROUP: u16 = 0;

const ACCEPT: u64 = 0;
const RECV: u64 = 1;
const SEND: u64 = 2;
const POLL: u64 = 3;
const REMOVE: u64 = 4;

#[derive(Default)]
struct Connection {
    heads: HeadCounter,
    /// Answers not handed to the kernel yet.
    out: Vec<u8>,
    /// Answers the kernel is sending, from `flight_sent` on.
    flight: Vec<u8>,
    flight_sent: usize,
    sending: bool,
    /// A multishot recv or poll is armed.
    armed: bool,
    /// The recv that answers a poll is in flight.
    receiving: bool,
    /// The end of what is armed has been asked for.
    disarming: bool,
    /// Input has ended or a call has failed: close once nothing is in flight.
    ended: bool,
}

struct Server {
    ring: IoUring,
    buffers: BufferRing,
    connections: Vec<Connection>,
    listener: TcpListener,
    hold: Hold,
}

/// Serves until a call fails that may not.
pub fn serve(listener: TcpListener, wait: Wait, hold: Hold) -> io::Result<()> {
    let ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(CQ_ENTRIES)
        .build(SQ_ENTRIES)?;
    if wait == Wait::Batch && !ring.params().is_feature_min_timeout() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel has no minimum wait"));
    }
    let buffers = BufferRing::register(&ring)?;
    let mut server = Server { ring, buffers, connections: Vec::new(), listener, hold };
    server.arm_accept()?;
    let mut completions = Vec::with_capacity(CQ_ENTRIES as usize);
    loop {
        count_system_call();
        let entered = match wait {
            Wait::ForOne => server.ring.submit_and_wait(1),
            Wait::Batch => {
                let args = SubmitArgs::new().timespec(&BATCH_TIMEOUT).min_wait_usec(BATCH_USEC);
                server.ring.submitter().submit_with_args(BATCH, &args)
            }
        };
        match entered {
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::ETIME)) => {}
            result => drop(result?),
        }
        completions.extend(server.ring.completion());
        for completion in completions.drain(..) {
            server.on_completion(&completion)?;
        }
    }
}

impl Server {
    fn on_completion(&mut self, completion: &cqueue::Entry) -> io::Result<()> {
        let fd = (completion.user_data() >> 8) as RawFd;
        let more = cqueue::more(completion.flags());
        match completion.user_data() & 0xff {
            ACCEPT => self.on_accept(completion.result(), more),
            RECV => self.on_recv(fd, completion),
            SEND => self.on_send(fd, completion.result()),
            POLL => self.on_poll(fd, completion.result(), more),
            REMOVE => Ok(()),
            op => unreachable!("no operation has the number {op}"),
        }
    }

    fn on_accept(&mut self, result: i32, more: bool) -> io::Result<()> {
        if !more {
            self.arm_accept()?;
        }
        if result < 0 {
            return Ok(());
        }
        let fd: RawFd = result;
        set_nodelay(fd)?;
        let index = fd as usize;
        if self.connections.len() <= index {
            self.connections.resize_with(index + 1, Connection::default);
        }
        self.connections[index] = Connection::default();
        self.arm_input(fd)
    }

    fn on_poll(&mut self, fd: RawFd, result: i32, more: bool) -> io::Result<()> {
        let connection = &mut self.connections[fd as usize];
        connection.armed = more;
        if result < 0 {
            connection.ended = true;
        }
        if connection.ended {
            return self.close_if_done(fd);
        }
        // One that is in flight was submitted after this event, or will be: it takes what the event tells of.
        if connection.receiving {
            return if more { Ok(()) } else { self.arm_input(fd) };
        }
        connection.receiving = true;
        let recv = opcode::Recv::new(Fd(fd), std::ptr::null_mut(), BUFFER_BYTES as u32)
            .flags(libc::MSG_DONTWAIT)
            .buf_group(BUFFER_GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT)
            .user_data(RECV | (fd as u64) << 8);
        self.push(recv)?;
        if more { Ok(()) } else { self.arm_input(fd) }
    }

    fn on_recv(&mut self, fd: RawFd, completion: &cqueue::Entry) -> io::Result<()> {
        let connection = &mut self.connections[fd as usize];
        let result = completion.result();
        let lost = result == -libc::ENOBUFS || result == -libc::EAGAIN;
        if let Some(id) = cqueue::buffer_select(completion.flags()) {
            let got = self.buffers.bytes(id, result.max(0) as usize);
            let heads = connection.heads.count(got);
            (0..heads).for_each(|_| connection.out.extend_from_slice(ANSWER));
            self.buffers.give_back(id);
        }
        if result <= 0 && !lost {
            connection.ended = true;
        }
        connection.receiving = false;
        if self.hold == Hold::Recv && !cqueue::more(completion.flags()) {
            connection.armed = false;
            if !connection.ended {
                self.arm_input(fd)?;
            }
        }
        self.flush(fd)
    }

    fn on_send(&mut self, fd: RawFd, result: i32) -> io::Result<()> {
        let connection = &mut self.connections[fd as usize];
        connection.sending = false;
        if result < 0 {
            connection.ended = true;
            connection.out.clear();
            connection.flight_sent = connection.flight.len();
        } else {
            connection.flight_sent += result as usize;
        }
        self.flush(fd)
    }

    /// Sends what is left of the last send, else what has gathered since.
    fn flush(&mut self, fd: RawFd) -> io::Result<()> {
        let connection = &mut self.connections[fd as usize];
        if connection.sending {
            return Ok(());
        }
        if connection.flight_sent == connection.flight.len() {
            connection.flight.clear();
            connection.flight_sent = 0;
            std::mem::swap(&mut connection.flight, &mut connection.out);
        }
        let rest = &connection.flight[connection.flight_sent..];
        if rest.is_empty() {
            return self.close_if_done(fd);
        }
        connection.sending = true;
        let send = opcode::Send::new(Fd(fd), rest.as_ptr(), rest.len() as u32)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build()
            .user_data(SEND | (fd as u64) << 8);
        self.push(send)
    }

    /// Closes a connection that has ended; what is still armed on it is ended first.
    fn close_if_done(&mut self, fd: RawFd) -> io::Result<()> {
        let connection = &mut self.connections[fd as usize];
        if !connection.ended || connection.sending || connection.receiving {
            return Ok(());
        }
        if connection.armed {
            if std::mem::replace(&mut connection.disarming, true) {
                return Ok(());
            }
            let op = match self.hold {
                Hold::Recv => RECV,
                Hold::Poll => POLL,
            };
            let cancel = opcode::AsyncCancel::new(op | (fd as u64) << 8).build().user_data(REMOVE);
            return self.push(cancel);
        }
        count_system_call();
        // SAFETY: nothing is in flight on this descriptor, and only this place closes it.
        sys::check(unsafe { libc::close(fd) }).map(drop)
    }

    fn arm_accept(&mut self) -> io::Result<()> {
        let accept = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC)
            .build()
            .user_data(ACCEPT);
        self.push(accept)
    }

    fn arm_input(&mut self, fd: RawFd) -> io::Result<()> {
        self.connections[fd as usize].armed = true;
        let data = (fd as u64) << 8;
        let entry = match self.hold {
            Hold::Recv => opcode::RecvMulti::new(Fd(fd), BUFFER_GROUP).build().user_data(data | RECV),
            Hold::Poll => {
                opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).multi(true).build().user_data(data | POLL)
            }
        };
        self.push(entry)
    }

    fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: an entry points to nothing, to a connection's `flight`, or selects from the buffer ring;
            // the module says why these outlive the operation.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            count_system_call();
            self.ring.submit()?;
        }
    }
}

fn set_nodelay(fd: RawFd) -> io::Result<()> {
    let on: i32 = 1;
    count_system_call();
    // SAFETY: the option value is an int that outlives the call, and its size is given.
    let done = unsafe {
        libc::setsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const on).cast(),
            size_of::<i32>() as u32,
        )
    };
    sys::check(done).map(drop)
}

/// Provided buffers, and the ring by which they are given to the kernel.
struct BufferRing {
    entries: *mut BufRingEntry,
    memory: *mut u8,
    tail: u16,
}

impl BufferRing {
    /// Maps and registers the ring and gives the kernel all buffers. Both live until the process ends.
    fn register(ring: &IoUring) -> io::Result<Self> {
        let ring_bytes = usize::from(BUFFERS) * size_of::<BufRingEntry>();
        let entries = map(ring_bytes)?.cast::<BufRingEntry>();
        let memory = map(usize::from(BUFFERS) * BUFFER_BYTES)?;
        // SAFETY: the mapping is page-aligned, has room for all entries and is never unmapped.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(entries as u64, BUFFERS, BUFFER_GROUP, 0)?;
        }
        let mut buffers = BufferRing { entries, memory, tail: 0 };
        (0..BUFFERS).for_each(|id| buffers.give_back(id));
        Ok(buffers)
    }

    fn bytes(&self, id: u16, length: usize) -> &[u8] {
        assert!(id < BUFFERS && length <= BUFFER_BYTES, "the kernel names a buffer that was given to it");
        // SAFETY: the range lies in the mapping, as asserted, and the kernel does not write to a buffer
        // between its completion and `give_back`, which takes `&mut self`.
        unsafe { std::slice::from_raw_parts(self.memory.add(usize::from(id) * BUFFER_BYTES), length) }
    }

    fn give_back(&mut self, id: u16) {
        assert!(id < BUFFERS, "a buffer of this ring");
        // SAFETY: entry and buffer lie in their mappings; the kernel reads the entry only after the tail
        // has moved past it, which the store with Release does last.
        unsafe {
            let entry = &mut *self.entries.add(usize::from(self.tail % BUFFERS));
            entry.set_addr(self.memory.add(usize::from(id) * BUFFER_BYTES) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(self.entries).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

fn map(bytes: usize) -> io::Result<*mut u8> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
    // SAFETY: asks for new memory at an address of the kernel's choice.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
    if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(at.cast()) }
}
