//! Bounds of what a peer may make the codec hold.

/// Most header fields one head may carry, whatever `HeadLimits::headers_max` says.
pub const HEADERS_CEILING: usize = 128;

/// Most bytes one head may have, whatever `HeadLimits::head_bytes_max` says: offsets are 16 bits wide.
pub const HEAD_BYTES_CEILING: usize = u16::MAX as usize;

/// Longest method token; a longer one is answered 501 (RFC 9112, section 3). The longest registered one has 17.
pub const METHOD_BYTES_MAX: usize = 32;

/// Most bytes of chunk extensions on one chunk-size line.
pub const CHUNK_EXTENSION_LINE_BYTES_MAX: u16 = 256;

/// Most bytes of chunk extensions in one body.
pub const CHUNK_EXTENSION_BYTES_MAX: u16 = 4096;

/// Most bytes of the trailer section of one body.
pub const TRAILER_BYTES_MAX: u16 = 4096;

/// Most hexadecimal digits of a chunk size, leading zeros included: what a `u64` holds.
pub const CHUNK_SIZE_DIGITS_MAX: u8 = 16;

/// Bounds of one request head.
///
/// ```
/// use sws::http1::{Decoded, Head, HeadLimits, Reject, decode};
///
/// let limits = HeadLimits { target_bytes_max: 8, ..HeadLimits::default() };
/// let mut head = Head::default();
/// let decoded = decode(b"GET /0123456789 HTTP/1.1\r\n", &limits, &mut head);
/// assert_eq!(decoded, Decoded::Reject(Reject::TargetTooLong));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Most bytes from the request line to the blank line, both included. Beyond it: 431, or 414 while the request
    /// line is still open. At most [`HEAD_BYTES_CEILING`] counts. Default 16,384.
    pub head_bytes_max: usize,
    /// Most bytes of the request target. Beyond it: 414. Default 8,192 (RFC 9112, section 3, recommends at least
    /// 8,000).
    pub target_bytes_max: usize,
    /// Most header field lines. Beyond it: 431. At most [`HEADERS_CEILING`] counts. Default 100.
    pub headers_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        HeadLimits { head_bytes_max: 16 * 1024, target_bytes_max: 8 * 1024, headers_max: 100 }
    }
}

const _: () = assert!(HEAD_BYTES_CEILING <= u16::MAX as usize);
const _: () = assert!(CHUNK_EXTENSION_LINE_BYTES_MAX <= CHUNK_EXTENSION_BYTES_MAX);
const _: () = assert!(CHUNK_SIZE_DIGITS_MAX as u32 * 4 <= u64::BITS);
