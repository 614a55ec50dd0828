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
                assert!(message.is_empty() && !decoder.is_mid_message());
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

fn limits() -> DecodeLimits {
    DecodeLimits::default()
}

fn compressing() -> DecodeLimits {
    DecodeLimits { compression: true, ..limits() }
}

/// A frame of a client with any first byte.
fn raw(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = frame(true, Opcode::Binary, payload);
    out[0] = first;
    out
}

#[test]
fn rfc6455_5_1_frames_of_a_server_must_not_be_masked() {
    let client = |input: &[u8]| events_of(Decoder::client(), input, &limits(), || 1);
    let mut unmasked = Vec::new();
    encode_frame(&mut unmasked, true, false, Opcode::Text, b"Hello");
    encode_frame(&mut unmasked, true, false, Opcode::Ping, b"p");
    encode_frame(&mut unmasked, true, false, Opcode::Binary, b"bytes");
    let bytes = Seen::Message(false, false, b"bytes".to_vec());
    assert_eq!(client(&unmasked), [text("Hello"), Seen::Ping(b"p".to_vec()), bytes]);
    let masked = frame(true, Opcode::Text, b"Hello");
    assert_eq!(client(&masked), [Seen::Reject(ProtocolError::MaskUnexpected)]);
}

#[test]
fn rfc6455_5_2_each_frame_has_its_own_mask() {
    let mut input = Vec::new();
    for mask in [[1, 2, 3, 4], [0; 4], [255, 0, 255, 0]] {
        encode_frame_masked(&mut input, mask[0] != 1, false, Opcode::Text, mask, b"abcdefg");
        if mask[0] == 1 {
            encode_frame_masked(&mut input, true, false, Opcode::Continuation, [9, 8, 7, 6], b"hij");
        }
    }
    assert_eq!(events(&input, &limits()), [text("abcdefghij"), text("abcdefg"), text("abcdefg")]);
}

#[test]
fn rfc6455_5_2_reserved_bits_without_an_extension_fail() {
    for first in [0xc1, 0xc2, 0xa1, 0x91, 0xf1, 0x41] {
        assert_eq!(
            events(&raw(first, b"x"), &limits()),
            [Seen::Reject(ProtocolError::ReservedBits)],
            "{first:#x}"
        );
    }
}

#[test]
fn rfc7692_6_rsv1_marks_a_compressed_message_on_its_first_frame_only() {
    let seen = |frames: &[(u8, &[u8])]| {
        let input: Vec<u8> = frames.iter().flat_map(|(first, payload)| raw(*first, payload)).collect();
        events(&input, &compressing())
    };
    let compressed = |text, payload: &[u8]| Seen::Message(text, true, payload.to_vec());
    assert_eq!(seen(&[(0xc1, b"\xf2\x00")]), [compressed(true, b"\xf2\x00")]);
    assert_eq!(seen(&[(0xc2, b"\xf2\x00")]), [compressed(false, b"\xf2\x00")]);
    // RFC 7692, 7.2.3.1: fragments of one compressed message, here with bytes that are not UTF-8.
    assert_eq!(
        seen(&[(0x41, b"\xf2\x48\xcd"), (0x00, b"\xc9\xc9"), (0x80, b"\x07\x00"), (0x81, b"plain")]),
        [compressed(true, b"\xf2\x48\xcd\xc9\xc9\x07\x00"), text("plain")]
    );
    assert_eq!(seen(&[(0x41, b"x"), (0xc0, b"x")]), [Seen::Reject(ProtocolError::ReservedBits)]);
    assert_eq!(seen(&[(0x01, b"x"), (0xc0, b"x")]), [Seen::Reject(ProtocolError::ReservedBits)]);
    // RFC 7692, 6.1: control frames are never compressed.
    for first in [0xc8, 0xc9, 0xca] {
        assert_eq!(seen(&[(first, b"")]), [Seen::Reject(ProtocolError::ReservedBits)]);
    }
}

#[test]
fn rfc6455_5_4_fragments_with_control_frames_between() {
    let input = [
        frame(false, Opcode::Text, b"Hel"),
        frame(true, Opcode::Ping, b"are you there"),
        frame(false, Opcode::Continuation, b""),
        frame(true, Opcode::Pong, b""),
        frame(true, Opcode::Continuation, b"lo"),
        frame(true, Opcode::Binary, b""),
    ]
    .concat();
    let expected = [
        Seen::Ping(b"are you there".to_vec()),
        Seen::Pong(b"".to_vec()),
        text("Hello"),
        Seen::Message(false, false, vec![]),
    ];
    assert_eq!(events(&input, &limits()), expected);
}

