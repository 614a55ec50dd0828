//! The chunked transfer coding, decoded in place and in any pieces (RFC 9112, 7.1).

use super::limits::{
    CHUNK_EXTENSION_BYTES_MAX, CHUNK_EXTENSION_LINE_BYTES_MAX, CHUNK_SIZE_DIGITS_MAX, TRAILER_BYTES_MAX,
};
use super::reject::Reject;
use super::request_line::TOKEN_BYTE;
use super::target::hex_digit;
use std::ops::Range;

/// What [`ChunkedDecoder::next`] found. `consumed` counts from the start of the input of that call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum ChunkEvent {
    /// `input[data]` is the next piece of the body; it ends at `consumed`. There may be more behind it.
    Data {
        /// Bytes of the input that are done with.
        consumed: usize,
        /// Where the piece stands in the input; never empty.
        data: Range<usize>,
    },
    /// All of the input is done with and the body goes on.
    NeedMore {
        /// The length of the input.
        consumed: usize,
    },
    /// The body and its trailer section are over; the next request begins at `consumed`.
    End {
        /// Bytes of the input that are done with.
        consumed: usize,
    },
    /// The framing is lost: answer and close.
    Reject(Reject),
}

/// An incremental decoder of one chunked body: 24 bytes, `Copy`, holding no body bytes.
///
/// ```text
/// Size -> [Extension...] -> SizeLf -> Data -> DataCr -> DataLf -> Size
///                             | size 0
///                             v
///                        TrailerStart -> [Name -> Value -> ValueLf -> TrailerStart] -> EndLf -> Done
/// ```
///
/// Any chunking of the input gives the same body bytes, the same end and the same reject. Extensions and trailers are
/// validated, bounded (see [`super::limits`]) and dropped. No whitespace is taken anywhere but in quoted strings and
/// trailer values.
///
/// ```
/// use sws::http1::{ChunkEvent, ChunkedDecoder};
///
/// let mut input = &b"5\r\nhello\r\n1;note=x\r\n!\r\n0\r\n\r\nGET"[..];
/// let (mut decoder, mut body) = (ChunkedDecoder::default(), Vec::new());
/// loop {
///     let consumed = match decoder.next(input) {
///         ChunkEvent::Data { consumed, data } => {
///             body.extend_from_slice(&input[data]);
///             consumed
///         }
///         ChunkEvent::End { consumed } => {
///             input = &input[consumed..];
///             break;
///         }
///         other => panic!("{other:?}"),
///     };
///     input = &input[consumed..];
/// }
/// assert_eq!((&body[..], input), (&b"hello!"[..], &b"GET"[..]));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkedDecoder {
    /// The size as far as it is read, then what is left of the chunk.
    remaining: u64,
    /// Extension bytes of this line.
    extension_line_bytes: u16,
    /// Extension bytes of all lines.
    extension_bytes: u16,
    trailer_bytes: u16,
    /// Digits of the size so far.
    digits: u8,
    state: State,
}

const _: () = assert!(size_of::<ChunkedDecoder>() <= 24);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    /// Behind `;`: the first byte of a name.
    ExtensionNameStart,
    ExtensionName,
    /// Behind `=`: the first byte of a value.
    ExtensionValueStart,
    ExtensionToken,
    ExtensionQuoted,
    ExtensionQuotedPair,
    ExtensionQuotedEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerValueLf,
    EndLf,
    Done,
    Failed(Reject),
}

impl ChunkedDecoder {
    /// Bytes of the current chunk that are announced and not yet seen: with what came before, a lower bound of the
    /// body's length, so that a limit can be enforced before the bytes arrive.
    pub fn remaining(&self) -> u64 {
        match self.state {
            State::Data => self.remaining,
            _ => 0,
        }
    }

    /// Whether the whole body has been seen.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Looks at `input`, which follows on what was consumed before, up to the next piece of the body or the end.
    ///
    /// After `End` and `Reject` it says the same again and consumes nothing.
    #[allow(clippy::should_implement_trait, reason = "it takes the input; it is no iterator")]
    pub fn next(&mut self, input: &[u8]) -> ChunkEvent {
        let mut at = 0;
        loop {
            match self.state {
                State::Done => return ChunkEvent::End { consumed: at },
                State::Failed(reject) => return ChunkEvent::Reject(reject),
                _ if at == input.len() => return ChunkEvent::NeedMore { consumed: at },
                State::Data => return self.take_data(input.len(), at),
                _ => {}
            }
            self.state = match self.step(input[at]) {
                Ok(state) => state,
                Err(reject) => State::Failed(reject),
            };
            at += 1;
        }
    }

    fn take_data(&mut self, input_len: usize, start: usize) -> ChunkEvent {
        let available = (input_len - start) as u64;
        let taken = self.remaining.min(available);
        self.remaining -= taken;
        if self.remaining == 0 {
            self.state = State::DataCr;
        }
        let consumed = start + taken as usize;
        ChunkEvent::Data { consumed, data: start..consumed }
    }

