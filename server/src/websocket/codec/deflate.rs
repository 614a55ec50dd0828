//! Compression of messages (RFC 7692, 7.2) over raw DEFLATE with a sync flush.
//!
//! A compressor's output ends with an empty block whose last bytes are `00 00 FF FF`; they are not sent, and the receiver puts them
//! back.

use super::error::ProtocolError;
use super::extensions::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::fmt;

/// What a sync flush ends with (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// The tail, then an empty last block: a stream that is whole ends with it.
const TAIL_AND_END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];
/// The first step of output that is reserved for a message.
const OUTPUT_BYTES_MIN: usize = 256;

/// Compresses messages. With context takeover it belongs to one connection; without, any number can share it.
///
/// It owns [`Deflater::memory_bytes`] from the start: 251 KB with a window of 9 bits, 380 KB with 15. Between messages without
/// takeover 64 K entries of its hash table are cleared, which takes about 1.6 us.
///
/// ```
/// use sws::websocket::codec::{Deflater, Inflater};
///
/// let (mut payload, mut message) = (Vec::new(), Vec::new());
/// Deflater::new(3, 15, false).compress(b"Hello", &mut payload);
/// Inflater::new(15, false).decompress(&payload, &mut message, 1024).unwrap();
/// assert_eq!(message, b"Hello");
/// ```
pub struct Deflater {
    stream: Compress,
    context_takeover: bool,
}

impl Deflater {
    /// `level` is 0 to 9 and `window_bits` 9 to 15; what lies outside is taken for the nearest.
    pub fn new(level: u8, window_bits: u8, context_takeover: bool) -> Deflater {
        let level = Compression::new(u32::from(level.min(9)));
        let window_bits = window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
        Deflater { stream: Compress::new_with_window_bits(level, false, window_bits), context_takeover }
    }

    /// Bytes of memory of one with this window, itself included, as measured with zlib-rs 0.6.
    pub const fn memory_bytes(window_bits: u8) -> usize {
        let bits = match window_bits {
            ..WINDOW_BITS_MIN => WINDOW_BITS_MIN,
            WINDOW_BITS_MIN..=WINDOW_BITS_MAX => window_bits,
            _ => WINDOW_BITS_MAX,
        };
        248_960 + (4 << bits) + size_of::<Deflater>()
    }

    /// Appends the payload of `message` to `out`.
    pub fn compress(&mut self, message: &[u8], out: &mut Vec<u8>) {
        if message.is_empty() {
            // RFC 7692, 7.2.3.6: the header of an empty block without compression.
            out.push(0);
            return;
        }
        let mut input = message;
        out.reserve(message.len() / 2 + OUTPUT_BYTES_MIN);
        loop {
            let before = self.stream.total_in();
            self.stream
                .compress_vec(input, out, FlushCompress::Sync)
                .expect("a stream that is flushed only takes any input");
            input = &input[(self.stream.total_in() - before) as usize..];
            if input.is_empty() && out.len() < out.capacity() {
                break;
            }
            out.reserve((input.len() / 2).max(OUTPUT_BYTES_MIN));
        }
        assert!(out.ends_with(&TAIL), "a sync flush ends with an empty block");
        out.truncate(out.len() - TAIL.len());
        if !self.context_takeover {
            self.stream.reset();
        }
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("context_takeover", &self.context_takeover).finish_non_exhaustive()
    }
}

/// Decompresses messages. With context takeover it belongs to one connection; without, any number can share it, whatever
/// window they agreed on, if its own is 15.
///
/// It owns [`Inflater::MEMORY_BYTES`] from the start, 48 KB whatever its window.
pub struct Inflater {
    stream: Decompress,
    context_takeover: bool,
}

/// How a piece of input ended.
#[derive(PartialEq)]
enum End {
    /// All of it is used.
    OfInput,
    /// A block with BFINAL set is over; so many bytes of the input are left.
    OfStream(usize),
}

impl Inflater {
    /// Bytes of memory of one, itself included, as measured with zlib-rs 0.6.
    pub const MEMORY_BYTES: usize = 47_552 + size_of::<Inflater>();

    /// `window_bits` is 9 to 15; what lies outside is taken for the nearest.
    pub fn new(window_bits: u8, context_takeover: bool) -> Inflater {
        let window_bits = window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
        Inflater { stream: Decompress::new_with_window_bits(false, window_bits), context_takeover }
    }

    /// Appends to `out` what the payload of a whole message, all its fragments in one piece, inflates to.
    ///
    /// At most `bytes_max` bytes are appended, and `out` grows by no more than that, in steps, as they come. A block with BFINAL
    /// set ends the context (RFC 7692, 7.2.3.4); what follows in the message begins a new one. That a message is cut within a block is told
    /// without context takeover only: with it, the next message fails.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidDeflate`] and [`ProtocolError::MessageTooBig`]. `out` is as it was, and the context is gone.
    pub fn decompress(
        &mut self,
        payload: &[u8],
        out: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), ProtocolError> {
        let start = out.len();
        let result = self.decompress_whole(payload, out, start.saturating_add(bytes_max));
        if result.is_err() {
            out.truncate(start);
        }
        if result.is_err() || !self.context_takeover {
            self.stream.reset(false);
        }
        result
    }

    fn decompress_whole(
        &mut self,
        payload: &[u8],
        out: &mut Vec<u8>,
        end_max: usize,
    ) -> Result<(), ProtocolError> {
        if payload.is_empty() {
            return Err(ProtocolError::InvalidDeflate);
        }
        let mut input = payload;
        while let End::OfStream(left) = self.run(input, out, end_max)? {
            self.stream.reset(false);
            input = &input[input.len() - left..];
            if left == 0 {
                return Ok(());
            }
        }
        if self.context_takeover {
            return match self.run(&TAIL, out, end_max)? {
                End::OfInput => Ok(()),
                End::OfStream(_) => Err(ProtocolError::InvalidDeflate),
            };
        }
        match self.run(&TAIL_AND_END, out, end_max)? {
            End::OfStream(0) => Ok(()),
            End::OfStream(_) | End::OfInput => Err(ProtocolError::InvalidDeflate),
        }
    }

    /// Inflates `input` behind what was inflated before.
    fn run(&mut self, mut input: &[u8], out: &mut Vec<u8>, end_max: usize) -> Result<End, ProtocolError> {
        loop {
            if out.len() == out.capacity() {
                let step = out.capacity().max(input.len()).max(OUTPUT_BYTES_MIN);
                out.reserve_exact(step.min(end_max - out.len()));
            }
            let (before_in, before_out) = (self.stream.total_in(), self.stream.total_out());
            // At the limit a byte beside the vector tells whether more would come.
            let full = out.len() == end_max;
            let status = match full {
                true => self.stream.decompress(input, &mut [0], FlushDecompress::Sync),
                false => self.stream.decompress_vec(input, out, FlushDecompress::Sync),
            };
            let status = status.map_err(|_| ProtocolError::InvalidDeflate)?;
            let consumed = (self.stream.total_in() - before_in) as usize;
            let produced = self.stream.total_out() - before_out;
            input = &input[consumed..];
            if out.len() > end_max || (full && produced > 0) {
                return Err(ProtocolError::MessageTooBig);
            }
            if status == Status::StreamEnd {
                return Ok(End::OfStream(input.len()));
            }
            if input.is_empty() && (full || out.len() < out.capacity()) {
                return Ok(End::OfInput);
            }
            if consumed == 0 && produced == 0 {
                return Err(ProtocolError::InvalidDeflate);
            }
        }
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("context_takeover", &self.context_takeover).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "deflate_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "deflate_vectors_tests.rs"]
mod vectors;
