//! The floor over epoll.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use super::{ANSWER, HeadCounter};
use crate::sys::{Epoll, NO_EVENT, count_system_call};

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
    heads: HeadCounter,
    /// Answers that the socket did not take yet.
    unsent: Vec<u8>,
}

const READ_BYTES: usize = 16 * 1024;
const LISTENER: u64 = u64::MAX;

/// Serves until a call fails that may not.
pub fn serve(listener: TcpListener, trigger: Trigger) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new()?;
    epoll.add(listener.as_raw_fd(), libc::EPOLLIN, LISTENER)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = vec![NO_EVENT; 1024];
    let mut buffer = vec![0; READ_BYTES];
    let mut out = Vec::new();
    loop {
        let ready = epoll.wait(&mut events, None)?;
        count_system_call();
        for event in &events[..ready] {
            if event.u64 == LISTENER {
                accept_all(&listener, &epoll, trigger, &mut connections)?;
                continue;
            }
            let slot = &mut connections[event.u64 as usize];
            let Some(connection) = slot else { continue };
            let before = level_interest(connection);
            let open = on_event(connection, event.events, trigger, &mut buffer, &mut out);
            let after = level_interest(connection);
            if !open {
                *slot = None;
            } else if trigger == Trigger::Level && before != after {
                count_system_call();
                epoll.modify(connection.stream.as_raw_fd(), after, event.u64)?;
            }
        }
    }
}

fn accept_all(
    listener: &TcpListener,
    epoll: &Epoll,
    trigger: Trigger,
    connections: &mut Vec<Option<Connection>>,
) -> io::Result<()> {
    let interest = match trigger {
        Trigger::Edge => libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET,
        Trigger::Level => libc::EPOLLIN,
    };
    loop {
        count_system_call();
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let fd = stream.as_raw_fd();
        epoll.add(fd, interest, fd as u64)?;
        let index = fd as usize;
        if connections.len() <= index {
            connections.resize_with(index + 1, || None);
        }
        connections[index] = Some(Connection { stream, heads: HeadCounter::default(), unsent: Vec::new() });
    }
}

/// Reads what is there and sends what that gave. False: close.
fn on_event(
    connection: &mut Connection,
    events: u32,
    trigger: Trigger,
    buffer: &mut [u8],
    out: &mut Vec<u8>,
) -> bool {
    if !connection.unsent.is_empty() {
        let pending = std::mem::take(&mut connection.unsent);
        if !send(connection, &pending) {
            return false;
        }
    }
    if events & libc::EPOLLIN as u32 == 0 {
        return events & (libc::EPOLLERR | libc::EPOLLHUP) as u32 == 0;
    }
    loop {
        count_system_call();
        let got = match (&connection.stream).read(buffer) {
            Ok(0) => return false,
            Ok(got) => got,
            Err(e) => return e.kind() == ErrorKind::WouldBlock,
        };
        let heads = connection.heads.count(&buffer[..got]);
        out.clear();
        (0..heads).for_each(|_| out.extend_from_slice(ANSWER));
        if !out.is_empty() && !send(connection, out) {
            return false;
        }
        let took_all = got < buffer.len() && events & libc::EPOLLRDHUP as u32 == 0;
        if trigger == Trigger::Level || took_all {
            return true;
        }
    }
}

/// Sends `bytes` behind what is still unsent. False: close.
fn send(connection: &mut Connection, bytes: &[u8]) -> bool {
    let mut done = 0;
    if connection.unsent.is_empty() {
        count_system_call();
        done = match (&connection.stream).write(bytes) {
            Ok(sent) => sent,
            Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return false,
        };
    }
    connection.unsent.extend_from_slice(&bytes[done..]);
    true
}

/// What a connection waits for under level triggers: room in the socket only when answers wait for it.
fn level_interest(connection: &Connection) -> i32 {
    if connection.unsent.is_empty() { libc::EPOLLIN } else { libc::EPOLLIN | libc::EPOLLOUT }
}
