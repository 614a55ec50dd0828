//! Sockets for fibers: they read like those of `std::net`, and wait on the ring.
//!
//! Whatever waits suspends the calling fiber and leaves the loop free. It fails with an error that holds
//! [`Cancelled`](crate::Cancelled) when the fiber is cancelled, with `TimedOut` when its time is over, and it panics when not
//! called on a fiber. What has been received or accepted by then is not lost: either the call returns it, or the next one.
//!
//! Any library over `std::io::{Read, Write}` works on these streams unchanged. Two fibers may use one socket at once, one to
//! read and one to write: by a shared reference, or by [`try_clone`](TcpStream::try_clone).
//!
//! # Unsafe
//!
//! Buffers, addresses and message headers that operations name belong to the calling function or its caller, which the
//! operation outlives in no case: `run_io` returns after the completion.

mod tcp;
mod udp;
mod unix;

pub use tcp::{Incoming, TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixIncoming, UnixListener, UnixStream};

use crate::core::{self, Core};
use crate::ops::{Lane, run_io};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;
use sws_rings::{Address, Descriptor, Op, Span};

/// What all sockets are: one of std's, which owns the descriptor, and how to wait on it.
#[derive(Debug)]
struct Socket<S> {
    inner: Arc<S>,
    lane: Lane,
    read_timeout: Cell<Option<Duration>>,
    write_timeout: Cell<Option<Duration>>,
}

impl<S: AsFd> Socket<S> {
    /// A blocking socket: the ring answers EAGAIN on others instead of waiting.
    fn new(inner: S, lane: Lane) -> Socket<S> {
        let timeout = Cell::new(None);
        Socket { inner: Arc::new(inner), lane, read_timeout: timeout.clone(), write_timeout: timeout }
    }

    /// The same descriptor, with timeouts of its own.
    fn share(&self) -> Socket<S> {
        Socket {
            inner: Arc::clone(&self.inner),
            lane: self.lane,
            read_timeout: self.read_timeout.clone(),
            write_timeout: self.write_timeout.clone(),
        }
    }

    fn descriptor(&self) -> Descriptor {
        Descriptor::Raw(self.inner.as_fd().as_raw_fd())
    }

    fn connect(&self, address: &Address, time: Option<Duration>) -> io::Result<()> {
        let op = Op::Connect { descriptor: self.descriptor(), address: address.span() };
        // SAFETY: the address is borrowed until this returns.
        match unsafe { run_io(self.lane, &op, "connect", until(time)) } {
            Ok(_) => Ok(()),
            // An attempt that was interrupted went on, and has come to its end.
            Err(error) if error.raw_os_error() == Some(libc::EISCONN) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits for a connection. One that its client has given up meanwhile is passed over.
    fn accept(&self) -> io::Result<OwnedFd> {
        let op = Op::Accept { listener: self.descriptor(), direct: false };
        loop {
            // SAFETY: names no memory.
            match unsafe { run_io(self.lane, &op, "accept", None) } {
                // SAFETY: the kernel has just made this descriptor, and nobody else owns it.
                Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }),
                Err(error) if error.raw_os_error() == Some(libc::ECONNABORTED) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let op = Op::Recv { descriptor: self.descriptor(), buffer: Span::of_mut(buffer) };
        // SAFETY: the buffer is borrowed until this returns.
        unsafe { run_io(self.lane, &op, "receive", until(self.read_timeout.get())) }
            .map(|count| count as usize)
    }

    fn send(&self, data: &[u8]) -> io::Result<usize> {
        let op = Op::Send { descriptor: self.descriptor(), data: Span::of(data) };
        // SAFETY: the data are borrowed until this returns.
        unsafe { run_io(self.lane, &op, "send", until(self.write_timeout.get())) }.map(|count| count as usize)
    }

    fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.read_timeout.set(checked_timeout(time)?);
        Ok(())
    }

    fn set_write_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.write_timeout.set(checked_timeout(time)?);
        Ok(())
    }
}

/// When a wait that begins now and may last so long is over, by the worker's clock.
fn until(time: Option<Duration>) -> Option<Duration> {
    time.map(|time| core::with(Core::clock).saturating_add(time))
}

/// As std has it: no time at all is a mistake.
fn checked_timeout(time: Option<Duration>) -> io::Result<Option<Duration>> {
    match time {
        Some(Duration::ZERO) => Err(io::Error::new(io::ErrorKind::InvalidInput, "a timeout of zero")),
        time => Ok(time),
    }
}

/// A new stream socket that is not connected.
fn stream_socket(domain: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::socket(domain, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether a listener's fiber was cancelled, which every later accept would only say again.
fn is_cancelled<T>(result: &io::Result<T>) -> bool {
    let Err(error) = result else { return false };
    error.get_ref().is_some_and(|inner| inner.is::<crate::Cancelled>())
}

/// `Read` and `Write` for a stream and for a reference to it, over its field `socket`.
macro_rules! impl_stream_io {
    ($stream:ty) => {
        impl std::io::Read for &$stream {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                if buffer.is_empty() { Ok(0) } else { self.socket.recv(buffer) }
            }
        }

        impl std::io::Write for &$stream {
            fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
                if data.is_empty() { Ok(0) } else { self.socket.send(data) }
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl std::io::Read for $stream {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                (&*self).read(buffer)
            }
        }

        impl std::io::Write for $stream {
            fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
                (&*self).write(data)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}

use impl_stream_io;
