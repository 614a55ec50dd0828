//! Compression by table (RFC 7692, 7.2).

use super::*;

fn inflate(payload: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    let mut out = Vec::new();
    Inflater::new(15, false).decompress(payload, &mut out, 1 << 20)?;
    Ok(out)
}

fn deflate(deflater: &mut Deflater, message: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    deflater.compress(message, &mut payload);
    payload
}

/// Bytes that compress to about half.
fn sample(rng: &mut fastrand::Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.u8(..16)).collect()
}

#[test]
fn rfc7692_7_2_3_1_a_message_in_one_block() {
    assert_eq!(inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).unwrap(), b"Hello");
}

#[test]
fn rfc7692_7_2_3_2_the_context_is_shared_between_messages() {
    let (mut inflater, mut out) = (Inflater::new(15, true), Vec::new());
    inflater.decompress(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], &mut out, 100).unwrap();
    inflater.decompress(&[0xf2, 0x00, 0x11, 0x00, 0x00], &mut out, 100).unwrap();
    assert_eq!(out, b"HelloHello");
    // Without takeover there is nothing to refer to.
    assert_eq!(inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00]), Err(ProtocolError::InvalidDeflate));
}

#[test]
fn rfc7692_7_2_3_3_a_block_without_compression() {
    let payload = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_eq!(inflate(&payload).unwrap(), b"Hello");
}

#[test]
fn rfc7692_7_2_3_4_a_block_with_bfinal() {
    let payload = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(inflate(&payload).unwrap(), b"Hello");
    // Without the byte of padding that the RFC asks its sender for.
    assert_eq!(inflate(&payload[..7]).unwrap(), b"Hello");
    // The context goes on behind it, in the same message and in the next.
    assert_eq!(
        inflate(&[&payload[..7], &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]].concat()).unwrap(),
        b"HelloHello"
    );
    let (mut inflater, mut out) = (Inflater::new(15, true), Vec::new());
    for _ in 0..3 {
        inflater.decompress(&payload, &mut out, 100).unwrap();
    }
    assert_eq!(out, b"HelloHelloHello");
}

#[test]
fn rfc7692_7_2_3_5_two_blocks_in_one_message() {
    let payload = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(inflate(&payload).unwrap(), b"Hello");
}

#[test]
fn rfc7692_7_2_3_6_an_empty_message_is_one_byte() {
    for takeover in [false, true] {
        let mut deflater = Deflater::new(6, 15, takeover);
        for _ in 0..2 {
            assert_eq!(deflate(&mut deflater, b""), [0]);
            assert_ne!(deflate(&mut deflater, b"x"), [0]);
        }
    }
    assert_eq!(inflate(&[0]).unwrap(), b"");
    assert_eq!(inflate(&[0x02, 0x00]).unwrap(), b"");
    // Nothing at all has no block that the tail could end.
    for takeover in [false, true] {
        let result = Inflater::new(15, takeover).decompress(&[], &mut Vec::new(), 100);
        assert_eq!(result, Err(ProtocolError::InvalidDeflate));
    }
}

#[test]
fn rfc7692_7_2_1_the_tail_of_the_flush_is_removed() {
    for level in 0..=9 {
        let payload = deflate(&mut Deflater::new(level, 15, false), b"Hello, Hello, Hello");
        assert!(!payload.ends_with(&TAIL));
        // RFC 7692, 7.2.1: what is left ends with the header of the empty block.
        assert_eq!(payload.last(), Some(&0));
        assert_eq!(inflate(&payload).unwrap(), b"Hello, Hello, Hello");
    }
}

#[test]
fn rfc7692_7_2_1_no_block_ends_the_stream() {
    for level in 0..=9 {
        let payload = deflate(&mut Deflater::new(level, 15, false), &b"Hello, Hello, Hello; ".repeat(2000));
        let whole = [&payload, &TAIL[..]].concat();
        let mut stream = Decompress::new_with_window_bits(false, 15);
        let status = stream.decompress(&whole, &mut vec![0; 50_000], FlushDecompress::Sync);
        assert_eq!(status.ok(), Some(Status::Ok), "no BFINAL at level {level}");
        assert_eq!((stream.total_in(), stream.total_out()), (whole.len() as u64, 42_000));
    }
}

#[test]
fn rfc7692_7_1_1_without_context_takeover_messages_stand_alone() {
    let mut deflater = Deflater::new(6, 15, false);
    let first = deflate(&mut deflater, b"a message, a message");
    assert_eq!(deflate(&mut deflater, b"a message, a message"), first);
    let mut deflater = Deflater::new(6, 15, true);
    let first = deflate(&mut deflater, b"a message, a message");
    assert!(deflate(&mut deflater, b"a message, a message").len() < first.len());
}

#[test]
fn rfc7692_7_1_2_round_trips_with_every_window_level_and_length() {
    let mut rng = fastrand::Rng::with_seed(7692);
    for window_bits in 9..=15 {
        for level in [0, 1, 6] {
            for takeover in [false, true] {
                let mut deflater = Deflater::new(level, window_bits, takeover);
                let mut inflater = Inflater::new(window_bits, takeover);
                for len in [0, 1, 5, 300, 511, 512, 513, 70_000, 0, 33_000] {
                    let message = sample(&mut rng, len);
                    let payload = deflate(&mut deflater, &message);
                    let mut out = b"before".to_vec();
                    inflater.decompress(&payload, &mut out, len).unwrap();
                    assert!(out.strip_prefix(b"before") == Some(&message), "{window_bits} {level} {len}");
                    assert!(payload.len() <= len + len / 8 + 64, "{level}: {len} became {}", payload.len());
                }
            }
        }
    }
}

