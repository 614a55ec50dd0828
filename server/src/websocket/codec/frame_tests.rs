//! Headers by table (RFC 6455, 5.2 and 5.5).

use super::*;

fn reject(bytes: &[u8]) -> ProtocolError {
    match decode_header(bytes) {
        Header::Reject(error) => {
            // It does not depend on what follows.
            let mut longer = bytes.to_vec();
            longer.extend([0; 16]);
            assert_eq!(decode_header(&longer), Header::Reject(error), "{bytes:02x?}");
            error
        }
        other => panic!("{bytes:02x?}: {other:?}"),
    }
}

fn complete(bytes: &[u8]) -> (FrameHeader, usize) {
    match decode_header(bytes) {
        Header::Complete { header, header_len } => {
            for len in 0..header_len {
                assert_eq!(decode_header(&bytes[..len]), Header::NeedMore, "{len} bytes of {bytes:02x?}");
            }
            (header, header_len)
        }
        other => panic!("{bytes:02x?}: {other:?}"),
    }
}

#[test]
fn rfc6455_5_2_rsv2_and_rsv3_must_be_0() {
    for first in [0x91, 0xa1, 0xb1, 0xd1, 0x10, 0x20, 0x99, 0xa8] {
        assert_eq!(reject(&[first]), ProtocolError::ReservedBits);
    }
}

#[test]
fn rfc6455_5_2_unknown_opcodes_fail() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        assert_eq!(reject(&[FIN | opcode]), ProtocolError::ReservedOpcode);
    }
    for (bits, opcode) in [
        (0, Opcode::Continuation),
        (1, Opcode::Text),
        (2, Opcode::Binary),
        (8, Opcode::Close),
        (9, Opcode::Ping),
        (10, Opcode::Pong),
    ] {
        assert_eq!(complete(&[FIN | bits, 0]).0.opcode, opcode);
        assert_eq!(opcode.is_control(), bits >= 8);
    }
}

#[test]
fn rfc6455_5_2_lengths_must_be_minimal() {
    for len in [0u16, 1, 125] {
        let [high, low] = len.to_be_bytes();
        assert_eq!(reject(&[0x82, 126, high, low]), ProtocolError::LengthNotMinimal);
        assert_eq!(reject(&[0x82, 0xfe, high, low]), ProtocolError::LengthNotMinimal);
    }
    for len in [0u64, 125, 126, 65_535] {
        let bytes = [&[0x82, 127][..], &len.to_be_bytes()].concat();
        assert_eq!(reject(&bytes), ProtocolError::LengthNotMinimal);
    }
}

#[test]
fn rfc6455_5_2_the_highest_bit_of_a_64_bit_length_must_be_0() {
    for len in [1 << 63, u64::MAX] {
        let bytes = [&[0x82, 127][..], &u64::to_be_bytes(len)].concat();
        assert_eq!(reject(&bytes), ProtocolError::LengthOverflow);
    }
    let bytes = [&[0x82, 127][..], &u64::to_be_bytes(u64::MAX >> 1)].concat();
    assert_eq!(complete(&bytes).0.len, u64::MAX >> 1);
}

#[test]
fn rfc6455_5_5_control_frames_must_have_125_bytes_or_less() {
    for opcode in [8, 9, 10] {
        assert_eq!(complete(&[FIN | opcode, 125]).0.len, 125);
        for second in [126, 127, 0xfe, 0xff] {
            assert_eq!(reject(&[FIN | opcode, second]), ProtocolError::ControlTooLong);
        }
    }
}

#[test]
fn rfc6455_5_5_control_frames_must_not_be_fragmented() {
    for opcode in [8, 9, 10] {
        assert_eq!(reject(&[opcode]), ProtocolError::ControlFragmented);
    }
}

#[test]
fn rfc7692_6_1_control_frames_must_not_set_rsv1() {
    for opcode in [8, 9, 10] {
        assert_eq!(reject(&[FIN | RSV1 | opcode]), ProtocolError::ReservedBits);
    }
}

#[test]
fn rfc6455_5_2_what_is_encoded_is_decoded_and_minimal() {
    let lengths = [
        (0, 2),
        (1, 2),
        (125, 2),
        (126, 4),
        (65_535, 4),
        (65_536, 10),
        (u64::from(u32::MAX) + 1, 10),
        (u64::MAX >> 1, 10),
    ];
    for (len, expected) in lengths {
        for (fin, rsv1) in [(false, false), (true, false), (true, true), (false, true)] {
            for opcode in [Opcode::Continuation, Opcode::Text, Opcode::Binary] {
                let mut out = b"before".to_vec();
                encode_header(&mut out, fin, rsv1, opcode, len);
                let bytes = out.strip_prefix(b"before").unwrap();
                let header = FrameHeader { fin, rsv1, opcode, mask: None, len };
                assert_eq!(complete(bytes), (header, expected));
                assert_eq!(bytes.len(), expected);
            }
        }
    }
}

#[test]
fn rfc6455_5_7_the_examples() {
    let mut out = Vec::new();
    encode_frame(&mut out, false, false, Opcode::Text, b"Hel");
    encode_frame(&mut out, true, false, Opcode::Continuation, b"lo");
    assert_eq!(out, b"\x01\x03Hel\x80\x02lo");

    out.clear();
    encode_frame_masked(&mut out, true, false, Opcode::Pong, [0x37, 0xfa, 0x21, 0x3d], b"Hello");
    assert_eq!(out, [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);

    out.clear();
    encode_frame(&mut out, true, false, Opcode::Binary, &[7; 256]);
    assert_eq!(out[..4], [0x82, 0x7e, 1, 0]);
    out.clear();
    encode_frame(&mut out, true, false, Opcode::Binary, &[7; 65_536]);
    assert_eq!(out[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(out.len(), 10 + 65_536);
}

#[test]
fn rfc6455_5_1_masked_frames_carry_their_key() {
    for len in [0, 125, 126, 65_535, 65_536] {
        let (mut out, payload) = (Vec::new(), vec![b'x'; len]);
        encode_frame_masked(&mut out, true, true, Opcode::Text, [1, 2, 3, 4], &payload);
        let (header, header_len) = complete(&out);
        assert_eq!((header.mask, header.len, header.rsv1), (Some([1, 2, 3, 4]), len as u64, true));
        let mut unmasked = out[header_len..].to_vec();
        super::super::mask::apply_mask(&mut unmasked, [1, 2, 3, 4], 0);
        assert_eq!(unmasked, payload);
    }
}