#[test]
fn rfc6455_5_4_a_message_may_begin_and_end_with_an_empty_fragment() {
    let input = [
        frame(false, Opcode::Text, b""),
        frame(false, Opcode::Continuation, b"x"),
        frame(true, Opcode::Continuation, b""),
        frame(true, Opcode::Text, b""),
    ]
    .concat();
    assert_eq!(events(&input, &limits()), [text("x"), text("")]);
}

#[test]
fn rfc6455_5_4_continuations_must_continue() {
    for fin in [false, true] {
        let alone = frame(fin, Opcode::Continuation, b"x");
        assert_eq!(events(&alone, &limits()), [Seen::Reject(ProtocolError::ContinuationUnexpected)]);
        let behind = [frame(true, Opcode::Text, b"x"), alone].concat();
        let expected = [text("x"), Seen::Reject(ProtocolError::ContinuationUnexpected)];
        assert_eq!(events(&behind, &limits()), expected);
    }
}

#[test]
fn rfc6455_5_4_messages_must_not_be_interleaved() {
    for opcode in [Opcode::Text, Opcode::Binary] {
        for fin in [false, true] {
            let input = [frame(false, Opcode::Text, b"x"), frame(fin, opcode, b"y")].concat();
            assert_eq!(events(&input, &limits()), [Seen::Reject(ProtocolError::ContinuationExpected)]);
        }
    }
}

#[test]
fn rfc6455_5_5_control_frames_of_every_length() {
    for len in [0, 1, 5, 124, 125] {
        let payload: Vec<u8> = (0..len).collect();
        let input = [frame(true, Opcode::Ping, &payload), frame(true, Opcode::Pong, &payload)].concat();
        assert_eq!(events(&input, &limits()), [Seen::Ping(payload.clone()), Seen::Pong(payload)]);
    }
    for opcode in [Opcode::Ping, Opcode::Pong, Opcode::Close] {
        let too_long = frame(true, opcode, &[0; 126]);
        assert_eq!(events(&too_long, &limits()), [Seen::Reject(ProtocolError::ControlTooLong)]);
        let fragment = frame(false, opcode, b"");
        assert_eq!(events(&fragment, &limits()), [Seen::Reject(ProtocolError::ControlFragmented)]);
    }
}

#[test]
fn rfc6455_5_5_1_nothing_is_taken_behind_a_close_frame() {
    for (payload, code, reason) in
        [(&b""[..], None, ""), (b"\x03\xe8", Some(1000), ""), (b"\x0f\xa0done", Some(4000), "done")]
    {
        let mut input = frame(true, Opcode::Close, payload);
        input.extend(frame(true, Opcode::Text, b"late"));
        input.extend([0xff; 200]);
        assert_eq!(events(&input, &limits()), [Seen::Close(code, reason.to_owned())]);
    }
    // Also within a message, which then never ends.
    let input = [frame(false, Opcode::Text, b"x"), frame(true, Opcode::Close, b"")].concat();
    let (mut decoder, mut message) = (Decoder::default(), Vec::new());
    let step = decoder.next(&input, &mut message, &limits());
    assert!(message.is_empty());
    assert!(matches!(step.event, Event::Close(_)) && step.consumed == input.len());
    assert!(decoder.is_closed() && !decoder.is_mid_message());
}

#[test]
fn rfc6455_7_4_close_frames_that_break_the_rules() {
    for (payload, error) in [
        (&b"\x03"[..], ProtocolError::CloseTruncated),
        (b"\x03\xed", ProtocolError::CloseCodeInvalid),
        (b"\x00\x00", ProtocolError::CloseCodeInvalid),
        (b"\x03\xe8\xff", ProtocolError::InvalidUtf8),
    ] {
        assert_eq!(events(&frame(true, Opcode::Close, payload), &limits()), [Seen::Reject(error)]);
    }
}

