//! The memory that operations name. All of it is reached here.
//!
//! # Unsafe
//!
//! A [`Span`] has no lifetime. Whoever pushed its operation has promised that the memory is there, and left alone,
//! until the operation's last completion was drained; the simulated kernel calls these functions only for operations
//! that it has not completed.

use crate::Address;
use crate::op::Span;
use std::net::SocketAddr;
use std::ptr;
use std::time::Duration;

/// The first bytes of a span, at most `max`.
pub(super) fn read(span: Span, max: usize) -> Vec<u8> {
    let len = (span.len() as usize).min(max);
    let mut bytes = vec![0; len];
    // SAFETY: see the module doc; `len` is within both.
    unsafe { ptr::copy_nonoverlapping(span.address() as *const u8, bytes.as_mut_ptr(), len) };
    bytes
}

/// Writes to the start of a span.
pub(super) fn write(span: Span, bytes: &[u8]) {
    assert!(bytes.len() <= span.len() as usize, "the kernel writes no more than there is room for");
    // SAFETY: see the module doc; the length is checked.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), span.address() as *mut u8, bytes.len()) };
}

/// The first bytes of a message's pieces, at most `max`.
pub(super) fn gather(message: Span, max: usize) -> Vec<u8> {
    // SAFETY: see the module doc; the span of a message is its msghdr.
    let header = unsafe { ptr::read(message.address() as *const libc::msghdr) };
    let mut bytes = Vec::new();
    for index in 0..header.msg_iovlen {
        // SAFETY: the header says how many pieces there are.
        let piece = unsafe { ptr::read(header.msg_iov.add(index)) };
        let len = piece.iov_len.min(max - bytes.len());
        let start = bytes.len();
        bytes.resize(start + len, 0);
        // SAFETY: see the module doc; `len` is within both.
        unsafe { ptr::copy_nonoverlapping(piece.iov_base.cast::<u8>(), bytes[start..].as_mut_ptr(), len) };
    }
    bytes
}

/// The time that a span of an [`Op::Timeout`](crate::Op::Timeout) holds.
pub(super) fn timespec(span: Span) -> Duration {
    // SAFETY: see the module doc; a Timespec is the kernel's: seconds and nanoseconds, 64 bits each.
    let [seconds, nanoseconds] = unsafe { ptr::read(span.address() as *const [i64; 2]) };
    Duration::new(seconds.max(0) as u64, nanoseconds.clamp(0, 999_999_999) as u32)
}

/// The address that a span of an [`Op::Connect`](crate::Op::Connect) holds.
pub(super) fn address(span: Span) -> Option<SocketAddr> {
    let mut address = Address::empty();
    let len = (span.len() as usize).min(size_of_val(&address.storage));
    // SAFETY: see the module doc; `len` is within both.
    unsafe {
        ptr::copy_nonoverlapping(span.address() as *const u8, (&raw mut address.storage).cast::<u8>(), len)
    };
    address.socket_addr()
}
