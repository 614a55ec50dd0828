//! Close frames: their codes and their payload (RFC 6455, 5.5.1 and 7.4).

use super::error::ProtocolError;
use super::frame::{CONTROL_BYTES_MAX, Opcode, encode_header};
use std::fmt;

/// 1000: the purpose of the connection is fulfilled.
pub const NORMAL: u16 = 1000;
/// 1001: the server goes down, or the browser left the page.
pub const GOING_AWAY: u16 = 1001;
/// 1002: the peer broke the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// 1005: what an API reports for a close frame without a code; never on the wire.
pub const NO_STATUS: u16 = 1005;
/// 1006: what an API reports for an end without a close frame; never on the wire.
pub const ABNORMAL: u16 = 1006;
/// 1007: data that does not fit the type of its message, such as text that is not UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;
/// 1009: a message that is too big to process.
pub const MESSAGE_TOO_BIG: u16 = 1009;
/// 1010: a client misses an extension that it offered.
pub const MANDATORY_EXTENSION: u16 = 1010;
/// 1011: an unexpected condition in the server.
pub const INTERNAL_ERROR: u16 = 1011;
/// 1013: the service is overloaded, or this peer is too slow for it.
pub const TRY_AGAIN_LATER: u16 = 1013;

/// Longest reason: what a control frame holds behind the code.
pub const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// Whether a peer may send this code.
///
/// 1004, 1005, 1006 and 1015 are reserved, those below 1000 unused and 1016 to 2999 unassigned (RFC 6455, 7.4.2 and
/// the IANA registry); 3000 to 3999 are registered by libraries, 4000 to 4999 private.
///
/// ```
/// use sws::websocket::codec::close::is_receivable;
///
/// assert!(is_receivable(1000) && is_receivable(4999));
/// assert!(!is_receivable(1005) && !is_receivable(2999));
/// ```
pub const fn is_receivable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Whether a server may send this code: those that may be received but for 1010, which is for clients
/// (RFC 6455, 7.4.1).
pub const fn is_sendable(code: u16) -> bool {
    is_receivable(code) && code != MANDATORY_EXTENSION
}

/// A reason by value: UTF-8 of at most [`REASON_BYTES_MAX`] bytes.
#[derive(Clone, Copy)]
pub struct CloseReason {
    len: u8,
    bytes: [u8; REASON_BYTES_MAX],
}

impl CloseReason {
    /// As much of `reason` as fits a close frame, cut on a character boundary.
    pub fn new(reason: &str) -> CloseReason {
        let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        let mut bytes = [0; REASON_BYTES_MAX];
        bytes[..reason.len()].copy_from_slice(reason.as_bytes());
        CloseReason { len: reason.len() as u8, bytes }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("made of a str")
    }
}

impl PartialEq for CloseReason {
    fn eq(&self, other: &CloseReason) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for CloseReason {}

impl fmt::Debug for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// The payload of a close frame.
///
/// ```
/// use sws::websocket::codec::CloseFrame;
///
/// let close = CloseFrame::decode(b"\x03\xe8bye").unwrap();
/// assert_eq!((close.code, close.reason.as_str()), (Some(1000), "bye"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The code; `None` if the payload is empty.
    pub code: Option<u16>,
    /// The reason, often empty.
    pub reason: CloseReason,
}

impl CloseFrame {
    /// Decodes the unmasked payload of a close frame from a peer.
    ///
    /// # Errors
    ///
    /// A single byte, a code that must not be sent, a reason that is not UTF-8 or does not fit a control frame.
    pub fn decode(payload: &[u8]) -> Result<CloseFrame, ProtocolError> {
        let (code, reason) = match payload {
            [] => return Ok(CloseFrame { code: None, reason: CloseReason::new("") }),
            [_] => return Err(ProtocolError::CloseTruncated),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        if !is_receivable(code) {
            return Err(ProtocolError::CloseCodeInvalid);
        }
        if reason.len() > REASON_BYTES_MAX {
            return Err(ProtocolError::ControlTooLong);
        }
        let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
        Ok(CloseFrame { code: Some(code), reason: CloseReason::new(reason) })
    }
}

/// Appends a server's whole close frame. A reason that is too long is cut on a character boundary; without a code there is
/// no reason. A code that must not be sent is replaced by 1000 if it says that there was none (1005), else by 1011.
///
/// ```
/// use sws::websocket::codec::encode_close;
///
/// let mut out = Vec::new();
/// encode_close(&mut out, Some(1001), "bye");
/// assert_eq!(out, b"\x88\x05\x03\xe9bye");
/// ```
pub fn encode_close(out: &mut Vec<u8>, code: Option<u16>, reason: &str) {
    let Some(code) = code else { return encode_header(out, true, false, Opcode::Close, 0) };
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    encode_header(out, true, false, Opcode::Close, 2 + reason.len() as u64);
    let code = match code {
        code if is_sendable(code) => code,
        NO_STATUS => NORMAL,
        _ => INTERNAL_ERROR,
    };
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

#[cfg(test)]
#[path = "close_tests.rs"]
mod tests;
