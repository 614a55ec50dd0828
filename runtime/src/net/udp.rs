//! UDP.
//!
//! # Unsafe
//!
//! As the module above says; a message header is boxed, so that it stays where it is, and dropped after the completion.

use super::{Socket, until};
use crate::ops::{Lane, run_io};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use sws_rings::{Address, Message, Op, Span};

/// A UDP socket. Dropping the last clone closes it.
///
/// ```
/// # use sws_runtime::Runtime;
/// use sws_runtime::net::UdpSocket;
///
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.block_on_fiber(|| -> std::io::Result<()> {
///     let one = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
///     let other = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
///     one.send_to(b"hello", other.local_addr()?)?;
///     let mut buffer = [0; 64];
///     let (count, from) = other.recv_from(&mut buffer)?;
///     assert_eq!((&buffer[..count], from), (&b"hello"[..], one.local_addr()?));
///     Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket<std::net::UdpSocket>,
}

impl UdpSocket {
    /// Binds to an address. Also off a fiber.
    ///
    /// # Errors
    /// As `bind(2)`.
    pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
        let socket = std::net::UdpSocket::bind(address)?;
        Ok(UdpSocket { socket: Socket::new(socket, Lane::Main) })
    }

    /// The same socket on another ring of the worker.
    pub fn with_lane(mut self, lane: Lane) -> UdpSocket {
        self.socket.lane = lane;
        self
    }

    /// Sets the address that [`send`](UdpSocket::send) goes to and [`recv`](UdpSocket::recv) comes from. Does not wait.
    ///
    /// # Errors
    /// As `connect(2)`.
    pub fn connect(&self, address: SocketAddr) -> io::Result<()> {
        self.socket.inner.connect(address)
    }

    /// Sends a datagram to the connected address.
    ///
    /// # Errors
    /// As `send(2)`, such as ECONNREFUSED for an earlier datagram.
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.socket.send(data)
    }

    /// Receives a datagram from the connected address. What does not fit in the buffer is lost.
    ///
    /// # Errors
    /// As `recv(2)`.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buffer)
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// As `sendto(2)`.
    pub fn send_to(&self, data: &[u8], address: SocketAddr) -> io::Result<usize> {
        let mut message = Message::new();
        message.set([Span::of(data)], Some(&Address::from(address)));
        let op = Op::SendVectored { descriptor: self.socket.descriptor(), message: message.span() };
        // SAFETY: data and message outlive the call, and nobody else uses them.
        unsafe { run_io(self.socket.lane, &op, "send", until(self.socket.write_timeout.get())) }
            .map(|count| count as usize)
    }

    /// Receives a datagram and its sender's address. What does not fit in the buffer is lost.
    ///
    /// # Errors
    /// As `recvfrom(2)`.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut message = Message::new();
        message.set_receive(Span::of_mut(buffer));
        let op = Op::RecvMessage { descriptor: self.socket.descriptor(), message: message.span() };
        let time = until(self.socket.read_timeout.get());
        // SAFETY: buffer and message outlive the call, and nobody else uses them.
        let count = unsafe { run_io(self.socket.lane, &op, "receive", time) }?;
        let sender = message.sender().ok_or(io::ErrorKind::InvalidData)?;
        Ok((count as usize, sender))
    }

    /// Bounds each later receive; `None` lets it wait without end.
    ///
    /// # Errors
    /// `InvalidInput` for a time of zero.
    pub fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(time)
    }

    /// Bounds each later send; `None` lets it wait without end.
    ///
    /// # Errors
    /// `InvalidInput` for a time of zero.
    pub fn set_write_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.socket.set_write_timeout(time)
    }

    /// The address of this end.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.inner.local_addr()
    }

    /// The address it is connected to.
    ///
    /// # Errors
    /// As `getpeername(2)`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.inner.peer_addr()
    }

    /// Another handle to the same socket, with timeouts of its own.
    ///
    /// # Errors
    /// None; as std has it.
    pub fn try_clone(&self) -> io::Result<UdpSocket> {
        Ok(UdpSocket { socket: self.socket.share() })
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.inner.as_fd()
    }
}

impl TryFrom<std::net::UdpSocket> for UdpSocket {
    type Error = io::Error;

    /// Takes a socket over.
    fn try_from(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        socket.set_nonblocking(false)?;
        Ok(UdpSocket { socket: Socket::new(socket, Lane::Main) })
    }
}