#[test]
fn rfc7692_7_1_2_1_a_smaller_window_is_kept_to() {
    // A repetition that is farther back than 512 bytes, and nearer than 32 KiB.
    let mut rng = fastrand::Rng::with_seed(9);
    let noise: Vec<u8> = (0..2000).map(|_| rng.u8(..)).collect();
    let message = [&noise[..], &noise].concat();
    assert!(deflate(&mut Deflater::new(9, 15, false), &message).len() < 2500);
    let small = deflate(&mut Deflater::new(9, 9, false), &message);
    assert!(small.len() > 3900);
    let mut out = Vec::new();
    Inflater::new(9, false).decompress(&small, &mut out, 4000).unwrap();
    assert_eq!(out, message);
    let large = deflate(&mut Deflater::new(9, 15, false), &message);
    assert!(deflate(&mut Deflater::new(9, 0, false), &message) == small);
    assert!(deflate(&mut Deflater::new(9, 99, false), &message) == large);
}

#[test]
fn incompressible_messages_fit_the_wire_limit_of_the_decoder() {
    let mut rng = fastrand::Rng::with_seed(1);
    for level in [0, 1, 3, 6, 9] {
        for len in [1, 64, 16_384, 1 << 20] {
            let message: Vec<u8> = (0..len).map(|_| rng.u8(..)).collect();
            let payload = deflate(&mut Deflater::new(level, 15, false), &message);
            assert!(payload.len() <= len + len / 8 + 64, "{level}: {len} became {}", payload.len());
            assert!(inflate(&payload).unwrap() == message);
        }
    }
}

#[test]
fn output_of_any_capacity_is_filled() {
    let mut rng = fastrand::Rng::with_seed(2);
    let message = sample(&mut rng, 3000);
    let expected = deflate(&mut Deflater::new(6, 15, false), &message);
    for spare in (0..expected.len() + 20).step_by(7) {
        let mut out = Vec::with_capacity(spare);
        Deflater::new(6, 15, false).compress(&message, &mut out);
        assert_eq!(inflate(&out).unwrap(), message);
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let bomb = deflate(&mut Deflater::new(9, 15, false), &vec![0; 1 << 20]);
    assert!(bomb.len() < 2000);
    let mut inflater = Inflater::new(15, false);
    for bytes_max in [0, 1, 255, 256, 257, 1000, 65_536, (1 << 20) - 1] {
        let mut out = b"before".to_vec();
        assert_eq!(inflater.decompress(&bomb, &mut out, bytes_max), Err(ProtocolError::MessageTooBig));
        assert_eq!(out, b"before");
        assert!(out.capacity() <= 6 + bytes_max.max(2), "{} for {bytes_max}", out.capacity());
    }
    let mut out = Vec::new();
    assert_eq!(inflater.decompress(&bomb, &mut out, 1 << 20), Ok(()));
    assert_eq!((out.len(), out.capacity()), (1 << 20, 1 << 20));
}

#[test]
fn a_vector_with_more_room_than_the_limit_is_no_way_around_it() {
    let payload = deflate(&mut Deflater::new(9, 15, false), &[7; 100]);
    let mut out = Vec::with_capacity(4096);
    assert_eq!(
        Inflater::new(15, false).decompress(&payload, &mut out, 99),
        Err(ProtocolError::MessageTooBig)
    );
    assert!(out.is_empty());
    assert_eq!(Inflater::new(15, false).decompress(&payload, &mut out, 100), Ok(()));
}

#[test]
fn rfc7692_7_2_2_data_that_is_not_deflate_is_rejected() {
    for bad in [
        &[0x07][..],                     // block type 3
        &[0x00, 0x05, 0x00, 0x00, 0x00], // LEN and its complement disagree
        &[0xff; 40],
        b"plain text",
    ] {
        assert_eq!(inflate(bad), Err(ProtocolError::InvalidDeflate), "{bad:02x?}");
    }
    assert_eq!(ProtocolError::InvalidDeflate.close_code(), 1007);
}

#[test]
fn a_message_that_is_cut_is_rejected() {
    let message = b"a message with some words that are not all the same, and a number: 53".repeat(3);
    for level in [1, 6] {
        let payload = deflate(&mut Deflater::new(level, 15, false), &message);
        for len in 1..payload.len() - 1 {
            assert_eq!(inflate(&payload[..len]), Err(ProtocolError::InvalidDeflate), "{len} at {level}");
        }
    }
}

#[test]
fn an_inflater_goes_on_after_an_error() {
    for takeover in [false, true] {
        let (mut inflater, mut out) = (Inflater::new(15, takeover), Vec::new());
        assert_eq!(inflater.decompress(&[0xff; 9], &mut out, 99), Err(ProtocolError::InvalidDeflate));
        inflater.decompress(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], &mut out, 5).unwrap();
        assert_eq!(out, b"Hello");
    }
}
