//! The state of one side's incoming frames, between and within messages.

use super::close::CloseFrame;
use super::error::ProtocolError;
use super::frame::{
    CONTROL_BYTES_MAX, FIN, FrameHeader, HEADER_BYTES_MAX, Header, MASKED, Opcode, decode_header,
};
use super::mask::apply_mask_into;
use std::fmt;

/// What a peer may send.
///
/// ```
/// use sws::websocket::codec::DecodeLimits;
///
/// let limits = DecodeLimits { message_bytes_max: 64 << 20, frame_bytes_max: 64 << 20, ..DecodeLimits::default() };
/// assert!(!limits.compression);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Longest payload of one data frame; 16 MiB by default.
    pub frame_bytes_max: usize,
    /// Longest message of all its fragments; 16 MiB by default. A compressed message may be an eighth longer on the
    /// wire, because DEFLATE adds that to data which it cannot compress.
    pub message_bytes_max: usize,
    /// Whether permessage-deflate is agreed on, so that the first frame of a message may have RSV1 set.
    pub compression: bool,
}

impl Default for DecodeLimits {
    fn default() -> DecodeLimits {
        DecodeLimits { frame_bytes_max: 16 << 20, message_bytes_max: 16 << 20, compression: false }
    }
}

/// The payload of a ping or pong, by value: at most 125 bytes.
#[derive(Clone, Copy)]
pub struct ControlPayload {
    len: u8,
    bytes: [u8; CONTROL_BYTES_MAX],
}

impl ControlPayload {
    /// The unmasked bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl PartialEq for ControlPayload {
    fn eq(&self, other: &ControlPayload) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for ControlPayload {}

impl fmt::Debug for ControlPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

/// What [`Decoder::next`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// No event in what there is. Keep what was not consumed, which is less than [`REST_BYTES_MAX`], and call again when
    /// more is behind it.
    NeedMore,
    /// The vector holds a whole message. Take it, clear the vector, and call again.
    Message {
        /// Whether it is text; if it is not compressed, it is UTF-8.
        text: bool,
        /// Whether it is compressed: what it inflates to is neither limited nor, if text, checked yet.
        compressed: bool,
    },
    /// Answer with a pong of the same payload.
    Ping(ControlPayload),
    /// The answer to a ping, or an unasked sign of life.
    Pong(ControlPayload),
    /// The last frame: answer it if no close frame was sent. Whatever follows is dropped.
    Close(CloseFrame),
    /// Fail the session: close with [`ProtocolError::close_code`]. Every further call says the same.
    Reject(ProtocolError),
}

/// The answer of one call of [`Decoder::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// What they came to.
    pub event: Event,
}

/// More than what may be left when all events of an input are taken: a whole control frame as a client sends it.
pub const REST_BYTES_MAX: usize = 2 + 4 + CONTROL_BYTES_MAX;

/// An incremental decoder of the frames of one peer: 24 bytes, `Copy`, no heap. The default is a server's.
///
/// The payload of data frames is unmasked into a vector of the caller as it comes, so that a message never has to be in
/// one input. The vector must be empty when a message begins; as long as [`Decoder::is_mid_message`] says so it must keep
/// its bytes from call to call. A caller that shares one vector between connections moves the bytes of a partial message
/// to a vector of that connection. Behind a close frame and a reject it is empty. It never grows by what a header
/// declares, only by what came, and not beyond
/// [`DecodeLimits::message_bytes_max`] (and an eighth if it is compressed).
///
/// A control frame is consumed when it is whole, also between the fragments of a message. Any chunking of the input gives the
/// same events. UTF-8 is checked as it comes: bytes that cannot become text are rejected before the frame is whole.
///
/// ```
/// use sws::websocket::codec::{DecodeLimits, Decoder, Event};
///
/// let input = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]; // RFC 6455, 5.7
/// let (mut decoder, mut message) = (Decoder::default(), Vec::new());
///
/// let step = decoder.next(&input[..8], &mut message, &DecodeLimits::default());
/// assert_eq!((step.consumed, step.event), (8, Event::NeedMore));
/// assert!(decoder.is_mid_message());
///
/// let step = decoder.next(&input[8..], &mut message, &DecodeLimits::default());
/// assert_eq!((step.consumed, step.event), (3, Event::Message { text: true, compressed: false }));
/// assert_eq!(message, b"Hello");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoder {
    /// Payload of the current data frame that is still to come.
    remaining: u64,
    /// The mask of the current data frame, turned to the next byte of its payload.
    mask: [u8; 4],
    flags: u8,
    /// Bytes at the end of the message that begin a character whose end is still to come: 0 to 3.
    unchecked: u8,
    failed: Option<ProtocolError>,
}

