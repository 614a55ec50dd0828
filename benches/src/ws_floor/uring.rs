//! The WebSocket floor over io_uring.
//!
//! Ownership: the ring and its buffers are used by this thread only. A connection is known by its descriptor, which is
//! closed only when no operation on it is in flight. What the kernel reads from while a send is in flight is either the
//! connection's `flight`, which is not touched until that send has completed, or a block of the room, which the room
//! keeps in place until the connection's `Member` is advanced over it or leaves; both follow that completion. What the
//! kernel writes to is the ring's buffers, which live as long as the process.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};

use io_uring::types::Fd;
use io_uring::{cqueue, opcode, squeue};

use super::room::{Member, Room};
use super::stream::{Route, Stream};
use crate::ring::{BUFFER_GROUP, Ring, Wait, set_nodelay};
use crate::sys::{self, count_system_call};

/// What a connection that waits for input has armed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// A multishot recv.
    Recv,
    /// A multishot poll, and one recv per event.
    Poll,
}

const BUFFERS: u16 = 512;
const BUFFER_BYTES: usize = 32 * 1024;

const ACCEPT: u64 = 0;
const RECV: u64 = 1;
const SEND: u64 = 2;
const POLL: u64 = 3;
const REMOVE: u64 = 4;

/// What the send in flight takes its bytes from.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sending {
    #[default]
    Nothing,
    Own,
    Block,
}

#[derive(Default)]
struct Connection {
    input: Stream,
    /// What is for this connection alone and not handed to the kernel yet.
    out: Vec<u8>,
    /// What the kernel is sending of that, from `flight_sent` on.
    flight: Vec<u8>,
    flight_sent: usize,
    member: Option<Member>,
    sending: Sending,
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
    room: Room,
    listener: TcpListener,
    hold: Hold,
}

/// Serves until a call fails that may not.
pub fn serve(listener: TcpListener, wait: Wait, hold: Hold) -> io::Result<()> {
    let ring = Ring::new(BUFFERS, BUFFER_BYTES)?;
    let mut server = Server { ring, connections: Vec::new(), room: Room::default(), listener, hold };
    server.arm_accept()?;
    let mut completions = Vec::new();
    loop {
        server.ring.turn(wait, &mut completions)?;
        for completion in completions.drain(..) {
            server.on_completion(&completion)?;
        }
        server.broadcast()?;
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
        self.receive(fd)?;
        if more { Ok(()) } else { self.arm_input(fd) }
    }

    fn receive(&mut self, fd: RawFd) -> io::Result<()> {
        self.connections[fd as usize].receiving = true;
        let recv = opcode::Recv::new(Fd(fd), std::ptr::null_mut(), BUFFER_BYTES as u32)
            .flags(libc::MSG_DONTWAIT)
            .buf_group(BUFFER_GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT)
            .user_data(RECV | (fd as u64) << 8);
        self.push(recv)
    }

    fn on_recv(&mut self, fd: RawFd, completion: &cqueue::Entry) -> io::Result<()> {
        let connection = &mut self.connections[fd as usize];
        let result = completion.result();
        let lost = result == -libc::ENOBUFS || result == -libc::EAGAIN;
        if let Some((id, got)) = self.ring.received(completion) {
            if !connection.ended {
                let read = connection.input.read(got, &mut connection.out, &mut self.room.current);
                connection.ended = read.is_err();
            }
            self.ring.give_back(id);
        }
        if result <= 0 && !lost {
            connection.ended = true;
        }
        if connection.input.route == Some(Route::Room) && connection.member.is_none() && !connection.ended {
            connection.member = Some(self.room.join(fd));
        }
        connection.receiving = false;
        if self.hold == Hold::Recv && !cqueue::more(completion.flags()) {
            connection.armed = false;
            if !connection.ended {
                self.arm_input(fd)?;
            }
        } else if self.hold == Hold::Poll && result == BUFFER_BYTES as i32 {
            // There may be more, of which no event will tell.
            self.receive(fd)?;
        }
        self.flush(fd)
    }

    fn on_send(&mut self, fd: RawFd, result: i32) -> io::Result<()> {
        let connection = &mut self.connections[fd as usize];
        let sending = std::mem::take(&mut connection.sending);
        let sent = result.max(0) as usize;
        if result < 0 {
            connection.ended = true;
            connection.out.clear();
            connection.flight_sent = connection.flight.len();
        } else if sending == Sending::Own {
            connection.flight_sent += sent;
        } else if let Some(member) = &mut connection.member {
            self.room.advance(member, sent);
        }
        self.flush(fd)
    }

    /// Sends what is left of the last send, else what has gathered since, else what the room has for it.
    fn flush(&mut self, fd: RawFd) -> io::Result<()> {
        let connection = &mut self.connections[fd as usize];
        if connection.sending != Sending::Nothing {
            return Ok(());
        }
        if connection.flight_sent == connection.flight.len() {
            connection.flight.clear();
            connection.flight_sent = 0;
            std::mem::swap(&mut connection.flight, &mut connection.out);
        }
        let mut bytes = &connection.flight[connection.flight_sent..];
        let mut sending = Sending::Own;
        if let (true, false, Some(member)) = (bytes.is_empty(), connection.ended, &connection.member) {
            bytes = self.room.due(member);
            sending = Sending::Block;
        }
        if bytes.is_empty() {
            return self.close_if_done(fd);
        }
        connection.sending = sending;
        let send = opcode::Send::new(Fd(fd), bytes.as_ptr(), bytes.len() as u32)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build()
            .user_data(SEND | (fd as u64) << 8);
        self.push(send)
    }

    /// Ends the turn: every member that has nothing in flight is sent what the turn published.
    fn broadcast(&mut self) -> io::Result<()> {
        if !self.room.end_turn() {
            return Ok(());
        }
        // From the end: what leaves is replaced by one that was served.
        for at in (0..self.room.len()).rev() {
            let fd = self.room.member(at);
            let member = self.connections[fd as usize].member.as_ref();
            if member.is_some_and(|member| self.room.is_too_far_behind(member)) {
                count_system_call();
                // SAFETY: the descriptor is open, as only `close_if_done` closes it, which also ends the membership.
                unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
            }
            self.flush(fd)?;
        }
        Ok(())
    }

    /// Closes a connection that has ended; what is still armed on it is ended first.
    fn close_if_done(&mut self, fd: RawFd) -> io::Result<()> {
        let connection = &mut self.connections[fd as usize];
        if !connection.ended || connection.sending != Sending::Nothing || connection.receiving {
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
        if let Some((moved, at)) = connection.member.take().and_then(|member| self.room.leave(&member))
            && let Some(member) = &mut self.connections[moved as usize].member
        {
            member.moved_to(at);
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
        // SAFETY: an entry points to nothing, to a connection's `flight`, to a block of the room, or selects from the
        // ring's buffers; the module says why these outlive the operation.
        unsafe { self.ring.push(entry) }
    }
}
