//! TCP.

use super::{Socket, impl_stream_io, is_cancelled, stream_socket};
use crate::ops::Lane;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use sws_rings::Address;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A TCP connection. Dropping the last clone closes it.
///
/// ```
/// # use sws_runtime::Runtime;
/// use std::io::{Read, Write};
/// use sws_runtime::go;
/// use sws_runtime::net::{TcpListener, TcpStream};
///
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.block_on_fiber(|| -> std::io::Result<()> {
///     let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
///     let address = listener.local_addr()?;
///     let server = go("server", move || -> std::io::Result<()> {
///         let (mut stream, _) = listener.accept()?;
///         let mut question = [0; 4];
///         stream.read_exact(&mut question)?;
///         stream.write_all(&question)
///     });
///
///     let mut stream = TcpStream::connect(address)?;
///     stream.write_all(b"ping")?;
///     let mut answer = String::new();
///     stream.read_to_string(&mut answer)?;
///     assert_eq!(answer, "ping");
///     server.join().unwrap()
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TcpStream {
    socket: Socket<std::net::TcpStream>,
}

impl TcpStream {
    /// Connects.
    ///
    /// # Errors
    /// As `connect(2)`.
    pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::open(Lane::Main, address, None)
    }

    /// Connects within a time.
    ///
    /// # Errors
    /// As `connect(2)`; `TimedOut`.
    pub fn connect_timeout(address: SocketAddr, time: Duration) -> io::Result<TcpStream> {
        TcpStream::open(Lane::Main, address, Some(time))
    }

    /// Connects on a ring of the worker, on which the connection then stays.
    ///
    /// # Errors
    /// As `connect(2)`; ENODEV when the worker has no such ring.
    pub fn connect_on(lane: Lane, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::open(lane, address, None)
    }

    fn open(lane: Lane, address: SocketAddr, time: Option<Duration>) -> io::Result<TcpStream> {
        let address = Address::from(address);
        let socket = Socket::new(stream_socket(address.domain())?.into(), lane);
        socket.connect(&address, time)?;
        Ok(TcpStream { socket })
    }

    /// The same connection on another ring of the worker.
    pub fn with_lane(mut self, lane: Lane) -> TcpStream {
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

    /// Whether small writes go out at once (TCP_NODELAY).
    ///
    /// # Errors
    /// As `setsockopt(2)`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.inner.set_nodelay(nodelay)
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
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream { socket: self.socket.share() })
    }
}

impl_stream_io!(TcpStream);

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.inner.as_fd()
    }
}

impl TryFrom<std::net::TcpStream> for TcpStream {
    type Error = io::Error;

    /// Takes a connection over.
    fn try_from(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        stream.set_nonblocking(false)?;
        Ok(TcpStream { socket: Socket::new(stream, Lane::Main) })
    }
}

/// A listening TCP socket, for a fiber that accepts in a loop. Many connections are served better by
/// [`Runtime::listen`](crate::Runtime::listen).
///
/// ```
/// # use sws_runtime::Runtime;
/// use sws_runtime::go;
/// use sws_runtime::net::{TcpListener, TcpStream};
///
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.block_on_fiber(|| -> std::io::Result<()> {
///     let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
///     let address = listener.local_addr()?;
///     let client = go("client", move || TcpStream::connect(address)?.local_addr());
///     let (_stream, peer) = listener.accept()?;
///     assert_eq!(peer, client.join().unwrap()?);
///     Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TcpListener {
    socket: Socket<std::net::TcpListener>,
}

impl TcpListener {
    /// Listens at an address, with the options of [`listen_tcp`](crate::listen_tcp()). Also off a fiber.
    ///
    /// # Errors
    /// As `bind(2)` and `listen(2)`.
    pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        let listener = crate::listen_tcp(address, false, BACKLOG)?;
        Ok(TcpListener { socket: Socket::new(listener, Lane::Main) })
    }

    /// Waits for a connection. One that its client has given up meanwhile is passed over.
    ///
    /// # Errors
    /// As `accept(2)`.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let stream = std::net::TcpStream::from(self.socket.accept()?);
            // One without a peer was reset between the accept and this.
            if let Ok(peer) = stream.peer_addr() {
                return Ok((TcpStream { socket: Socket::new(stream, Lane::Main) }, peer));
            }
        }
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.inner.local_addr()
    }

    /// The connections, one after the other, until the fiber is cancelled.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.inner.as_fd()
    }
}

impl TryFrom<std::net::TcpListener> for TcpListener {
    type Error = io::Error;

    /// Takes a listening socket over.
    fn try_from(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(false)?;
        Ok(TcpListener { socket: Socket::new(listener, Lane::Main) })
    }
}

/// The connections of a [`TcpListener`]. Ends when the fiber is cancelled; any other error is an item.
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        let accepted = self.listener.accept().map(|(stream, _)| stream);
        (!is_cancelled(&accepted)).then_some(accepted)
    }
}