const _: () = assert!(size_of::<Decoder>() <= 24);

/// Frames come from a server: not masked.
const FROM_SERVER: u8 = 1;
/// A message has begun.
const MID_MESSAGE: u8 = 2;
/// The header of a data frame was consumed and its payload was not, or not all of it.
const MID_FRAME: u8 = 4;
/// The current data frame is the last of its message.
const LAST_FRAME: u8 = 8;
const TEXT: u8 = 16;
const COMPRESSED: u8 = 32;
/// A close frame came.
const CLOSED: u8 = 64;
/// A frame was rejected: `failed` says why.
const FAILED: u8 = 128;
const MESSAGE: u8 = MID_MESSAGE | MID_FRAME | LAST_FRAME | TEXT | COMPRESSED;

impl Decoder {
    /// The decoder of a client: a server's frames are not masked.
    pub fn client() -> Decoder {
        Decoder { flags: FROM_SERVER, ..Decoder::default() }
    }

    /// Whether a part of a message came, and the vector must keep its bytes. It may be empty nevertheless.
    #[inline]
    pub fn is_mid_message(&self) -> bool {
        self.flags & MID_MESSAGE != 0
    }

    /// Bytes of the current data frame's payload that are still to come; its length was found to be within the limits.
    #[inline]
    pub fn frame_remaining(&self) -> u64 {
        self.remaining
    }

