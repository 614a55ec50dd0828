//! The HTTP/1.x codec: bytes in, facts out, and back. Sans-IO: no socket, no clock, no unsafe.
//!
//! ```text
//! bytes -> head::decode -> Head (offsets into those bytes) | NeedMore | Reject
//!          chunked::ChunkedDecoder -> pieces of the body, in place
//! facts -> encode::encode_head, encode::encode_chunk -> bytes behind what is already in the output
//! ```
//!
//! Nothing ambiguous is accepted (RFC 9112, section 11): where the RFC lets a recipient choose between repairing a
//! message and refusing it, it is refused. Any chunking of the input gives the same result: a prefix of a message
//! decodes to `NeedMore` or to the very `Reject` of the whole.

pub mod chunked;
pub mod encode;
pub mod head;
pub mod limits;
pub mod reject;
pub mod target;

mod authority;
mod fields;
mod request_line;
mod scan;

pub use chunked::{ChunkEvent, ChunkedDecoder};
pub use encode::{
    CONTINUE, DateCache, ResponseFraming, ResponseHead, encode_chunk, encode_head, encode_last_chunk,
};
pub use head::{Decoded, Framing, Head, decode};
pub use limits::HeadLimits;
pub use reject::Reject;
