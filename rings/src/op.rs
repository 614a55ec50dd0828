//! Operations as plain data.
//!
//! An [`Op`] names memory by [`Span`]: an address and a length without a lifetime. Making one is safe; handing it to
//! the kernel is not, see [`Ring::push`](crate::Ring::push).

use crate::token::{OpKind, Token};
use io_uring::{opcode, squeue, types};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// A command of sockets, `enum io_uring_socket_op`.
const SOCKET_URING_OP_SIOCOUTQ: u32 = 1;

/// A descriptor as the ring names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Descriptor {
    /// An ordinary file descriptor.
    Raw(RawFd),
    /// An index of the ring's direct-descriptor table.
    Direct(u32),
}

/// Memory for the kernel, without a lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    address: usize,
    len: u32,
}

impl Span {
    /// Memory that the kernel will read.
    pub fn of(bytes: &[u8]) -> Span {
        Span { address: bytes.as_ptr() as usize, len: clamp(bytes.len()) }
    }

    /// Memory that the kernel will write.
    pub fn of_mut(bytes: &mut [u8]) -> Span {
        Span { address: bytes.as_mut_ptr() as usize, len: clamp(bytes.len()) }
    }

    /// Memory that the kernel will write, and that nobody has written yet.
    pub fn of_uninit(memory: &mut [MaybeUninit<u8>]) -> Span {
        Span { address: memory.as_mut_ptr() as usize, len: clamp(memory.len()) }
    }

    /// One value that the kernel will read.
    pub fn of_value<T>(value: &T) -> Span {
        Span { address: value as *const T as usize, len: clamp(size_of::<T>()) }
    }

    /// One value that the kernel will write.
    pub fn of_value_mut<T>(value: &mut T) -> Span {
        Span { address: value as *mut T as usize, len: clamp(size_of::<T>()) }
    }

    /// Bytes in the span: at most 1 GiB are offered to the kernel at once.
    pub fn len(self) -> u32 {
        self.len
    }

    /// Whether the span has no bytes.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    #[cfg(sws_sim)]
    pub(crate) fn address(self) -> usize {
        self.address
    }

    fn as_ptr<T>(self) -> *const T {
        self.address as *const T
    }

    fn as_mut_ptr<T>(self) -> *mut T {
        self.address as *mut T
    }

    pub(crate) fn iovec(self) -> libc::iovec {
        libc::iovec { iov_base: self.as_mut_ptr(), iov_len: self.len as usize }
    }
}

fn clamp(len: usize) -> u32 {
    len.min(1 << 30) as u32
}

/// A time for [`Op::Timeout`].
pub type Timespec = types::Timespec;
/// How a file is opened by [`Op::OpenAt`], see `openat2(2)`.
pub type OpenHow = types::OpenHow;
/// What [`Op::Statx`] fills in, see `statx(2)`.
pub type Statx = libc::statx;

/// A socket address as the kernel has it.
#[derive(Clone, Copy)]
pub struct Address {
    pub(crate) storage: libc::sockaddr_storage,
    pub(crate) len: libc::socklen_t,
}

/// The header of a vectored send or of a datagram: pieces of memory and an address. It must stay where it is while
/// an operation that names it is in flight, so it is used boxed.
pub struct Message {
    pub(crate) header: libc::msghdr,
    pub(crate) pieces: Vec<libc::iovec>,
    pub(crate) address: Address,
}

