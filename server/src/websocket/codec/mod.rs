//! The WebSocket codec (RFC 6455, RFC 7692): bytes in, events out, and back. Sans-IO: no socket, no clock, no unsafe.
//!
//! ```text
//! bytes -> decoder::Decoder -> Message | Ping | Pong | Close | NeedMore | Reject
//!          the payload of messages is unmasked into a vector of the caller, as it comes
//! facts -> frame::encode_header, frame::encode_frame, close::encode_close -> bytes behind what is already in the output
//! ```
//!
//! Whatever the RFCs forbid a peer is rejected, with the close code of one table ([`ProtocolError`]). Any chunking of the
//! input gives the same events.

pub mod close;
pub mod decoder;
pub mod deflate;
pub mod error;
pub mod extensions;
pub mod frame;
pub mod handshake;
pub mod mask;

pub use close::{CloseFrame, CloseReason, encode_close};
pub use decoder::{ControlPayload, DecodeLimits, Decoder, Event, REST_BYTES_MAX, Step, check_text};
pub use deflate::{Deflater, Inflater};
pub use error::ProtocolError;
pub use extensions::{DeflateConfig, Negotiated, negotiate};
pub use frame::{
    CONTROL_BYTES_MAX, FrameHeader, Header, Opcode, decode_header, encode_frame, encode_frame_masked,
    encode_header,
};
pub use handshake::HandshakeError;

#[cfg(test)]
mod oracle_tests;