#[test]
fn rfc6455_8_1_text_must_be_utf8() {
    let good =
        ["", "k\u{f3}\u{3c3}\u{3bc}\u{3b5}", "\u{10ffff}\u{0}\u{7ff}\u{ffff}", &"\u{20ac}".repeat(400)];
    for good in good {
        assert_eq!(events(&frame(true, Opcode::Text, good.as_bytes()), &limits()), [text(good)]);
    }
    for bad in [
        &b"\x80"[..],
        b"\xc0\x80",             // two bytes for one
        b"\xc3",                 // cut
        b"\xe2\x82",             // cut
        b"\xed\xa0\x80",         // a surrogate
        b"\xf4\x90\x80\x80",     // behind U+10FFFF
        b"\xf8\x88\x80\x80\x80", // five bytes
        b"\xff",
    ] {
        for before in [0, 1, 60, 200] {
            let payload = [&b"x".repeat(before), bad].concat();
            let rejected = [Seen::Reject(ProtocolError::InvalidUtf8)];
            assert_eq!(events(&frame(true, Opcode::Text, &payload), &limits()), rejected, "{bad:02x?}");
            let halves = payload.split_at(before + 1);
            let input =
                [frame(false, Opcode::Text, halves.0), frame(true, Opcode::Continuation, halves.1)].concat();
            assert_eq!(events(&input, &limits()), rejected, "{bad:02x?}");
            // Binary and compressed data are no text.
            let binary = frame(true, Opcode::Binary, &payload);
            assert_eq!(events(&binary, &limits()), [Seen::Message(false, false, payload.clone())]);
            let compressed = raw(0xc1, &payload);
            assert_eq!(events(&compressed, &compressing()), [Seen::Message(true, true, payload)]);
        }
    }
}

#[test]
fn rfc6455_8_1_characters_may_be_cut_by_fragments() {
    let sentence = "\u{fc}\u{20ac}\u{1f600}";
    for cut in 0..=sentence.len() {
        let (first, second) = sentence.as_bytes().split_at(cut);
        let input = [
            frame(false, Opcode::Text, first),
            frame(true, Opcode::Ping, b"\xff"),
            frame(true, Opcode::Continuation, second),
        ]
        .concat();
        assert_eq!(events(&input, &limits()), [Seen::Ping(b"\xff".to_vec()), text(sentence)]);
    }
}

#[test]
fn rfc6455_8_1_a_bad_byte_fails_before_its_frame_is_whole() {
    for bad in [&b"\xff"[..], b"\xed\xa0", b"\xf4\x90", b"\xc3x", b"\xe2\x82x"] {
        let mut input = frame(true, Opcode::Text, &[&b"x".repeat(1000), bad, &b"y".repeat(1000)].concat());
        input.truncate(8 + 1000 + bad.len());
        assert_eq!(events(&input, &limits()), [Seen::Reject(ProtocolError::InvalidUtf8)], "{bad:02x?}");
        // Up to the byte that decides, it could still become text.
        input.pop();
        assert_eq!(events(&input, &limits()), [], "{bad:02x?}");
    }
}

#[test]
fn rfc6455_10_4_a_frame_over_its_limit_is_rejected_at_its_header() {
    let limits = DecodeLimits { frame_bytes_max: 1000, message_bytes_max: 2000, compression: true };
    for (len, first, expected) in [
        (1000, 0x82, None),
        (1001, 0x82, Some(ProtocolError::FrameTooBig)),
        (1189, 0xc2, None),
        (1190, 0xc2, Some(ProtocolError::FrameTooBig)),
    ] {
        let input = raw(first, &vec![0; len]);
        let rejected: Vec<Seen> = expected.map(Seen::Reject).into_iter().collect();
        assert_eq!(events(&input[..8], &limits), rejected, "{len}");
    }
    let huge = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
    assert_eq!(events(&huge, &limits), [Seen::Reject(ProtocolError::FrameTooBig)]);
    let tiny = DecodeLimits { frame_bytes_max: 4, ..limits };
    let hello = frame(true, Opcode::Text, b"Hello");
    assert_eq!(events(&hello, &tiny), [Seen::Reject(ProtocolError::FrameTooBig)]);
    let tiny = DecodeLimits { message_bytes_max: 4, ..limits };
    assert_eq!(events(&hello, &tiny), [Seen::Reject(ProtocolError::MessageTooBig)]);
    assert_eq!(events(&hello, &DecodeLimits { message_bytes_max: 5, ..limits }), [text("Hello")]);
}

