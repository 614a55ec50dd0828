//! Frame headers (RFC 6455, 5.2) and whole frames.
//!
//! ```text
//!  byte 0                byte 1                then
//!  FIN RSV1..3 opcode    MASK length(7)        length: 16 bits if 126, 64 bits if 127; mask: 4 bytes if MASK; payload
//! ```

use super::error::ProtocolError;
use super::mask::apply_mask_into;

/// Longest header: two bytes, a 64-bit length and a mask.
pub const HEADER_BYTES_MAX: usize = 14;
/// Longest payload of a control frame (RFC 6455, 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

pub(super) const FIN: u8 = 0x80;
pub(super) const RSV1: u8 = 0x40;
const RSV2_AND_RSV3: u8 = 0x30;
pub(super) const MASKED: u8 = 0x80;
/// The opcodes from 8 on are those of control frames.
const CONTROL: u8 = 0x08;
const LENGTH_IN_16_BITS: u8 = 126;
const LENGTH_IN_64_BITS: u8 = 127;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// The next fragment of a message.
    Continuation = 0x0,
    /// A text message or its first fragment.
    Text = 0x1,
    /// A binary message or its first fragment.
    Binary = 0x2,
    /// The last frame of a side.
    Close = 0x8,
    /// Asks for a pong with the same payload.
    Ping = 0x9,
    /// Answers a ping, or tells unasked that the sender is alive.
    Pong = 0xa,
}

impl Opcode {
    /// Whether frames of it are control frames: short, whole, and allowed between the fragments of a message.
    pub const fn is_control(self) -> bool {
        self as u8 & CONTROL != 0
    }

    const fn from_bits(bits: u8) -> Option<Opcode> {
        match bits {
            0x0 => Some(Opcode::Continuation),
            0x1 => Some(Opcode::Text),
            0x2 => Some(Opcode::Binary),
            0x8 => Some(Opcode::Close),
            0x9 => Some(Opcode::Ping),
            0xa => Some(Opcode::Pong),
            _ => None,
        }
    }
}

/// A frame without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether the message ends with this frame.
    pub fin: bool,
    /// The bit that permessage-deflate sets on the first frame of a compressed message.
    pub rsv1: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// The key of the payload, if it is masked.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload that follow.
    pub len: u64,
}

/// What [`decode_header`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Header {
    /// A whole and valid header.
    Complete {
        /// Its fields.
        header: FrameHeader,
        /// Bytes of input that it takes.
        header_len: usize,
    },
    /// A prefix of a header.
    NeedMore,
    /// No header: fail the session.
    Reject(ProtocolError),
}

/// Decodes the frame header at the start of `bytes`.
///
/// What is wrong with any frame is rejected here, as soon as its byte is there. Whether it may be masked, whether it
/// may set `rsv1` and whether it fits the message so far is for the session to say ([`super::Decoder`]).
///
/// ```
/// use sws::websocket::codec::{Header, Opcode, ProtocolError, decode_header};
///
/// let Header::Complete { header, header_len } = decode_header(&[0x81, 0x05, b'H']) else { panic!() };
/// assert_eq!((header.opcode, header.len, header_len), (Opcode::Text, 5, 2));
/// assert_eq!(decode_header(&[0x81]), Header::NeedMore);
/// assert_eq!(decode_header(&[0x83]), Header::Reject(ProtocolError::ReservedOpcode));
/// ```
#[inline]
pub fn decode_header(bytes: &[u8]) -> Header {
    let Some(&first) = bytes.first() else { return Header::NeedMore };
    if first & RSV2_AND_RSV3 != 0 {
        return Header::Reject(ProtocolError::ReservedBits);
    }
    let Some(opcode) = Opcode::from_bits(first & 0x0f) else {
        return Header::Reject(ProtocolError::ReservedOpcode);
    };
    let (fin, rsv1) = (first & FIN != 0, first & RSV1 != 0);
    if opcode.is_control() {
        if rsv1 {
            return Header::Reject(ProtocolError::ReservedBits);
        }
        if !fin {
            return Header::Reject(ProtocolError::ControlFragmented);
        }
    }
    let Some(&second) = bytes.get(1) else { return Header::NeedMore };
    let (len, mask_at) = match second & !MASKED {
        short if usize::from(short) <= CONTROL_BYTES_MAX => (u64::from(short), 2),
        _ if opcode.is_control() => return Header::Reject(ProtocolError::ControlTooLong),
        LENGTH_IN_16_BITS => {
            let Some(len) = bytes[2..].first_chunk() else { return Header::NeedMore };
            let len = u64::from(u16::from_be_bytes(*len));
            if len <= CONTROL_BYTES_MAX as u64 {
                return Header::Reject(ProtocolError::LengthNotMinimal);
            }
            (len, 4)
        }
        _ => {
            let Some(len) = bytes[2..].first_chunk() else { return Header::NeedMore };
            let len = u64::from_be_bytes(*len);
            if len >> 63 != 0 {
                return Header::Reject(ProtocolError::LengthOverflow);
            }
            if len <= u64::from(u16::MAX) {
                return Header::Reject(ProtocolError::LengthNotMinimal);
            }
            (len, 10)
        }
    };
    if second & MASKED == 0 {
        let header = FrameHeader { fin, rsv1, opcode, mask: None, len };
        return Header::Complete { header, header_len: mask_at };
    }
    let Some(mask) = bytes.get(mask_at..).and_then(<[u8]>::first_chunk) else { return Header::NeedMore };
    let header = FrameHeader { fin, rsv1, opcode, mask: Some(*mask), len };
    Header::Complete { header, header_len: mask_at + mask.len() }
}