    /// The state behind `byte`, for every state in which bytes come one by one.
    fn step(&mut self, byte: u8) -> Result<State, Reject> {
        match self.state {
            State::Size => self.step_size(byte),
            State::ExtensionNameStart
            | State::ExtensionName
            | State::ExtensionValueStart
            | State::ExtensionToken
            | State::ExtensionQuoted
            | State::ExtensionQuotedPair
            | State::ExtensionQuotedEnd => self.step_extension(byte),
            State::SizeLf => match (byte, self.remaining) {
                (b'\n', 0) => Ok(State::TrailerStart),
                (b'\n', _) => Ok(State::Data),
                _ => Err(Reject::BadChunkEnd),
            },
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => {
                self.digits = 0;
                self.extension_line_bytes = 0;
                Ok(State::Size)
            }
            State::DataCr | State::DataLf => Err(Reject::BadChunkEnd),
            State::TrailerStart
            | State::TrailerName
            | State::TrailerValue
            | State::TrailerValueLf
            | State::EndLf => self.step_trailer(byte),
            State::Data | State::Done | State::Failed(_) => unreachable!("`next` answers in these states"),
        }
    }

    /// chunk-size = 1*HEXDIG: no sign, no prefix, no whitespace, no overflow.
    fn step_size(&mut self, byte: u8) -> Result<State, Reject> {
        if let Some(digit) = hex_digit(byte) {
            if self.digits == CHUNK_SIZE_DIGITS_MAX {
                return Err(Reject::BadChunkSize);
            }
            self.digits += 1;
            self.remaining = self.remaining << 4 | u64::from(digit);
            return Ok(State::Size);
        }
        match byte {
            _ if self.digits == 0 => Err(Reject::BadChunkSize),
            b'\r' => Ok(State::SizeLf),
            b';' => self.count_extension().map(|()| State::ExtensionNameStart),
            b'\n' => Err(Reject::BadChunkEnd),
            _ => Err(Reject::BadChunkSize),
        }
    }

    fn count_extension(&mut self) -> Result<(), Reject> {
        self.extension_line_bytes += 1;
        self.extension_bytes += 1;
        let over = self.extension_line_bytes > CHUNK_EXTENSION_LINE_BYTES_MAX
            || self.extension_bytes > CHUNK_EXTENSION_BYTES_MAX;
        if over { Err(Reject::ChunkExtensionTooLarge) } else { Ok(()) }
    }

    /// chunk-ext = *( ";" token [ "=" ( token / quoted-string ) ] ), without the optional bad whitespace.
    fn step_extension(&mut self, byte: u8) -> Result<State, Reject> {
        let is_token = TOKEN_BYTE[usize::from(byte)];
        let next = match (self.state, byte) {
            (State::ExtensionNameStart | State::ExtensionName, _) if is_token => State::ExtensionName,
            (State::ExtensionName, b'=') => State::ExtensionValueStart,
            (State::ExtensionValueStart | State::ExtensionToken, _) if is_token => State::ExtensionToken,
            (State::ExtensionValueStart, b'"') => State::ExtensionQuoted,
            (State::ExtensionQuoted, b'"') => State::ExtensionQuotedEnd,
            (State::ExtensionQuoted, b'\\') => State::ExtensionQuotedPair,
            (State::ExtensionQuoted | State::ExtensionQuotedPair, _) if is_text(byte) => {
                State::ExtensionQuoted
            }
            (State::ExtensionName | State::ExtensionToken | State::ExtensionQuotedEnd, b';') => {
                State::ExtensionNameStart
            }
            (State::ExtensionName | State::ExtensionToken | State::ExtensionQuotedEnd, b'\r') => {
                return Ok(State::SizeLf);
            }
            _ => return Err(Reject::BadChunkExtension),
        };
        self.count_extension()?;
        Ok(next)
    }

    /// trailer-section = *( token ":" field-value CRLF ), and the CRLF that ends the body.
    fn step_trailer(&mut self, byte: u8) -> Result<State, Reject> {
        let is_token = TOKEN_BYTE[usize::from(byte)];
        let next = match (self.state, byte) {
            (State::TrailerStart, b'\r') => return Ok(State::EndLf),
            (State::EndLf, b'\n') => return Ok(State::Done),
            (State::TrailerStart | State::TrailerName, _) if is_token => State::TrailerName,
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerValueLf,
            (State::TrailerValue, _) if is_text(byte) => State::TrailerValue,
            (State::TrailerValueLf, b'\n') => State::TrailerStart,
            _ => return Err(Reject::BadTrailer),
        };
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX { Err(Reject::TrailerTooLarge) } else { Ok(next) }
    }
}

/// HTAB, SP, VCHAR and obs-text.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
#[path = "chunked_tests.rs"]
mod tests;
