//! Listening sockets with the options that a server wants before it binds.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use sws_rings::Address;

/// Binds a listening TCP socket: SO_REUSEADDR, so that a restart does not wait for old connections; SO_REUSEPORT if
/// `shared`, so that each worker can have its own; TCP_NODELAY, which accepted connections inherit.
///
/// # Errors
/// As `socket(2)`, `setsockopt(2)`, `bind(2)` and `listen(2)`.
///
/// ```
/// let listener = sws_runtime::listen_tcp("127.0.0.1:0".parse().unwrap(), false, 1024)?;
/// assert_ne!(listener.local_addr()?.port(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn listen_tcp(addr: SocketAddr, shared: bool, backlog: i32) -> io::Result<TcpListener> {
    let address = Address::from(addr);
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::socket(address.domain(), libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    set_option(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY)?;
    if shared {
        set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT)?;
    }
    address.bind(socket.as_fd())?;
    // SAFETY: takes no pointers.
    if unsafe { libc::listen(socket.as_raw_fd(), backlog) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(TcpListener::from(socket))
}

fn set_option(socket: &OwnedFd, level: i32, name: i32) -> io::Result<()> {
    let one = 1i32;
    // SAFETY: the value outlives the call and the length is its own.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const one).cast(), size_of::<i32>() as u32)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
