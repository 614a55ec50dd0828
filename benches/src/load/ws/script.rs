//! What is sent and what is to come back, encoded once; and how far a stream of bytes has come in it.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::WsError;
use super::idle::upgrade;
use crate::sys;
use crate::ws::{BINARY, FIN, FrameHead, RSV1, TEXT, push_head, push_masked};

/// What the messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Bytes of each.
    pub payload_bytes: usize,
    /// Messages in one write.
    pub messages: u32,
    /// Binary instead of text; the bytes are text either way.
    pub binary: bool,
    /// Offers permessage-deflate, sends compressed messages, and expects that it is agreed on.
    pub deflate: bool,
}

impl Content {
    /// One text of so many bytes at a time.
    pub fn text(payload_bytes: usize) -> Self {
        Content { payload_bytes, messages: 1, binary: false, deflate: false }
    }

    /// The same, so many in one write.
    pub fn times(self, messages: u32) -> Self {
        Content { messages, ..self }
    }
}

/// Different messages that follow one another.
const VARIANTS: usize = 4;

/// One write and what is to come back.
pub struct Script {
    /// The bytes that are sent.
    pub ask: Box<[u8]>,
    /// The bytes that are expected.
    answer: Box<[u8]>,
    /// Bytes of one of the frames in `answer`, which are all the same.
    frame_bytes: usize,
}

impl Script {
    fn new(variant: usize, content: &Content) -> Self {
        let payload = payload(variant, content.payload_bytes);
        let first = FIN | if content.binary { BINARY } else { TEXT };
        let mask = [0x37, 0xfa, 0x21, 0x3d + variant as u8];
        let mut ask = Vec::new();
        if content.deflate {
            push_masked(&mut ask, first | RSV1, mask, &deflated(&payload));
        } else {
            push_masked(&mut ask, first, mask, &payload);
        }
        let mut frame = Vec::new();
        push_head(&mut frame, first, payload.len());
        frame.extend_from_slice(&payload);
        Script {
            ask: ask.repeat(content.messages as usize).into(),
            frame_bytes: frame.len(),
            answer: frame.repeat(content.messages as usize).into(),
        }
    }

    /// Bytes that come back.
    pub fn answer_bytes(&self) -> usize {
        self.answer.len()
    }
}

/// The scripts for `content`. Where it is compressed, the server is asked how it compresses each, which is checked.
pub(super) fn scripts(addr: SocketAddr, path: &str, content: &Content) -> Result<Vec<Script>, WsError> {
    assert!(content.messages > 0, "a write holds at least one message");
    let mut scripts: Vec<Script> = (0..VARIANTS).map(|variant| Script::new(variant, content)).collect();
    if content.deflate {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        upgrade(&stream, addr, path, true)?;
        for (variant, script) in scripts.iter_mut().enumerate() {
            let ask = &script.ask[..script.ask.len() / content.messages as usize];
            let frame = learn(&stream, ask, &payload(variant, content.payload_bytes))?;
            script.frame_bytes = frame.len();
            script.answer = frame.repeat(content.messages as usize).into();
        }
    }
    Ok(scripts)
}

/// Sends `ask` and returns the frame that comes back, whose payload, inflated, must be `payload`.
fn learn(mut stream: &TcpStream, ask: &[u8], payload: &[u8]) -> Result<Vec<u8>, WsError> {
    stream.write_all(ask)?;
    let mut frame = Vec::new();
    let mut buffer = [0; 64 * 1024];
    loop {
        let head = FrameHead::read(&frame);
        let missing = head.is_none_or(|head| (frame.len() as u64) < head.bytes as u64 + head.payload_bytes);
        if let (Some(head), false) = (head, missing) {
            let got = &frame[head.bytes..];
            let is_same = if head.first & RSV1 == 0 { got == payload } else { inflated(got)? == payload };
            return if is_same { Ok(frame) } else { Err(WsError::Mismatch) };
        }
        let got = sys::read(stream, &mut buffer)?;
        if got == 0 {
            return Err(WsError::Closed);
        }
        frame.extend_from_slice(&buffer[..got]);
    }
}

/// Text as applications send it: words that come again and again, another order for each variant.
fn payload(variant: usize, bytes: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "price", "volume", "alpha", "beta", "seven", "north", "ticket", "open", "close", "market", "river",
        "signal", "update", "window", "yellow", "zero",
    ];
    let mut text = format!("{variant}:").into_bytes();
    let mut state = variant as u32 + 1;
    while text.len() < bytes {
        // A linear congruential generator: the same text in every run.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend_from_slice(WORDS[(state >> 28) as usize].as_bytes());
        text.extend_from_slice(format!("={},", (state >> 12) & 0x3ff).as_bytes());
    }
    text.truncate(bytes);
    text
}

/// What an empty block of a flushed stream ends in, which RFC 7692 (section 7.2.1) leaves out.
const FLUSH_TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 1024);
    let mut compress = Compress::new(Compression::fast(), false);
    while let done = compress.total_in() as usize
        && (done < payload.len() || bytes.capacity() == bytes.len() || !bytes.ends_with(&FLUSH_TAIL))
    {
        bytes.reserve(1024);
        compress
            .compress_vec(&payload[done..], &mut bytes, FlushCompress::Sync)
            .expect("deflate takes all input");
    }
    bytes.truncate(bytes.len() - FLUSH_TAIL.len());
    bytes
}

