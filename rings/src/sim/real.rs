//! Descriptors of the process: those that stand for simulated sockets, and those that are what they are.
//!
//! A simulated socket behind an ordinary descriptor is backed by a real, unconnected one, so that it has a number of
//! its own, takes options, and may be closed by `close(2)` as well as by the ring; the world finds out at the next
//! enter. Eventfds, pipes and socket pairs are real: they are polled at each wait.

use super::kernel::{InFlight, Target};
use super::memory;
use super::script::{Audit, Fault};
use super::world::{Effect, ObjectId, OpId, World};
use crate::op::Op;
use std::io;
use std::os::fd::RawFd;

/// Bytes that a receive on a real socket takes at once.
const RECEIVE_BYTES_MAX: usize = 64 * 1024;

/// An ordinary descriptor that the world knows.
pub(super) struct Raw {
    /// What it stands for; `None` for a file that an operation opened.
    pub(super) object: Option<ObjectId>,
    /// Device and inode: another file under the same number means that it was closed.
    identity: Option<(u64, u64)>,
    /// Whether an operation made it, so that it has to be closed.
    is_made: bool,
}

impl World {
    /// A descriptor for a simulated socket.
    pub(super) fn add_raw(&mut self, object: ObjectId) -> Result<RawFd, i32> {
        // SAFETY: socket(2) takes no pointers.
        let fd =
            call(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) }.into())?
                as RawFd;
        self.raws.insert(fd, Raw { object: Some(object), identity: identity(fd), is_made: true });
        Ok(fd)
    }

    /// A descriptor of the caller's that is simulated from here on: a listener, or a socket that connects.
    pub(super) fn adopt_raw(&mut self, fd: RawFd, object: ObjectId) {
        self.raws.insert(fd, Raw { object: Some(object), identity: identity(fd), is_made: false });
    }

    pub(super) fn note_opened(&mut self, fd: RawFd) {
        self.raws.insert(fd, Raw { object: None, identity: identity(fd), is_made: true });
    }

    /// Descriptors may be closed without the ring.
    pub(super) fn find_closed_raws(&mut self) {
        let closed: Vec<RawFd> =
            self.raws.iter().filter(|(fd, raw)| identity(**fd) != raw.identity).map(|(fd, _)| *fd).collect();
        for fd in closed {
            if let Some(object) = self.raws.remove(&fd).and_then(|raw| raw.object) {
                self.release_object(object);
            }
        }
    }

    pub(super) fn audit_raws(&self, audit: &mut Audit) {
        for (fd, raw) in &self.raws {
            if raw.is_made && identity(*fd) == raw.identity {
                audit.descriptors_open += 1;
                audit.note(format!("descriptor {fd} is open"));
            }
        }
    }

    pub(super) fn set_socket_option(&self, id: OpId) -> Result<u32, i32> {
        let InFlight { op: Op::SetSocketOption { level, name, value, .. }, target, .. } = &self.ops[&id]
        else {
            return Err(libc::EINVAL);
        };
        let Target::Real(fd) = target else { return Ok(0) };
        let from = value.address() as *const libc::c_void;
        // SAFETY: the caller of `push` keeps the value.
        call(unsafe { libc::setsockopt(*fd, *level as i32, *name as i32, from, value.len()) }.into())
    }

    /// Looks which real descriptors are ready and carries on with their operations. Returns whether any was.
    pub(super) fn run_real(&mut self, wait_milliseconds: i32) -> bool {
        let waiting: Vec<(OpId, RawFd)> = self
            .ops
            .iter()
            .filter(|(_, op)| !op.is_running)
            .filter_map(|(id, op)| match op.target {
                Target::Real(fd) => Some((*id, fd)),
                Target::Object(_) | Target::Nothing => None,
            })
            .collect();
        if waiting.is_empty() {
            return false;
        }
        let mut polls: Vec<libc::pollfd> = waiting
            .iter()
            .map(|(id, fd)| libc::pollfd { fd: *fd, events: interest(&self.ops[id].op), revents: 0 })
            .collect();
        // SAFETY: the array and its length; it outlives the call.
        unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, wait_milliseconds) };
        let mut is_any = false;
        for ((id, fd), poll) in waiting.into_iter().zip(polls) {
            if poll.revents != 0 {
                is_any |= self.run_real_op(id, fd, poll.revents);
            }
        }
        is_any
    }

    fn run_real_op(&mut self, id: OpId, fd: RawFd, ready: i16) -> bool {
        let Some(op) = self.ops.get(&id) else { return false };
        let result = match op.op {
            // A multishot poll fires once, as the kernel's may: one that stays ready would never let a wait end.
            Op::Poll { .. } => Ok(u32::from(ready as u16)),
            Op::Read { buffer, .. } => {
                // SAFETY: the caller of `push` keeps the buffer.
                call(unsafe { libc::read(fd, buffer.address() as *mut libc::c_void, buffer.len() as usize) }
                    as i64)
            }
            Op::Write { data, .. } => {
                // SAFETY: the caller of `push` keeps the data.
                call(unsafe { libc::write(fd, data.address() as *const libc::c_void, data.len() as usize) }
                    as i64)
            }
            Op::Recv { buffer, .. } => receive(fd, buffer.len() as usize).map(|bytes| {
                memory::write(buffer, &bytes);
                bytes.len() as u32
            }),
            Op::RecvLease { .. } | Op::RecvMulti { .. } => return self.receive_real(id, fd),
            Op::RecvMessage { message, .. } => {
                let header = message.address() as *mut libc::msghdr;
                // SAFETY: the caller of `push` keeps the message and what it points to.
                call(unsafe { libc::recvmsg(fd, header, libc::MSG_DONTWAIT) } as i64)
            }
            Op::Send { data, .. } => send(fd, &memory::read(data, RECEIVE_BYTES_MAX)),
            Op::SendVectored { message, .. } => {
                let header = message.address() as *const libc::msghdr;
                // SAFETY: the caller of `push` keeps the message and what it points to.
                call(unsafe { libc::sendmsg(fd, header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) } as i64)
            }
            _ => Err(libc::EINVAL),
        };
        if result == Err(libc::EAGAIN) {
            return false;
        }
        self.finish(id, result);
        true
    }

    fn receive_real(&mut self, id: OpId, fd: RawFd) -> bool {
        let ring = self.ops[&id].ring;
        let is_multi = matches!(self.ops[&id].op, Op::RecvMulti { .. });
        let state = &mut self.rings[ring];
        let room = state.buffers.as_ref().map_or(0, |buffers| buffers.room(&state.cursor));
        if room == 0 {
            self.counts.add(Fault::BuffersExhausted);
            self.finish(id, Err(libc::ENOBUFS));
            return true;
        }
        match receive(fd, room) {
            Err(libc::EAGAIN) => return false,
            Err(errno) => self.finish(id, Err(errno)),
            Ok(bytes) if bytes.is_empty() => self.finish(id, Ok(0)),
            Ok(bytes) => {
                let state = &mut self.rings[ring];
                let placed =
                    state.buffers.as_ref().and_then(|buffers| buffers.receive(&mut state.cursor, &bytes));
                let Some((buffer, len, is_kept)) = placed else { return false };
                self.complete(id, Ok(len), Some((buffer, is_kept)), is_multi, Effect::None);
            }
        }
        true
    }
}

