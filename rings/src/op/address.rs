//! Socket addresses and message headers in the kernel's layout.

use super::{Address, Message, Span};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

impl Address {
    /// Room for an address that the kernel will write.
    pub fn empty() -> Address {
        // SAFETY: sockaddr_storage is plain integers, for which zero is a value.
        let storage = unsafe { std::mem::zeroed() };
        Address { storage, len: size_of::<libc::sockaddr_storage>() as u32 }
    }

    /// The address of a Unix socket in the file system.
    ///
    /// # Errors
    /// `InvalidInput` when the path has a NUL or is longer than `sun_path` holds (107 bytes).
    pub fn unix(path: &Path) -> io::Result<Address> {
        let bytes = path.as_os_str().as_bytes();
        let mut address = Address::empty();
        // SAFETY: sockaddr_storage is large enough and aligned for every address family.
        let unix = unsafe { &mut *(&raw mut address.storage).cast::<libc::sockaddr_un>() };
        if bytes.len() >= unix.sun_path.len() || bytes.contains(&0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "socket path with a NUL or over 107 bytes",
            ));
        }
        unix.sun_family = libc::AF_UNIX as u16;
        for (place, byte) in unix.sun_path.iter_mut().zip(bytes) {
            *place = *byte as libc::c_char;
        }
        address.len = (size_of::<libc::sa_family_t>() + bytes.len() + 1) as u32;
        Ok(address)
    }

    /// The address of the peer that a socket is connected to.
    ///
    /// # Errors
    /// As `getpeername(2)`.
    pub fn of_peer(socket: BorrowedFd<'_>) -> io::Result<Address> {
        let mut address = Address::empty();
        // SAFETY: storage and length outlive the call, and the length is that of the storage.
        let result = unsafe {
            libc::getpeername(socket.as_raw_fd(), (&raw mut address.storage).cast(), &mut address.len)
        };
        if result == 0 { Ok(address) } else { Err(io::Error::last_os_error()) }
    }

    /// The internet address, if it is one.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that the storage holds a sockaddr_in.
                let v4 = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
            }
            libc::AF_INET6 => {
                // SAFETY: the family says that the storage holds a sockaddr_in6.
                let v6 = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                Some(SocketAddr::V6(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id)))
            }
            _ => None,
        }
    }

    /// `AF_INET`, `AF_INET6` or `AF_UNIX`.
    pub fn domain(&self) -> i32 {
        i32::from(self.storage.ss_family)
    }

    /// Binds a socket to the address.
    ///
    /// # Errors
    /// As `bind(2)`.
    pub fn bind(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: the storage outlives the call, and the length is that of its address.
        let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const self.storage).cast(), self.len) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// The span for [`Op::Connect`](crate::Op::Connect), or for `bind(2)`.
    pub fn span(&self) -> Span {
        Span { address: &raw const self.storage as usize, len: self.len }
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Address {
        let mut address = Address::empty();
        match addr {
            SocketAddr::V4(v4) => {
                // SAFETY: sockaddr_storage is large enough and aligned for every address family.
                let place = unsafe { &mut *(&raw mut address.storage).cast::<libc::sockaddr_in>() };
                place.sin_family = libc::AF_INET as u16;
                place.sin_port = v4.port().to_be();
                place.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
                address.len = size_of::<libc::sockaddr_in>() as u32;
            }
            SocketAddr::V6(v6) => {
                // SAFETY: as above.
                let place = unsafe { &mut *(&raw mut address.storage).cast::<libc::sockaddr_in6>() };
                place.sin6_family = libc::AF_INET6 as u16;
                place.sin6_port = v6.port().to_be();
                place.sin6_addr.s6_addr = v6.ip().octets();
                place.sin6_flowinfo = v6.flowinfo();
                place.sin6_scope_id = v6.scope_id();
                address.len = size_of::<libc::sockaddr_in6>() as u32;
            }
        }
        address
    }
}

impl Message {
    /// An empty message, boxed because the kernel needs it to stay in its place.
    pub fn new() -> Box<Message> {
        // SAFETY: msghdr is integers and pointers, for which zero is a value.
        let header = unsafe { std::mem::zeroed() };
        Box::new(Message { header, pieces: Vec::new(), address: Address::empty() })
    }

    /// Replaces the pieces. `to` is the address a datagram goes to.
    pub fn set(&mut self, pieces: impl IntoIterator<Item = Span>, to: Option<&Address>) {
        self.pieces.clear();
        self.pieces.extend(pieces.into_iter().map(Span::iovec));
        self.header.msg_iov = self.pieces.as_mut_ptr();
        self.header.msg_iovlen = self.pieces.len();
        self.header.msg_name = std::ptr::null_mut();
        self.header.msg_namelen = 0;
        if let Some(to) = to {
            self.address = *to;
            self.header.msg_name = (&raw mut self.address.storage).cast();
            self.header.msg_namelen = self.address.len;
        }
    }

    /// Room to receive one datagram and its sender's address.
    pub fn set_receive(&mut self, buffer: Span) {
        let room = Address::empty();
        self.set([buffer], Some(&room));
    }

    /// The sender of the datagram that was received.
    pub fn sender(&self) -> Option<SocketAddr> {
        self.address.socket_addr()
    }

    /// The span for [`Op::SendVectored`](crate::Op::SendVectored) and [`Op::RecvMessage`](crate::Op::RecvMessage).
    pub fn span(&self) -> Span {
        Span { address: &raw const self.header as usize, len: size_of::<libc::msghdr>() as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernel_layout() {
        for text in ["127.0.0.1:80", "[::1]:65535", "255.1.2.3:0"] {
            let addr: SocketAddr = text.parse().expect("a literal address");
            assert_eq!(Address::from(addr).socket_addr(), Some(addr));
        }
    }

    #[test]
    fn a_socket_path_that_does_not_fit_is_refused() {
        assert!(Address::unix(Path::new(&"x".repeat(108))).is_err());
        assert!(Address::unix(Path::new("a\0b")).is_err());
        assert_eq!(Address::unix(Path::new("/tmp/a")).expect("fits").domain(), libc::AF_UNIX);
    }
}
