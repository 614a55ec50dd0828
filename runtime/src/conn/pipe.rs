//! Pipes through which files go to connections: their pages are passed on, and not copied.
//!
//! The kernel splices on threads of its own, and one that writes to a socket waits there for as long as the peer does not read. So a
//! worker has few pipes; who finds none copies.
//!
//! # Unsafe
//!
//! One call over a descriptor that is just made, and an operation that names no memory and descriptors that are borrowed.

use crate::core;
use crate::ops::{Lane, run_io};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use sws_rings::{Descriptor, Op};

/// Pipes of a worker, at most.
const PIPES_MAX: usize = 8;
/// Bytes of a pipe. Fewer are 4 pipes of the default size, at a third more of CPU time; more are no faster.
const PIPE_BYTES: u32 = 256 * 1024;
/// Smaller ones, as an account with very many pipes gets them, cost more than copying.
const PIPE_BYTES_MIN: i32 = 64 * 1024;
/// Bytes that are sent on at once: a peer that takes so much within the time of a write is seen to read.
const DRAIN_BYTES: usize = 128 * 1024;

/// The pipes of a worker.
#[derive(Default)]
pub(crate) struct Pipes {
    idle: RefCell<Vec<Ends>>,
    used: Cell<usize>,
}

struct Ends {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Ends {
    fn open() -> io::Result<Ends> {
        let (reader, writer) = io::pipe()?;
        // SAFETY: take no pointers. Where it is refused the pipe keeps its size.
        let bytes = unsafe {
            libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES);
            libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ)
        };
        if bytes < PIPE_BYTES_MIN {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(Ends { reader: reader.into(), writer: writer.into() })
    }
}

/// A pipe of the worker's, for a part of a file. Dropped, it goes back to the worker.
///
/// ```
/// use std::os::fd::AsFd;
/// use sws_runtime::{Runtime, acquire_pipe, fs::File};
///
/// # let path = std::env::temp_dir().join(format!("sws-doc-pipe-{}", std::process::id()));
/// # std::fs::write(&path, "hello").unwrap();
/// # let kept = path.clone();
/// let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.block_on_fiber(move || -> std::io::Result<()> {
///     let file = File::open(&path)?;
///     let mut pipe = acquire_pipe().expect("nobody else has any");
///     assert_eq!(pipe.fill(file.as_fd(), 1, 100)?, 4);
///     // With a connection: conn.push_pipe(pipe)
///     Ok(())
/// })?;
/// # std::fs::remove_file(kept)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Pipe {
    /// `None` only while it is dropped.
    ends: Option<Ends>,
    /// Bytes that were taken in; 0 when it is empty.
    len: usize,
    /// Whether nothing is known of what is in it.
    is_unsure: bool,
    pipes: Rc<Pipes>,
}

/// A pipe of the worker's. `None` when all are in use, or none can be made.
///
/// # Panics
/// Off a worker's thread.
pub fn acquire_pipe() -> Option<Pipe> {
    let pipes = core::with(|core| Rc::clone(&core.conns.pipes));
    if pipes.used.get() >= PIPES_MAX {
        return None;
    }
    let known = pipes.idle.borrow_mut().pop();
    let ends = known.or_else(|| Ends::open().ok())?;
    pipes.used.set(pipes.used.get() + 1);
    Some(Pipe { ends: Some(ends), len: 0, is_unsure: false, pipes })
}

impl Pipes {
    pub(crate) fn in_use(&self) -> usize {
        self.used.get()
    }
}

impl Pipe {
    /// Bytes that go into one pipe.
    pub const BYTES: usize = PIPE_BYTES as usize;

    /// Takes a part of a file in, as much as there is room for; 0 at the end of the file. Suspends the calling fiber.
    ///
    /// # Errors
    /// As `splice(2)`; `EINVAL` where a file system cannot. An error that holds [`Cancelled`](crate::Cancelled) when the fiber is cancelled.
    ///
    /// # Panics
    /// When not called on a fiber, and when it was filled before.
    pub fn fill(&mut self, file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<usize> {
        assert_eq!(self.len, 0, "a pipe is filled once");
        let from_offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let op = Op::Splice {
            from: Descriptor::Raw(file.as_raw_fd()),
            from_offset,
            to: Descriptor::Raw(self.ends().writer.as_raw_fd()),
            to_offset: -1,
            len: u32::try_from(len).unwrap_or(u32::MAX).min(PIPE_BYTES),
        };
        self.is_unsure = true;
        // SAFETY: names no memory; the descriptors are borrowed until this returns.
        self.len = unsafe { run_io(Lane::Main, &op, "file splice", None) }? as usize;
        self.is_unsure = false;
        Ok(self.len)
    }

    fn ends(&self) -> &Ends {
        self.ends.as_ref().expect("it has its ends until it is dropped")
    }

    /// Bytes that were taken in.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The operation that sends on what is left behind `sent` bytes, or a part of it.
    pub(super) fn drain(&self, sent: usize, to: Descriptor) -> Op {
        let len = (self.len - sent).min(DRAIN_BYTES);
        let from = Descriptor::Raw(self.ends().reader.as_raw_fd());
        Op::Splice { from, from_offset: -1, to, to_offset: -1, len: len as u32 }
    }

    /// Nothing is in it any more.
    pub(super) fn set_drained(&mut self) {
        self.len = 0;
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.pipes.used.set(self.pipes.used.get() - 1);
        // What is left in one would reach the next peer.
        if let Some(ends) = self.ends.take().filter(|_| self.len == 0 && !self.is_unsure) {
            self.pipes.idle.borrow_mut().push(ends);
        }
    }
}
