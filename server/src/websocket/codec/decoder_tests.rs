//! The decoder by table: every rule of RFC 6455 on masking, fragments, control frames, text and limits.

use super::*;
use crate::websocket::codec::{encode_frame, encode_frame_masked};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Message(bool, bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Reject(ProtocolError),
}

/// The events of an input that comes in pieces of the lengths that `cut` says; what is left between messages is shared
/// scratch and must be empty.
pub(crate) fn events_of(
    mut decoder: Decoder,
    input: &[u8],
    limits: &DecodeLimits,
    mut cut: impl FnMut() -> usize,
) -> Vec<Seen> {
    let (mut message, mut seen, mut start, mut end) = (Vec::new(), Vec::new(), 0, 0);
    loop {
        let step = decoder.next(&input[start..end], &mut message, limits);
        start += step.consumed;
        assert!(start <= end);
        match step.event {
            Event::NeedMore => {
                assert!(end - start < REST_BYTES_MAX);
                assert!(decoder.is_mid_message() || message.is_empty());
                if end == input.len() {
                    return seen;
                }
                end = input.len().min(end + cut().max(1));
            }
            Event::Message { text, compressed } => {
                assert!(!decoder.is_mid_message());
                seen.push(Seen::Message(text, compressed, std::mem::take(&mut message)));
            }
            Event::Ping(payload) => seen.push(Seen::Ping(payload.as_slice().to_vec())),
            Event::Pong(payload) => seen.push(Seen::Pong(payload.as_slice().to_vec())),
            Event::Close(close) => seen.push(Seen::Close(close.code, close.reason.as_str().to_owned())),
            Event::Reject(error) => {
                let again = decoder.next(&input[start..end], &mut message, limits);
                assert_eq!((again.consumed, again.event), (0, Event::Reject(error)));
                seen.push(Seen::Reject(error));
                return seen;
            }
        }
    }
}

/// The events of an input, which must be the same for the whole, byte by byte, and for some other splits.
pub(crate) fn events(input: &[u8], limits: &DecodeLimits) -> Vec<Seen> {
    let whole = events_of(Decoder::default(), input, limits, || usize::MAX >> 1);
    assert_eq!(events_of(Decoder::default(), input, limits, || 1), whole, "byte by byte");
    for first in 1..input.len().min(160) {
        let mut cut = first;
        let next = || std::mem::replace(&mut cut, usize::MAX >> 1);
        assert_eq!(events_of(Decoder::default(), input, limits, next), whole, "cut at {first}");
    }
    whole
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn frame(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_frame_masked(&mut out, fin, false, opcode, MASK, payload);
    out
}

fn text(payload: &str) -> Seen {
    Seen::Message(true, false, payload.as_bytes().to_vec())
}

#[test]
fn rfc6455_5_1_frames_of_a_client_must_be_masked() {
    let mut unmasked = Vec::new();
    encode_frame(&mut unmasked, true, false, Opcode::Text, b"Hello");
    let limits = DecodeLimits::default();
    assert_eq!(events(&unmasked, &limits), [Seen::Reject(ProtocolError::MaskMissing)]);
    assert_eq!(events(&frame(true, Opcode::Text, b"Hello"), &limits), [text("Hello")]);
}
