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

use io_uring::types::Fd;
use io_uring::{cqueue, opcode, squeue};

use super::{ANSWER, HeadCounter};
use crate::ring::{BUFFER_GROUP, Ring, Wait, set_nodelay};
use crate::sys::{self, count_system_call};

/// What a connection that waits for a request has armed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// A multishot recv.
    Recv,
    /// A multishot poll, and one recv per event.
    Poll,
}

const BUFFERS: u16 = 1024;
const BUFFER_BYTES: usize = 4096;

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
    ring: Ring,
    connections: Vec<Connection>,
    listener: TcpListener,
    hold: Hold,
}

/// Serves until a call fails that may not.
pub fn serve(listener: TcpListener, wait: Wait, hold: Hold) -> io::Result<()> {
    let ring = Ring::new(BUFFERS, BUFFER_BYTES)?;
    let mut server = Server { ring, connections: Vec::new(), listener, hold };
    server.arm_accept()?;
    let mut completions = Vec::new();
    loop {
        server.ring.turn(wait, &mut completions)?;
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
        if let Some((id, got)) = self.ring.received(completion) {
            let heads = connection.heads.count(got);
            (0..heads).for_each(|_| connection.out.extend_from_slice(ANSWER));
            self.ring.give_back(id);
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
        // SAFETY: an entry points to nothing, to a connection's `flight`, or selects from the buffer ring;
        // the module says why these outlive the operation.
        unsafe { self.ring.push(entry) }
    }
}
