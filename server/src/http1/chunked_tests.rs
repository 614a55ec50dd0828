//! Chunked bodies: every split, every reject.

use super::*;

/// What a whole body comes to.
#[derive(Debug, PartialEq, Clone)]
enum Outcome {
    /// Body, and bytes consumed with the trailer section.
    End(Vec<u8>, usize),
    NeedMore(Vec<u8>),
    Reject(Vec<u8>, Reject),
}

/// Feeds the pieces one by one, as they would arrive.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = ChunkedDecoder::default();
    let (mut body, mut total) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = piece;
        while !rest.is_empty() {
            match decoder.next(rest) {
                ChunkEvent::Data { consumed, data } => {
                    assert!(!data.is_empty() && data.end == consumed);
                    body.extend_from_slice(&rest[data]);
                    total += consumed;
                    rest = &rest[consumed..];
                }
                ChunkEvent::NeedMore { consumed } => {
                    assert_eq!(consumed, rest.len());
                    total += consumed;
                    break;
                }
                ChunkEvent::End { consumed } => {
                    assert!(decoder.is_done());
                    assert_eq!(decoder.next(b"x"), ChunkEvent::End { consumed: 0 });
                    return Outcome::End(body, total + consumed);
                }
                ChunkEvent::Reject(reject) => {
                    assert_eq!(decoder.next(b"0\r\n\r\n"), ChunkEvent::Reject(reject));
                    return Outcome::Reject(body, reject);
                }
            }
        }
    }
    Outcome::NeedMore(body)
}

/// Feeds `bytes` whole, in single bytes, and cut in two at every place; all must agree.
fn feed_in_all_ways(bytes: &[u8]) -> Outcome {
    let whole = feed([bytes]);
    assert_eq!(feed(bytes.chunks(1)), whole, "single bytes of {}", bytes.escape_ascii());
    for cut in 1..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(feed([first, second]), whole, "cut at {cut} of {}", bytes.escape_ascii());
    }
    whole
}