fn interest(op: &Op) -> i16 {
    match op {
        Op::Poll { events, .. } => *events as i16,
        Op::Send { .. } | Op::SendVectored { .. } | Op::Write { .. } => libc::POLLOUT,
        _ => libc::POLLIN,
    }
}

/// The result of a system call.
pub(super) fn call(result: i64) -> Result<u32, i32> {
    match result {
        value @ 0.. => Ok(value as u32),
        _ => Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)),
    }
}

fn receive(fd: RawFd, max: usize) -> Result<Vec<u8>, i32> {
    let mut bytes = vec![0u8; max.min(RECEIVE_BYTES_MAX)];
    // SAFETY: the vector has this length.
    let len =
        call(unsafe { libc::recv(fd, bytes.as_mut_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT) } as i64)?;
    bytes.truncate(len as usize);
    Ok(bytes)
}

fn send(fd: RawFd, bytes: &[u8]) -> Result<u32, i32> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the slice has this length.
    call(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) } as i64)
}

pub(super) fn shutdown(fd: RawFd, how: i32) -> Result<u32, i32> {
    // SAFETY: shutdown(2) takes no pointers.
    call(unsafe { libc::shutdown(fd, how) }.into())
}

/// Closes; says whether it was open.
pub(super) fn close(fd: RawFd) -> bool {
    // SAFETY: the submitter of a close owns the descriptor.
    unsafe { libc::close(fd) == 0 }
}

pub(super) fn is_open(fd: RawFd) -> bool {
    identity(fd).is_some()
}

/// Whether it is a file whose operations never wait for somebody else.
pub(super) fn is_file(fd: RawFd) -> bool {
    stat(fd).is_some_and(|stat| {
        matches!(stat.st_mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK)
    })
}

fn identity(fd: RawFd) -> Option<(u64, u64)> {
    stat(fd).map(|stat| (stat.st_dev, stat.st_ino))
}

fn stat(fd: RawFd) -> Option<libc::stat> {
    // SAFETY: stat is plain integers, for which zero is a value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the struct outlives the call.
    (unsafe { libc::fstat(fd, &mut stat) } == 0).then_some(stat)
}

/// Adds one to an eventfd.
pub(super) fn write_eventfd(fd: RawFd) {
    let one = 1u64;
    // SAFETY: eight bytes of a value that outlives the call.
    unsafe { libc::write(fd, (&raw const one).cast(), size_of::<u64>()) };
}