    /// Whether a close frame came: no further event follows.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.flags & CLOSED != 0
    }

    /// Decodes `bytes`, which follow on what was consumed before, up to the next event.
    #[inline]
    #[allow(clippy::should_implement_trait, reason = "it takes the input; it is no iterator")]
    pub fn next(&mut self, bytes: &[u8], message: &mut Vec<u8>, limits: &DecodeLimits) -> Step {
        if self.flags == 0
            && let Some(step) = self.whole_small_message(bytes, message, limits)
        {
            return step;
        }
        self.next_in_steps(bytes, message, limits)
    }

    /// The common case at once: between messages, a masked data frame of at most 125 bytes which is a whole message. All
    /// else, and what is wrong with it, is left to the steps.
    #[inline]
    fn whole_small_message(
        &mut self,
        bytes: &[u8],
        message: &mut Vec<u8>,
        limits: &DecodeLimits,
    ) -> Option<Step> {
        let ([first, second, mask @ ..], rest) = bytes.split_first_chunk::<6>()?;
        let len = usize::from(second ^ MASKED);
        let payload = rest.get(..len)?;
        let text = *first == FIN | Opcode::Text as u8;
        if len > CONTROL_BYTES_MAX.min(limits.frame_bytes_max).min(limits.message_bytes_max)
            || !(text || *first == FIN | Opcode::Binary as u8)
        {
            return None;
        }
        let start = message.len();
        apply_mask_into(message, payload, *mask, 0);
        if text && check_text(&message[start..]).is_err() {
            return Some(self.reject(0, ProtocolError::InvalidUtf8, message));
        }
        Some(Step { consumed: 6 + len, event: Event::Message { text, compressed: false } })
    }

    fn next_in_steps(&mut self, bytes: &[u8], message: &mut Vec<u8>, limits: &DecodeLimits) -> Step {
        if let Some(error) = self.failed {
            return Step { consumed: 0, event: Event::Reject(error) };
        }
        if self.is_closed() {
            return Step { consumed: bytes.len(), event: Event::NeedMore };
        }
        let mut at = 0;
        loop {
            if self.flags & MID_FRAME != 0 {
                match self.take_payload(&bytes[at..], message, limits) {
                    Ok(taken) => at += taken,
                    Err(error) => return self.reject(at, error, message),
                }
                if self.remaining > 0 {
                    return Step { consumed: at, event: Event::NeedMore };
                }
                if self.flags & LAST_FRAME != 0 {
                    let event = Event::Message {
                        text: self.flags & TEXT != 0,
                        compressed: self.flags & COMPRESSED != 0,
                    };
                    self.flags &= !MESSAGE;
                    return Step { consumed: at, event };
                }
                self.flags &= !MID_FRAME;
            }
            let (header, payload_at) = match decode_header(&bytes[at..]) {
                Header::Complete { header, header_len } => (header, at + header_len),
                Header::NeedMore => return Step { consumed: at, event: Event::NeedMore },
                Header::Reject(error) => return self.reject(at, error, message),
            };
            if header.mask.is_some() == (self.flags & FROM_SERVER != 0) {
                let masked = header.mask.is_some();
                let error = if masked { ProtocolError::MaskUnexpected } else { ProtocolError::MaskMissing };
                return self.reject(at, error, message);
            }
            if header.opcode.is_control() {
                let Some(payload) = bytes[payload_at..].get(..header.len as usize) else {
                    return Step { consumed: at, event: Event::NeedMore };
                };
                return self.control(&header, payload, at, payload_at, message);
            }
            if let Err(error) = self.begin_frame(&header, message.len(), limits) {
                return self.reject(at, error, message);
            }
            at = payload_at;
        }
    }

    #[cold]
    fn reject(&mut self, consumed: usize, error: ProtocolError, message: &mut Vec<u8>) -> Step {
        message.clear();
        self.failed = Some(error);
        self.flags = (self.flags & FROM_SERVER) | FAILED;
        Step { consumed, event: Event::Reject(error) }
    }

    /// A whole control frame at `at`, whose payload begins at `payload_at`.
    fn control(
        &mut self,
        header: &FrameHeader,
        masked: &[u8],
        at: usize,
        payload_at: usize,
        message: &mut Vec<u8>,
    ) -> Step {
        let mut payload = ControlPayload { len: masked.len() as u8, bytes: [0; CONTROL_BYTES_MAX] };
        let bytes = &mut payload.bytes[..masked.len()];
        bytes.copy_from_slice(masked);
        super::mask::apply_mask(bytes, header.mask.unwrap_or_default(), 0);
        let consumed = payload_at + masked.len();
        match header.opcode {
            Opcode::Ping => Step { consumed, event: Event::Ping(payload) },
            Opcode::Pong => Step { consumed, event: Event::Pong(payload) },
            Opcode::Close => match CloseFrame::decode(payload.as_slice()) {
                Ok(close) => {
                    message.clear();
                    self.flags = (self.flags & FROM_SERVER) | CLOSED;
                    Step { consumed, event: Event::Close(close) }
                }
                Err(error) => self.reject(at, error, message),
            },
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                unreachable!("control frames only")
            }
        }
    }

    /// Takes the header of a data frame, behind `message_len` bytes of its message.
    fn begin_frame(
        &mut self,
        header: &FrameHeader,
        message_len: usize,
        limits: &DecodeLimits,
    ) -> Result<(), ProtocolError> {
        let continues = header.opcode == Opcode::Continuation;
        if continues != self.is_mid_message() {
            return Err(match continues {
                true => ProtocolError::ContinuationUnexpected,
                false => ProtocolError::ContinuationExpected,
            });
        }
        if header.rsv1 && (continues || !limits.compression) {
            return Err(ProtocolError::ReservedBits);
        }
        let compressed = header.rsv1 || self.flags & COMPRESSED != 0;
        if header.len > wire_bytes_max(limits.frame_bytes_max, compressed) {
            return Err(ProtocolError::FrameTooBig);
        }
        let message_bytes_max = wire_bytes_max(limits.message_bytes_max, compressed);
        if header.len > message_bytes_max.saturating_sub(message_len as u64) {
            return Err(ProtocolError::MessageTooBig);
        }
        self.remaining = header.len;
        self.mask = header.mask.unwrap_or_default();
        self.flags |= MID_MESSAGE | MID_FRAME;
        if header.fin {
            self.flags |= LAST_FRAME;
        }
        if header.opcode == Opcode::Text {
            self.flags |= TEXT;
        }
        if header.rsv1 {
            self.flags |= COMPRESSED;
        }
        Ok(())
    }

    /// Takes what there is of the current frame's payload; says how much that was.
    fn take_payload(
        &mut self,
        bytes: &[u8],
        message: &mut Vec<u8>,
        limits: &DecodeLimits,
    ) -> Result<usize, ProtocolError> {
        let taken = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(bytes.len());
        self.reserve(taken, message, limits);
        let start = message.len();
        apply_mask_into(message, &bytes[..taken], self.mask, 0);
        self.mask.rotate_left(taken % 4);
        self.remaining -= taken as u64;
        if self.flags & (TEXT | COMPRESSED) == TEXT {
            self.check_text(&message[start.saturating_sub(usize::from(self.unchecked))..])?;
        }
        Ok(taken)
    }

    /// Makes room for `additional` bytes: twice the capacity, but no more than the message may still have.
    fn reserve(&self, additional: usize, message: &mut Vec<u8>, limits: &DecodeLimits) {
        let needed = message.len() + additional;
        if needed <= message.capacity() {
            return;
        }
        let longest = match self.flags & LAST_FRAME {
            0 => wire_bytes_max(limits.message_bytes_max, self.flags & COMPRESSED != 0),
            _ => message.len() as u64 + self.remaining,
        };
        let longest = usize::try_from(longest).unwrap_or(usize::MAX);
        let capacity = message.capacity().saturating_mul(2).max(needed.next_multiple_of(64)).min(longest);
        message.reserve_exact(capacity.max(needed) - message.len());
    }

    /// Checks what came since the last call, from the character that was not whole then.
    fn check_text(&mut self, text: &[u8]) -> Result<(), ProtocolError> {
        let unchecked = match simdutf8::compat::from_utf8(text) {
            Ok(_) => 0,
            Err(error) if error.error_len().is_some() => return Err(ProtocolError::InvalidUtf8),
            Err(error) => text.len() - error.valid_up_to(),
        };
        debug_assert!(unchecked <= 3, "a character has at most four bytes");
        self.unchecked = unchecked as u8;
        let whole = self.flags & LAST_FRAME != 0 && self.remaining == 0;
        if whole && unchecked > 0 {
            return Err(ProtocolError::InvalidUtf8);
        }
        Ok(())
    }
}

/// Checks a whole text, such as one that was inflated (RFC 6455, 8.1).
///
/// # Errors
///
/// [`ProtocolError::InvalidUtf8`].
#[inline]
pub fn check_text(bytes: &[u8]) -> Result<&str, ProtocolError> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| ProtocolError::InvalidUtf8)
}

/// The fixed code of DEFLATE, which fast compressors use for all, has nine bits for half of the bytes.
fn wire_bytes_max(bytes_max: usize, compressed: bool) -> u64 {
    let bytes_max = bytes_max as u64;
    if compressed { bytes_max.saturating_add(bytes_max / 8 + 64) } else { bytes_max }
}

const _: () = assert!(HEADER_BYTES_MAX < REST_BYTES_MAX);

#[cfg(test)]
#[path = "decoder_tests.rs"]
pub(super) mod tests;