#[test]
fn bodies() {
    let table: [(&str, &str); 11] = [
        ("0\r\n\r\n", ""),
        ("00000\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc"),
        ("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
        ("0000000000000002\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ("1;a\r\nx\r\n0;b\r\n\r\n", "x"),
        ("1;a=b;c=\"d;\\\" \t\";e\r\nx\r\n0\r\n\r\n", "x"),
        ("1\r\nx\r\n0\r\nA: b\r\nC:\r\nD: \t e\u{e9} \r\n\r\n", "x"),
        ("0\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\nHost: y\r\n\r\n", ""),
        ("3\r\n0\r\n\r\n0\r\n\r\n", "0\r\n"),
    ];
    for (text, body) in table {
        let expected = Outcome::End(body.into(), text.len());
        assert_eq!(feed_in_all_ways(text.as_bytes()), expected, "{text:?}");
        let with_next = format!("{text}GET / HTTP/1.1\r\n");
        assert_eq!(feed_in_all_ways(with_next.as_bytes()), expected, "{with_next:?}");
    }
}

#[test]
fn rejects() {
    let table: &[(&str, &str, Reject)] = &[
        ("\r\n", "", Reject::BadChunkSize),
        ("\n", "", Reject::BadChunkSize),
        (" 1\r\n", "", Reject::BadChunkSize),
        ("1 \r\n", "", Reject::BadChunkSize),
        ("1\t\r\n", "", Reject::BadChunkSize),
        ("+1\r\n", "", Reject::BadChunkSize),
        ("-1\r\n", "", Reject::BadChunkSize),
        ("0x1\r\n", "", Reject::BadChunkSize),
        ("1_0\r\n", "", Reject::BadChunkSize),
        ("1h\r\n", "", Reject::BadChunkSize),
        ("g\r\n", "", Reject::BadChunkSize),
        (";a\r\n", "", Reject::BadChunkSize),
        ("1,2\r\n", "", Reject::BadChunkSize),
        ("1\0\r\n", "", Reject::BadChunkSize),
        ("\u{ff11}\r\n", "", Reject::BadChunkSize),
        ("10000000000000000\r\n", "", Reject::BadChunkSize),
        ("00000000000000001\r\n", "", Reject::BadChunkSize),
        ("ffffffffffffffffff\r\n", "", Reject::BadChunkSize),
        ("1\n", "", Reject::BadChunkEnd),
        ("1\rx", "", Reject::BadChunkEnd),
        ("1\r\r\n", "", Reject::BadChunkEnd),
        ("1\r\nxy\r\n", "x", Reject::BadChunkEnd),
        ("1\r\nx\n0\r\n", "x", Reject::BadChunkEnd),
        ("1\r\nx0\r\n", "x", Reject::BadChunkEnd),
        ("1\r\nx\r0\r\n", "x", Reject::BadChunkEnd),
        ("1\r\nx\r\n\r\n", "x", Reject::BadChunkSize),
        ("5\r\nhello12\r\n", "hello", Reject::BadChunkEnd),
        ("1;\r\n", "", Reject::BadChunkExtension),
        ("1;;\r\n", "", Reject::BadChunkExtension),
        ("1; a\r\n", "", Reject::BadChunkExtension),
        ("1 ;a\r\n", "", Reject::BadChunkSize),
        ("1;a =b\r\n", "", Reject::BadChunkExtension),
        ("1;a=\r\n", "", Reject::BadChunkExtension),
        ("1;=b\r\n", "", Reject::BadChunkExtension),
        ("1;a=b=c\r\n", "", Reject::BadChunkExtension),
        ("1;a[=b\r\n", "", Reject::BadChunkExtension),
        ("1;a\n", "", Reject::BadChunkExtension),
        ("1;a\0\r\n", "", Reject::BadChunkExtension),
        ("1;a=\"b\r\n", "", Reject::BadChunkExtension),
        ("1;a=\"b\"c\r\n", "", Reject::BadChunkExtension),
        ("1;a=\"\\\r\n", "", Reject::BadChunkExtension),
        ("1;a=\"\x01\"\r\n", "", Reject::BadChunkExtension),
        ("1;a=\"\x7f\"\r\n", "", Reject::BadChunkExtension),
        ("1;a=\"b \r\"\r\n", "", Reject::BadChunkExtension),
        ("1;a=\"b\n\"\r\n", "", Reject::BadChunkExtension),
        ("1;a\r0\r\n", "", Reject::BadChunkEnd),
        ("0\r\n\n", "", Reject::BadTrailer),
        ("0\r\n\rx", "", Reject::BadTrailer),
        ("0\r\n a: b\r\n\r\n", "", Reject::BadTrailer),
        ("0\r\na : b\r\n\r\n", "", Reject::BadTrailer),
        ("0\r\n: b\r\n\r\n", "", Reject::BadTrailer),
        ("0\r\na\r\n\r\n", "", Reject::BadTrailer),
        ("0\r\na: b\n\r\n", "", Reject::BadTrailer),
        ("0\r\na: b\r\r\n", "", Reject::BadTrailer),
        ("0\r\na: b\0\r\n\r\n", "", Reject::BadTrailer),
        ("0\r\na: b\r\n c\r\n\r\n", "", Reject::BadTrailer),
        ("0\r\nGET / HTTP/1.1\r\n", "", Reject::BadTrailer),
    ];
    for &(text, body, reject) in table {
        assert_eq!(feed_in_all_ways(text.as_bytes()), Outcome::Reject(body.into(), reject), "{text:?}");
        assert_eq!(reject.status().as_u16(), 400, "{reject:?}");
    }
}

#[test]
fn bounds() {
    let line = usize::from(CHUNK_EXTENSION_LINE_BYTES_MAX);
    let total = usize::from(CHUNK_EXTENSION_BYTES_MAX);
    let one = |bytes: usize| format!("1;{}\r\nx\r\n", "a".repeat(bytes - 1));
    assert_eq!(feed([one(line).as_bytes()]), Outcome::NeedMore(b"x".to_vec()));
    let too_long = Outcome::Reject(Vec::new(), Reject::ChunkExtensionTooLarge);
    assert_eq!(feed_in_all_ways(one(line + 1).as_bytes()), too_long);
    let many = one(line).repeat(total / line);
    assert_eq!(feed([many.as_bytes(), b"0\r\n\r\n"]), Outcome::End(vec![b'x'; total / line], many.len() + 5));
    let over = Outcome::Reject(vec![b'x'; total / line], Reject::ChunkExtensionTooLarge);
    assert_eq!(feed([many.as_bytes(), b"0;a\r\n\r\n"]), over);
    assert_eq!(Reject::ChunkExtensionTooLarge.status().as_u16(), 400);

    let trailer_max = usize::from(TRAILER_BYTES_MAX);
    // The last CR and LF of a field line are one byte of the count and its separator.
    let trailer = |bytes: usize| format!("0\r\na:{}\r\n\r\n", "b".repeat(bytes));
    let fits =
        (0..=trailer_max).rev().find(|&bytes| matches!(feed([trailer(bytes).as_bytes()]), Outcome::End(..)));
    assert_eq!(fits, Some(trailer_max - 4));
    let over = Outcome::Reject(Vec::new(), Reject::TrailerTooLarge);
    assert_eq!(feed([trailer(trailer_max - 3).as_bytes()]), over);
    assert_eq!(feed([b"0\r\n", "a:b\r\n".repeat(trailer_max).as_bytes()]), over);
    assert_eq!(Reject::TrailerTooLarge.status().as_u16(), 431);
}

#[test]
fn the_announced_rest_of_a_chunk() {
    let mut decoder = ChunkedDecoder::default();
    assert_eq!(decoder.next(b"ffff"), ChunkEvent::NeedMore { consumed: 4 });
    assert_eq!(decoder.remaining(), 0);
    assert_eq!(decoder.next(b"ffffffffffff\r\n"), ChunkEvent::NeedMore { consumed: 14 });
    assert_eq!(decoder.remaining(), u64::MAX);
    assert_eq!(decoder.next(b"abc"), ChunkEvent::Data { consumed: 3, data: 0..3 });
    assert_eq!(decoder.remaining(), u64::MAX - 3);
    assert!(!decoder.is_done());
    assert_eq!(decoder.next(b""), ChunkEvent::NeedMore { consumed: 0 });
}

#[test]
fn what_is_encoded_is_decoded_again() {
    use crate::http1::{encode_chunk, encode_last_chunk};
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..200 {
        let (mut wire, mut body) = (Vec::new(), Vec::new());
        for _ in 0..random.usize(..8) {
            let data: Vec<u8> = (0..random.usize(..300)).map(|_| random.u8(..)).collect();
            encode_chunk(&mut wire, &data);
            body.extend_from_slice(&data);
        }
        encode_last_chunk(&mut wire);
        assert_eq!(feed([&wire[..]]), Outcome::End(body.clone(), wire.len()));
        let mut rest = &wire[..];
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(random.usize(1..=rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        assert_eq!(feed(pieces), Outcome::End(body, wire.len()));
    }
}