#[inline]
fn push_header(out: &mut Vec<u8>, first: u8, masked: u8, len: u64) {
    debug_assert!(len >> 63 == 0, "no frame is longer than 2^63 - 1");
    match len {
        0..=125 => out.extend_from_slice(&[first, masked | len as u8]),
        126..=0xffff => {
            let [high, low] = (len as u16).to_be_bytes();
            out.extend_from_slice(&[first, masked | LENGTH_IN_16_BITS, high, low]);
        }
        _ => {
            let [a, b, c, d, e, f, g, h] = len.to_be_bytes();
            out.extend_from_slice(&[first, masked | LENGTH_IN_64_BITS, a, b, c, d, e, f, g, h]);
        }
    }
}

#[inline]
fn first_byte(fin: bool, rsv1: bool, opcode: Opcode) -> u8 {
    (if fin { FIN } else { 0 }) | (if rsv1 { RSV1 } else { 0 }) | opcode as u8
}

/// Appends the header of a server's frame, which is not masked, with the shortest form of its length.
///
/// ```
/// use sws::websocket::codec::{Opcode, encode_header};
///
/// let mut out = Vec::new();
/// encode_header(&mut out, true, false, Opcode::Binary, 256);
/// assert_eq!(out, [0x82, 126, 1, 0]);
/// ```
#[inline]
pub fn encode_header(out: &mut Vec<u8>, fin: bool, rsv1: bool, opcode: Opcode, len: u64) {
    push_header(out, first_byte(fin, rsv1, opcode), 0, len);
}

/// Appends a whole frame of a server.
///
/// ```
/// use sws::websocket::codec::{Opcode, encode_frame};
///
/// let mut out = Vec::new();
/// encode_frame(&mut out, true, false, Opcode::Text, b"Hello");
/// assert_eq!(out, b"\x81\x05Hello"); // RFC 6455, 5.7
/// ```
#[inline]
pub fn encode_frame(out: &mut Vec<u8>, fin: bool, rsv1: bool, opcode: Opcode, payload: &[u8]) {
    out.reserve(HEADER_BYTES_MAX + payload.len());
    encode_header(out, fin, rsv1, opcode, payload.len() as u64);
    out.extend_from_slice(payload);
}

/// Appends a whole frame of a client. `mask` must be new and unpredictable for each frame (RFC 6455, 5.3).
///
/// ```
/// use sws::websocket::codec::{Opcode, encode_frame_masked};
///
/// let mut out = Vec::new();
/// encode_frame_masked(&mut out, true, false, Opcode::Text, [0x37, 0xfa, 0x21, 0x3d], b"Hello");
/// assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]); // RFC 6455, 5.7
/// ```
pub fn encode_frame_masked(
    out: &mut Vec<u8>,
    fin: bool,
    rsv1: bool,
    opcode: Opcode,
    mask: [u8; 4],
    payload: &[u8],
) {
    out.reserve(HEADER_BYTES_MAX + payload.len());
    push_header(out, first_byte(fin, rsv1, opcode), MASKED, payload.len() as u64);
    out.extend_from_slice(&mask);
    apply_mask_into(out, payload, mask, 0);
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