#[test]
fn rfc6455_10_4_a_message_over_its_limit_is_rejected_at_the_header_of_the_fragment() {
    let limits = DecodeLimits { frame_bytes_max: 1000, message_bytes_max: 1500, compression: false };
    let fits =
        [frame(false, Opcode::Binary, &[1; 1000]), frame(true, Opcode::Continuation, &[2; 500])].concat();
    let message = [[1; 1000].as_slice(), &[2; 500]].concat();
    assert_eq!(events(&fits, &limits), [Seen::Message(false, false, message)]);
    let over =
        [frame(false, Opcode::Binary, &[1; 1000]), frame(true, Opcode::Continuation, &[2; 501])].concat();
    let header = &over[..over.len() - 501];
    assert_eq!(events(header, &limits), [Seen::Reject(ProtocolError::MessageTooBig)]);
}

#[test]
fn memory_follows_what_came_not_what_was_declared() {
    let limits = DecodeLimits { frame_bytes_max: 64 << 20, message_bytes_max: 64 << 20, compression: false };
    let header = [0x82, 0xff, 0, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4];
    let (mut decoder, mut message) = (Decoder::default(), Vec::new());
    let step = decoder.next(&header, &mut message, &limits);
    assert_eq!((step.consumed, step.event, message.capacity()), (14, Event::NeedMore, 0));
    assert!(decoder.is_mid_message());
    for _ in 0..64 {
        let _ = decoder.next(&[0; 1000], &mut message, &limits);
        assert!(message.capacity() <= (2 * message.len()).next_multiple_of(64));
    }
    // No more than the whole message either.
    while decoder.is_mid_message() {
        let _ = decoder.next(&[0; 100_000], &mut message, &limits);
    }
    assert_eq!((message.len(), message.capacity()), (64 << 20, 64 << 20));
}

#[test]
fn the_message_may_move_to_another_vector_between_calls() {
    let input = frame(true, Opcode::Text, "some text with an \u{fc} and a \u{20ac} in it".as_bytes());
    let (mut decoder, mut own) = (Decoder::default(), Vec::new());
    assert_eq!(decoder.next(&input[..6], &mut own, &limits()).consumed, 6);
    for byte in &input[6..] {
        own = own.as_slice().to_vec();
        assert_eq!(decoder.next(std::slice::from_ref(byte), &mut own, &limits()).consumed, 1);
    }
    assert_eq!(own, "some text with an \u{fc} and a \u{20ac} in it".as_bytes());
    assert!(!decoder.is_mid_message());
}

/// Any session, also one that breaks the rules, gives the same events in any pieces.
#[test]
fn any_split_gives_the_same_events() {
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut input = Vec::new();
        for _ in 0..rng.usize(1..12) {
            let len = match rng.u8(..8) {
                0 => rng.usize(126..70_000),
                1..=3 => rng.usize(0..126),
                _ => rng.usize(0..12),
            };
            let payload: Vec<u8> = match rng.u8(..3) {
                0 => (0..len).map(|_| rng.u8(..)).collect(),
                _ => "\u{20ac}\u{fc}x".bytes().cycle().take(len).collect(),
            };
            let opcode = [Opcode::Text, Opcode::Binary, Opcode::Continuation, Opcode::Ping, Opcode::Close];
            let (fin, opcode) = (rng.u8(..4) > 0, *rng.choice(&opcode).unwrap());
            let at = input.len();
            encode_frame_masked(
                &mut input,
                fin,
                rng.u8(..8) == 0,
                opcode,
                rng.u32(..).to_ne_bytes(),
                &payload,
            );
            if rng.u8(..16) == 0 {
                input[at] = rng.u8(..);
            }
        }
        input.truncate(input.len() - rng.usize(0..input.len().min(4)));
        for limits in [limits(), compressing(), DecodeLimits { message_bytes_max: 60_000, ..compressing() }] {
            let whole = events_of(Decoder::default(), &input, &limits, || usize::MAX >> 1);
            for pieces_max in [1, 2, 20, 5000] {
                let cut = || rng.usize(1..=pieces_max);
                assert_eq!(events_of(Decoder::default(), &input, &limits, cut), whole, "seed {seed}");
            }
        }
    }
}
