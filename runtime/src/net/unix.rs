//! Unix stream sockets.

use super::{Socket, impl_stream_io, is_cancelled, stream_socket};
use crate::ops::Lane;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use sws_rings::Address;

/// A Unix stream connection. Dropping the last clone closes it.
///
/// ```
/// # use sws_runtime::Runtime;
/// use std::io::{Read, Write};
/// use sws_runtime::net::UnixStream;
///
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.block_on_fiber(|| -> std::io::Result<()> {
///     let (mut one, mut other) = UnixStream::pair()?;
///     one.write_all(b"hello")?;
///     let mut bytes = [0; 5];
///     other.read_exact(&mut bytes)?;
///     assert_eq!(&bytes, b"hello");
///     Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixStream {
    socket: Socket<std::os::unix::net::UnixStream>,
}

impl UnixStream {
    /// Connects to a socket in the file system.
    ///
    /// # Errors
    /// As `connect(2)`; `InvalidInput` for a path with a NUL or over 107 bytes.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        let address = Address::unix(path.as_ref())?;
        let socket = Socket::new(stream_socket(address.domain())?.into(), Lane::Main);
        socket.connect(&address, None)?;
        Ok(UnixStream { socket })
    }

    /// Two ends of a connection without a name. Also off a fiber.
    ///
    /// # Errors
    /// As `socketpair(2)`.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = std::os::unix::net::UnixStream::pair()?;
        let stream = |inner| UnixStream { socket: Socket::new(inner, Lane::Main) };
        Ok((stream(one), stream(other)))
    }

    /// The same connection on another ring of the worker.
    pub fn with_lane(mut self, lane: Lane) -> UnixStream {
        self.socket.lane = lane;
        self
    }

    /// Bounds each later read; `None` lets it wait without end.
    ///
    /// # Errors
    /// `InvalidInput` for a time of zero.
    pub fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(time)
    }

    /// Bounds each later write; `None` lets it wait without end.
    ///
    /// # Errors
    /// `InvalidInput` for a time of zero.
    pub fn set_write_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.socket.set_write_timeout(time)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// As `getpeername(2)`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.inner.peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.inner.local_addr()
    }

    /// Ends one or both directions. A fiber that waits to read here gets the end.
    ///
    /// # Errors
    /// As `shutdown(2)`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.inner.shutdown(how)
    }

    /// Another handle to the same connection, with timeouts of its own.
    ///
    /// # Errors
    /// None; as std has it.
    pub fn try_clone(&self) -> io::Result<UnixStream> {
        Ok(UnixStream { socket: self.socket.share() })
    }
}

impl_stream_io!(UnixStream);

impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.inner.as_fd()
    }
}

impl TryFrom<std::os::unix::net::UnixStream> for UnixStream {
    type Error = io::Error;

    /// Takes a connection over.
    fn try_from(stream: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
        stream.set_nonblocking(false)?;
        Ok(UnixStream { socket: Socket::new(stream, Lane::Main) })
    }
}

/// A listening Unix socket. Its file stays when it is dropped.
///
/// ```
/// # use sws_runtime::Runtime;
/// use sws_runtime::go;
/// use sws_runtime::net::{UnixListener, UnixStream};
///
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// # let path = std::env::temp_dir().join(format!("sws-doc-unix-{}", std::process::id()));
/// # let kept = path.clone();
/// runtime.block_on_fiber(move || -> std::io::Result<()> {
///     let listener = UnixListener::bind(&path)?;
///     let client = go("client", move || UnixStream::connect(&path).map(drop));
///     let (_stream, _peer) = listener.accept()?;
///     client.join().unwrap()
/// })?;
/// # std::fs::remove_file(kept)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixListener {
    socket: Socket<std::os::unix::net::UnixListener>,
}

impl UnixListener {
    /// Listens at a path, where nothing may be yet. Also off a fiber.
    ///
    /// # Errors
    /// As `bind(2)` and `listen(2)`.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        let listener = std::os::unix::net::UnixListener::bind(path)?;
        Ok(UnixListener { socket: Socket::new(listener, Lane::Main) })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// As `accept(2)`.
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let stream = std::os::unix::net::UnixStream::from(self.socket.accept()?);
        let peer = stream.peer_addr()?;
        Ok((UnixStream { socket: Socket::new(stream, Lane::Main) }, peer))
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.inner.local_addr()
    }

    /// The connections, one after the other, until the fiber is cancelled.
    pub fn incoming(&self) -> UnixIncoming<'_> {
        UnixIncoming { listener: self }
    }
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.inner.as_fd()
    }
}

impl TryFrom<std::os::unix::net::UnixListener> for UnixListener {
    type Error = io::Error;

    /// Takes a listening socket over.
    fn try_from(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
        listener.set_nonblocking(false)?;
        Ok(UnixListener { socket: Socket::new(listener, Lane::Main) })
    }
}

/// The connections of a [`UnixListener`]. Ends when the fiber is cancelled; any other error is an item.
#[derive(Debug)]
pub struct UnixIncoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for UnixIncoming<'_> {
    type Item = io::Result<UnixStream>;

    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        let accepted = self.listener.accept().map(|(stream, _)| stream);
        (!is_cancelled(&accepted)).then_some(accepted)
    }
}