/// One operation. What each field means is said in `io_uring_enter(2)` at the operation of the same name.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields are named as in the manual page")]
pub enum Op {
    /// Does nothing and completes.
    Nop,
    /// Accepts one connection.
    Accept { listener: Descriptor, direct: bool },
    /// Accepts until it is cancelled or fails; each connection is a completion with `more`.
    AcceptMulti { listener: Descriptor, direct: bool },
    /// Receives into the memory given.
    Recv { descriptor: Descriptor, buffer: Span },
    /// Receives once into a provided buffer.
    RecvLease { descriptor: Descriptor },
    /// Receives into provided buffers until it is cancelled, ends or fails.
    RecvMulti { descriptor: Descriptor },
    /// Sends from the memory given.
    Send { descriptor: Descriptor, data: Span },
    /// Sends several pieces: the span is a [`Message`], see [`Message::span`].
    SendVectored { descriptor: Descriptor, message: Span },
    /// Receives a datagram with its sender's address into a [`Message`].
    RecvMessage { descriptor: Descriptor, message: Span },
    /// Bytes that a socket has taken to send and whose receipt its peer has not confirmed: `SIOCOUTQ` (`tcp(7)`). Kernel 6.7.
    Unsent { descriptor: Descriptor },
    /// Shuts down reading (0), writing (1) or both (2).
    Shutdown { descriptor: Descriptor, how: i32 },
    /// Closes the descriptor.
    Close { descriptor: Descriptor },
    /// Cancels the operation that was submitted with this token.
    Cancel { target: Token },
    /// Cancels all operations on the descriptor.
    CancelAll { descriptor: Descriptor },
    /// Completes with ETIME after the time: the span is a [`Timespec`].
    Timeout { after: Span },
    /// Completes when the descriptor is ready: `events` as in `poll(2)`.
    Poll { descriptor: Descriptor, events: u32, multi: bool },
    /// Connects: the span is an [`Address`], see [`Address::span`].
    Connect { descriptor: Descriptor, address: Span },
    /// Creates a socket.
    Socket { domain: i32, kind: i32, protocol: i32, direct: bool },
    /// Sets an option, also of a direct descriptor.
    SetSocketOption { descriptor: Descriptor, level: u32, name: u32, value: Span },
    /// Opens a file: `path` is NUL-terminated, `how` an [`OpenHow`].
    OpenAt { directory: RawFd, path: Span, how: Span },
    /// Reads metadata: `path` is NUL-terminated, `out` a [`Statx`].
    Statx { directory: RawFd, path: Span, flags: i32, mask: u32, out: Span },
    /// Reads at an offset; `u64::MAX` means the descriptor's own position (pipes, eventfds).
    Read { descriptor: Descriptor, buffer: Span, offset: u64 },
    /// Writes at an offset.
    Write { descriptor: Descriptor, data: Span, offset: u64 },
    /// Syncs a file; `data_only` as `fdatasync(2)`.
    Fsync { descriptor: Descriptor, data_only: bool },
    /// Moves bytes between two descriptors, one of them a pipe; offset -1 for a pipe.
    Splice { from: Descriptor, from_offset: i64, to: Descriptor, to_offset: i64, len: u32 },
    /// Posts a completion with `token` and `result` on another ring.
    Message { ring: RawFd, result: i32, token: Token },
    /// Makes an ordinary descriptor (close-on-exec) of a direct one.
    Install { index: u32 },
}

macro_rules! with_fd {
    ($descriptor:expr, |$fd:ident| $build:expr) => {
        match $descriptor {
            Descriptor::Raw(raw) => {
                let $fd = types::Fd(raw);
                $build
            }
            Descriptor::Direct(index) => {
                let $fd = types::Fixed(index);
                $build
            }
        }
    };
}

impl Op {
    /// The kind that a token for this operation carries.
    pub fn kind(&self) -> OpKind {
        match self {
            Op::Nop => OpKind::Nop,
            Op::Accept { .. } | Op::AcceptMulti { .. } => OpKind::Accept,
            Op::Recv { .. } | Op::RecvLease { .. } | Op::RecvMulti { .. } | Op::RecvMessage { .. } => {
                OpKind::Recv
            }
            Op::Send { .. } | Op::SendVectored { .. } => OpKind::Send,
            Op::Unsent { .. } => OpKind::Unsent,
            Op::Shutdown { .. } => OpKind::Shutdown,
            Op::Close { .. } => OpKind::Close,
            Op::Cancel { .. } | Op::CancelAll { .. } => OpKind::Cancel,
            Op::Timeout { .. } => OpKind::Timeout,
            Op::Poll { .. } => OpKind::Poll,
            Op::Connect { .. } => OpKind::Connect,
            Op::Socket { .. } => OpKind::Socket,
            Op::SetSocketOption { .. } => OpKind::SocketOption,
            Op::OpenAt { .. } => OpKind::Open,
            Op::Statx { .. } => OpKind::Statx,
            Op::Read { .. } => OpKind::Read,
            Op::Write { .. } => OpKind::Write,
            Op::Fsync { .. } => OpKind::Fsync,
            Op::Splice { .. } => OpKind::Splice,
            Op::Message { .. } => OpKind::Message,
            Op::Install { .. } => OpKind::Install,
        }
    }

