//! Any bytes as the frames of a session, in any chunks: the same events as of the whole, and as of a naive reader of whole
//! frames. The first byte says how the rest is cut, the second what the limits are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sws::websocket::codec::{
    CloseFrame, DecodeLimits, Decoder, Event, Header, Opcode, ProtocolError, REST_BYTES_MAX, decode_header,
    mask,
};

fuzz_target!(|input: &[u8]| {
    let [cut, choice, bytes @ ..] = input else { return };
    let max = if choice & 1 == 0 { 16 << 20 } else { 200 };
    let limits =
        DecodeLimits { frame_bytes_max: max, message_bytes_max: max + 50, compression: choice & 2 != 0 };
    let client = choice & 4 != 0;
    let whole = decode([bytes], client, &limits);
    assert_eq!(decode(bytes.chunks(usize::from(*cut).max(1)), client, &limits), whole);
    assert_eq!(decode(bytes.chunks(1), client, &limits), whole);
    if max > bytes.len() * 2 {
        agrees(&whole, &naive(bytes, client, limits.compression));
    }
});

#[derive(Debug, PartialEq)]
enum Seen {
    Message(bool, bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(CloseFrame),
    Reject(ProtocolError),
}

/// The events of an input in pieces. What is not consumed is kept, as a connection keeps it.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, client: bool, limits: &DecodeLimits) -> Vec<Seen> {
    let mut decoder = if client { Decoder::client() } else { Decoder::default() };
    let (mut held, mut message, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            let step = decoder.next(&held, &mut message, limits);
            held.drain(..step.consumed);
            match step.event {
                Event::NeedMore => break,
                Event::Message { text, compressed } => {
                    assert!(!decoder.is_mid_message());
                    assert!(!text || compressed || std::str::from_utf8(&message).is_ok());
                    seen.push(Seen::Message(text, compressed, std::mem::take(&mut message)));
                }
                Event::Ping(payload) => seen.push(Seen::Ping(payload.as_slice().to_vec())),
                Event::Pong(payload) => seen.push(Seen::Pong(payload.as_slice().to_vec())),
                Event::Close(close) => seen.push(Seen::Close(close)),
                Event::Reject(error) => {
                    seen.push(Seen::Reject(error));
                    return seen;
                }
            }
        }
        assert!(held.len() < REST_BYTES_MAX);
        assert!(decoder.is_mid_message() || message.is_empty());
    }
    seen
}

/// Frame by frame, with payloads as a whole; stops where the input does not go on.
fn naive(mut bytes: &[u8], client: bool, compression: bool) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut partial: Option<(bool, bool, Vec<u8>)> = None;
    loop {
        let (header, header_len) = match decode_header(bytes) {
            Header::Complete { header, header_len } => (header, header_len),
            Header::NeedMore => return seen,
            Header::Reject(error) => {
                seen.push(Seen::Reject(error));
                return seen;
            }
        };
        let continues = header.opcode == Opcode::Continuation;
        let error = if header.mask.is_some() == client {
            Some(if client { ProtocolError::MaskUnexpected } else { ProtocolError::MaskMissing })
        } else if header.opcode.is_control() {
            None
        } else if continues && partial.is_none() {
            Some(ProtocolError::ContinuationUnexpected)
        } else if !continues && partial.is_some() {
            Some(ProtocolError::ContinuationExpected)
        } else if header.rsv1 && (continues || !compression) {
            Some(ProtocolError::ReservedBits)
        } else {
            None
        };
        if let Some(error) = error {
            seen.push(Seen::Reject(error));
            return seen;
        }
        let Some(payload) = bytes[header_len..].get(..usize::try_from(header.len).unwrap_or(usize::MAX))
        else {
            return seen;
        };
        bytes = &bytes[header_len + payload.len()..];
        let mut payload = payload.to_vec();
        mask::apply_mask(&mut payload, header.mask.unwrap_or_default(), 0);
        match header.opcode {
            Opcode::Ping => seen.push(Seen::Ping(payload)),
            Opcode::Pong => seen.push(Seen::Pong(payload)),
            Opcode::Close => {
                seen.push(CloseFrame::decode(&payload).map_or_else(Seen::Reject, Seen::Close));
                return seen;
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                let (text, compressed, mut message) =
                    partial.take().unwrap_or((header.opcode == Opcode::Text, header.rsv1, Vec::new()));
                message.extend(payload);
                if !header.fin {
                    partial = Some((text, compressed, message));
                } else if text && !compressed && std::str::from_utf8(&message).is_err() {
                    seen.push(Seen::Reject(ProtocolError::InvalidUtf8));
                    return seen;
                } else {
                    seen.push(Seen::Message(text, compressed, message));
                }
            }
        }
    }
}

/// The decoder may reject text, or a frame that is too long, before the naive reader sees the end of it; else they agree.
fn agrees(decoded: &[Seen], naive: &[Seen]) {
    let early = [
        Seen::Reject(ProtocolError::InvalidUtf8),
        Seen::Reject(ProtocolError::FrameTooBig),
        Seen::Reject(ProtocolError::MessageTooBig),
    ];
    match decoded {
        [before @ .., last] if early.contains(last) => {
            // Control frames may come between a bad byte and the end of its message.
            assert!(naive.starts_with(before), "{decoded:?}, naive {naive:?}");
            assert!(!naive[before.len()..].iter().any(|seen| matches!(seen, Seen::Message(..))));
        }
        _ => assert_eq!(decoded, naive),
    }
}