fn inflated(payload: &[u8]) -> Result<Vec<u8>, WsError> {
    let input = [payload, &FLUSH_TAIL].concat();
    let mut bytes = Vec::new();
    let mut decompress = Decompress::new(false);
    loop {
        bytes.reserve(64 * 1024);
        let (before_in, before_out) = (decompress.total_in(), decompress.total_out());
        decompress
            .decompress_vec(&input[before_in as usize..], &mut bytes, FlushDecompress::Sync)
            .map_err(|_| WsError::Mismatch)?;
        if (decompress.total_in(), decompress.total_out()) == (before_in, before_out) {
            return Ok(bytes);
        }
    }
}

/// What a piece of input held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Messages that ended in it.
    pub messages: u32,
    /// All that was to come has come.
    pub whole: bool,
}

/// How far a stream has come in an answer. Pings and pongs between frames are passed over: a measurement is shorter
/// than any server's patience with a pong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    at: usize,
    control: Control,
}

#[derive(Clone, Copy, Debug, Default)]
enum Control {
    #[default]
    None,
    /// Its first byte was the last one there was.
    Begun,
    /// So many bytes of its payload are left.
    Payload(usize),
}

impl Progress {
    /// Takes the next bytes of the answer to `script`.
    pub fn take(&mut self, mut bytes: &[u8], script: &Script) -> Result<Taken, WsError> {
        let before = self.at / script.frame_bytes;
        while !bytes.is_empty() {
            bytes = self.skip_control(bytes, self.at.is_multiple_of(script.frame_bytes))?;
            let within_frame = script.frame_bytes - self.at % script.frame_bytes;
            // Frame by frame, as a control frame may stand between two.
            let length = bytes.len().min(within_frame);
            let expected = script.answer.get(self.at..self.at + length).ok_or(WsError::Unasked)?;
            if &bytes[..length] != expected {
                return Err(WsError::Mismatch);
            }
            self.at += length;
            bytes = &bytes[length..];
        }
        let messages = (self.at / script.frame_bytes - before) as u32;
        Ok(Taken { messages, whole: self.at == script.answer.len() })
    }

    /// Takes bytes where nothing is to come.
    pub fn take_unasked(&mut self, bytes: &[u8]) -> Result<(), WsError> {
        let left = self.skip_control(bytes, true)?;
        if left.is_empty() { Ok(()) } else { Err(WsError::Unasked) }
    }

    fn skip_control<'a>(&mut self, mut bytes: &'a [u8], between_frames: bool) -> Result<&'a [u8], WsError> {
        loop {
            match (self.control, bytes) {
                (_, []) => return Ok(bytes),
                (Control::None, [first, rest @ ..]) if between_frames && first & 0x8 != 0 => {
                    if first & 0xf == crate::ws::CLOSE {
                        return Err(WsError::Closed);
                    }
                    self.control = Control::Begun;
                    bytes = rest;
                }
                (Control::None, _) => return Ok(bytes),
                (Control::Begun, [length, rest @ ..]) => {
                    self.control = Control::Payload(usize::from(*length));
                    bytes = rest;
                }
                (Control::Payload(0), _) => self.control = Control::None,
                (Control::Payload(left), _) => {
                    let skipped = left.min(bytes.len());
                    self.control = Control::Payload(left - skipped);
                    bytes = &bytes[skipped..];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::{CLOSE, PING};

    #[test]
    fn any_chunks_count_the_same() {
        let script = Script::new(1, &Content::text(5).times(3));
        let frame = &script.answer[..script.frame_bytes];
        let ping = [FIN | PING, 3, b'a', b'b', b'c'];
        let stream = [&ping, frame, frame, &ping, &ping, frame].concat();
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let mut progress = Progress::default();
                let mut messages = 0;
                let mut whole = false;
                for part in [&stream[..first], &stream[first..second], &stream[second..]] {
                    let taken = progress.take(part, &script).unwrap();
                    messages += taken.messages;
                    whole = taken.whole;
                }
                assert_eq!((messages, whole), (3, true), "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let script = Script::new(0, &Content::text(64));
        let other = Script::new(1, &Content::text(64));
        let refused = |bytes: &[u8]| Progress::default().take(bytes, &script).unwrap_err().to_string();
        assert_eq!(refused(&other.answer), WsError::Mismatch.to_string());
        assert_eq!(refused(&[&script.answer[..], &script.answer[..]].concat()), WsError::Unasked.to_string());
        assert_eq!(refused(&[FIN | CLOSE, 0]), WsError::Closed.to_string());
        assert!(Progress::default().take_unasked(&[FIN | PING, 1, 0]).is_ok());
        assert!(Progress::default().take_unasked(&script.answer).is_err());
    }

    #[test]
    fn payloads_are_text_and_differ() {
        for bytes in [0, 1, 64, 1 << 20] {
            let text = payload(2, bytes);
            assert_eq!(text.len(), bytes);
            assert!(text.is_ascii());
            assert!(bytes == 0 || text != payload(3, bytes));
        }
    }

    #[test]
    fn what_is_deflated_is_inflated() {
        for bytes in [0, 1, 64, 16 * 1024, 1 << 20] {
            let text = payload(1, bytes);
            let small = deflated(&text);
            assert!(bytes < 1024 || small.len() * 2 < bytes, "{} of {bytes}", small.len());
            assert_eq!(inflated(&small).unwrap(), text);
        }
    }
}