    /// The submission entry, without its token. `group` is the provided-buffer ring.
    pub(crate) fn encode(&self, group: u16) -> squeue::Entry {
        match *self {
            Op::Recv { .. } | Op::RecvLease { .. } | Op::RecvMulti { .. } | Op::RecvMessage { .. } => {
                self.encode_recv(group)
            }
            Op::OpenAt { .. } | Op::Statx { .. } | Op::Read { .. } | Op::Write { .. } | Op::Fsync { .. } => {
                self.encode_file()
            }
            Op::Nop => opcode::Nop::new().build(),
            Op::Accept { listener, direct } => with_fd!(listener, |fd| {
                let accept = opcode::Accept::new(fd, std::ptr::null_mut(), std::ptr::null_mut());
                match direct {
                    true => accept.file_index(Some(types::DestinationSlot::auto_target())).build(),
                    false => accept.flags(libc::SOCK_CLOEXEC).build(),
                }
            }),
            Op::AcceptMulti { listener, direct } => with_fd!(listener, |fd| {
                let flags = if direct { 0 } else { libc::SOCK_CLOEXEC };
                opcode::AcceptMulti::new(fd).allocate_file_index(direct).flags(flags).build()
            }),
            Op::Send { descriptor, data } => with_fd!(descriptor, |fd| {
                opcode::Send::new(fd, data.as_ptr(), data.len).flags(libc::MSG_NOSIGNAL).build()
            }),
            Op::SendVectored { descriptor, message } => with_fd!(descriptor, |fd| {
                opcode::SendMsg::new(fd, message.as_ptr()).flags(libc::MSG_NOSIGNAL as u32).build()
            }),
            Op::Unsent { descriptor } => {
                with_fd!(descriptor, |fd| opcode::UringCmd16::new(fd, SOCKET_URING_OP_SIOCOUTQ).build())
            }
            Op::Shutdown { descriptor, how } => {
                with_fd!(descriptor, |fd| opcode::Shutdown::new(fd, how).build())
            }
            Op::Close { descriptor } => with_fd!(descriptor, |fd| opcode::Close::new(fd).build()),
            Op::Cancel { target } => opcode::AsyncCancel::new(target.user_data()).build(),
            Op::CancelAll { descriptor } => with_fd!(descriptor, |fd| {
                opcode::AsyncCancel2::new(types::CancelBuilder::fd(fd).all()).build()
            }),
            Op::Timeout { after } => opcode::Timeout::new(after.as_ptr()).build(),
            Op::Poll { descriptor, events, multi } => {
                with_fd!(descriptor, |fd| opcode::PollAdd::new(fd, events).multi(multi).build())
            }
            Op::Connect { descriptor, address: Span { address, len } } => {
                with_fd!(descriptor, |fd| opcode::Connect::new(fd, address as *const _, len).build())
            }
            Op::Socket { domain, kind, protocol, direct } => {
                let slot = direct.then(types::DestinationSlot::auto_target);
                let kind = if direct { kind } else { kind | libc::SOCK_CLOEXEC };
                opcode::Socket::new(domain, kind, protocol).file_index(slot).build()
            }
            Op::SetSocketOption { descriptor, level, name, value } => with_fd!(descriptor, |fd| {
                opcode::SetSockOpt::new(fd, level, name, value.as_ptr(), value.len).build()
            }),
            Op::Splice { from, from_offset, to, to_offset, len } => with_fd!(from, |source| {
                with_fd!(to, |target| opcode::Splice::new(source, from_offset, target, to_offset, len)
                    .build())
            }),
            Op::Message { ring, result, token } => {
                opcode::MsgRingData::new(types::Fd(ring), result, token.user_data(), None).build()
            }
            Op::Install { index } => opcode::FixedFdInstall::new(types::Fixed(index), 0).build(),
        }
    }

    fn encode_recv(&self, group: u16) -> squeue::Entry {
        match *self {
            Op::Recv { descriptor, buffer } => {
                with_fd!(descriptor, |fd| opcode::Recv::new(fd, buffer.as_mut_ptr(), buffer.len).build())
            }
            Op::RecvLease { descriptor } => with_fd!(descriptor, |fd| {
                opcode::Recv::new(fd, std::ptr::null_mut(), 0)
                    .buf_group(group)
                    .build()
                    .flags(squeue::Flags::BUFFER_SELECT)
            }),
            Op::RecvMulti { descriptor } => {
                with_fd!(descriptor, |fd| opcode::RecvMulti::new(fd, group).build())
            }
            Op::RecvMessage { descriptor, message } => {
                with_fd!(descriptor, |fd| opcode::RecvMsg::new(fd, message.as_mut_ptr()).build())
            }
            _ => unreachable!("only receiving operations are encoded here"),
        }
    }

    fn encode_file(&self) -> squeue::Entry {
        match *self {
            Op::OpenAt { directory, path, how } => {
                opcode::OpenAt2::new(types::Fd(directory), path.as_ptr(), how.as_ptr()).build()
            }
            Op::Statx { directory, path, flags, mask, out } => {
                opcode::Statx::new(types::Fd(directory), path.as_ptr(), out.as_mut_ptr())
                    .flags(flags)
                    .mask(mask)
                    .build()
            }
            Op::Read { descriptor, buffer, offset } => with_fd!(descriptor, |fd| {
                opcode::Read::new(fd, buffer.as_mut_ptr(), buffer.len).offset(offset).build()
            }),
            Op::Write { descriptor, data, offset } => with_fd!(descriptor, |fd| {
                opcode::Write::new(fd, data.as_ptr(), data.len).offset(offset).build()
            }),
            Op::Fsync { descriptor, data_only } => with_fd!(descriptor, |fd| {
                let flags = if data_only { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() };
                opcode::Fsync::new(fd).flags(flags).build()
            }),
            _ => unreachable!("only file operations are encoded here"),
        }
    }
}

mod address;
