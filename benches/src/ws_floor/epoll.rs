//! The WebSocket floor over epoll.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use super::room::{Member, Room};
use super::stream::{Route, Stream};
use crate::sys::{Epoll, Event, NO_EVENT, count_system_call};

/// How epoll reports readiness.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Once per change. A read that does not fill the buffer took all there was.
    Edge,
    /// For as long as there is something; one read per event.
    Level,
}

struct Connection {
    stream: TcpStream,
    input: Stream,
    member: Option<Member>,
    /// What the socket did not take yet of what is for this connection alone.
    unsent: Vec<u8>,
    /// Under level triggers: room in the socket is waited for.
    waits_for_room: bool,
}

const READ_BYTES: usize = 64 * 1024;
const LISTENER: u64 = u64::MAX;

struct Server {
    epoll: Epoll,
    listener: TcpListener,
    trigger: Trigger,
    connections: Vec<Option<Connection>>,
    room: Room,
    buffer: Vec<u8>,
    out: Vec<u8>,
}

/// Serves until a call fails that may not.
pub fn serve(listener: TcpListener, trigger: Trigger) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new()?;
    epoll.add(listener.as_raw_fd(), libc::EPOLLIN, LISTENER)?;
    let mut server = Server {
        epoll,
        listener,
        trigger,
        connections: Vec::new(),
        room: Room::default(),
        buffer: vec![0; READ_BYTES],
        out: Vec::new(),
    };
    let mut events = vec![NO_EVENT; 1024];
    loop {
        let ready = server.epoll.wait(&mut events, None)?;
        count_system_call();
        for event in &events[..ready] {
            if event.u64 == LISTENER { server.accept_all()? } else { server.on_event(event)? }
        }
        server.broadcast()?;
    }
}

impl Server {
    fn accept_all(&mut self) -> io::Result<()> {
        let interest = match self.trigger {
            Trigger::Edge => libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET,
            Trigger::Level => libc::EPOLLIN,
        };
        loop {
            count_system_call();
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {
                    return Ok(());
                }
                Err(e) => return Err(e),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let fd = stream.as_raw_fd();
            self.epoll.add(fd, interest, fd as u64)?;
            let index = fd as usize;
            if self.connections.len() <= index {
                self.connections.resize_with(index + 1, || None);
            }
            let (input, unsent) = (Stream::default(), Vec::new());
            self.connections[index] =
                Some(Connection { stream, input, member: None, unsent, waits_for_room: false });
        }
    }

    fn on_event(&mut self, event: &Event) -> io::Result<()> {
        let index = event.u64 as usize;
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        let open = flush(connection, &mut self.room) && self.read(index, event.events);
        self.settle(index, open)
    }

    /// Reads what is there and sends what that gave. False: close.
    fn read(&mut self, index: usize, events: u32) -> bool {
        let Some(connection) = &mut self.connections[index] else { return false };
        if events & libc::EPOLLIN as u32 == 0 {
            return events & (libc::EPOLLERR | libc::EPOLLHUP) as u32 == 0;
        }
        loop {
            count_system_call();
            let got = match (&connection.stream).read(&mut self.buffer) {
                Ok(0) => return false,
                Ok(got) => got,
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            };
            self.out.clear();
            let read = connection.input.read(&self.buffer[..got], &mut self.out, &mut self.room.current);
            if !send(connection, &self.out) || read.is_err() {
                return false;
            }
            if connection.input.route == Some(Route::Room) && connection.member.is_none() {
                connection.member = Some(self.room.join(index as i32));
            }
            let took_all = got < self.buffer.len() && events & libc::EPOLLRDHUP as u32 == 0;
            if self.trigger == Trigger::Level || took_all {
                return true;
            }
        }
    }

    /// Ends the turn: every member is sent what the turn published.
    fn broadcast(&mut self) -> io::Result<()> {
        if !self.room.end_turn() {
            return Ok(());
        }
        // From the end: what leaves is replaced by one that was served.
        for at in (0..self.room.len()).rev() {
            let index = self.room.member(at) as usize;
            let Some(connection) = &mut self.connections[index] else { continue };
            let too_far =
                connection.member.as_ref().is_some_and(|member| self.room.is_too_far_behind(member));
            let open = !too_far && (!connection.unsent.is_empty() || send_block(connection, &mut self.room));
            self.settle(index, open)?;
        }
        Ok(())
    }

    /// Closes a connection, or waits for what it waits for.
    fn settle(&mut self, index: usize, open: bool) -> io::Result<()> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        if !open {
            if let Some((moved, at)) = connection.member.take().and_then(|member| self.room.leave(&member))
                && let Some(member) =
                    self.connections[moved as usize].as_mut().and_then(|c| c.member.as_mut())
            {
                member.moved_to(at);
            }
            self.connections[index] = None;
            return Ok(());
        }
        let block_is_due = connection.member.as_ref().is_some_and(|member| !self.room.due(member).is_empty());
        let waits = block_is_due || !connection.unsent.is_empty();
        if self.trigger == Trigger::Level && waits != connection.waits_for_room {
            connection.waits_for_room = waits;
            let interest = if waits { libc::EPOLLIN | libc::EPOLLOUT } else { libc::EPOLLIN };
            count_system_call();
            self.epoll.modify(connection.stream.as_raw_fd(), interest, index as u64)?;
        }
        Ok(())
    }
}

/// Sends what waits: the rest of a block that has begun, then what is for this connection alone, then further blocks.
/// False: close.
fn flush(connection: &mut Connection, room: &mut Room) -> bool {
    if !send_block(connection, room) {
        return false;
    }
    let pending = std::mem::take(&mut connection.unsent);
    send(connection, &pending) && send_block(connection, room)
}

/// Sends `bytes` behind what is still unsent. False: close.
fn send(connection: &mut Connection, bytes: &[u8]) -> bool {
    if bytes.is_empty() {
        return true;
    }
    // Between two parts of a block nothing else may go.
    let within_block = connection.member.as_ref().is_some_and(|member| member.sent > 0);
    let mut done = 0;
    if connection.unsent.is_empty() && !within_block {
        match write(&connection.stream, bytes) {
            Ok(sent) => done = sent,
            Err(_) => return false,
        }
    }
    connection.unsent.extend_from_slice(&bytes[done..]);
    true
}

/// Sends what the room has for a member. False: close.
fn send_block(connection: &mut Connection, room: &mut Room) -> bool {
    let Some(member) = &mut connection.member else { return true };
    while connection.unsent.is_empty() || member.sent > 0 {
        let due = room.due(member);
        if due.is_empty() {
            break;
        }
        match write(&connection.stream, due) {
            Ok(0) => break,
            Ok(sent) => room.advance(member, sent),
            Err(_) => return false,
        }
    }
    true
}

/// Writes what the socket takes.
fn write(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    count_system_call();
    match stream.write(bytes) {
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}
