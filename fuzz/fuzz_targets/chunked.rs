//! Any bytes as a chunked body: against a decoder that reads the whole at once, and round trips.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sws::http1::{ChunkEvent, ChunkedDecoder, encode_chunk, encode_last_chunk};

fuzz_target!(|bytes: &[u8]| {
    if let Some((body, consumed)) = decode(bytes) {
        assert_eq!(naive(bytes), Some((body.clone(), consumed)));
        assert!(bytes[..consumed].ends_with(b"\r\n"));
    }
    // Any bytes as the data of chunks: what is encoded is decoded again.
    let mut wire = Vec::new();
    for data in bytes.chunks(usize::from(bytes.first().copied().unwrap_or(1)).max(1)) {
        encode_chunk(&mut wire, data);
    }
    encode_last_chunk(&mut wire);
    assert_eq!(decode(&wire), Some((bytes.to_vec(), wire.len())));
});

/// Body and bytes consumed, if the body is whole and good.
fn decode(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut decoder, mut body, mut at) = (ChunkedDecoder::default(), Vec::new(), 0);
    loop {
        match decoder.next(&bytes[at..]) {
            ChunkEvent::Data { consumed, data } => {
                assert!(!data.is_empty() && data.end == consumed);
                body.extend_from_slice(&bytes[at..][data]);
                at += consumed;
            }
            ChunkEvent::End { consumed } => return Some((body, at + consumed)),
            ChunkEvent::NeedMore { consumed } => {
                assert_eq!(at + consumed, bytes.len());
                return None;
            }
            ChunkEvent::Reject(reject) => {
                assert!(reject.status().is_client_error());
                return None;
            }
        }
    }
}

/// Line by line, with more tolerance than the decoder: it must agree on all that the decoder accepts.
fn naive(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    let line = |at: usize| {
        let len = bytes[at..].windows(2).position(|pair| pair == b"\r\n")?;
        Some((&bytes[at..at + len], at + len + 2))
    };
    loop {
        let (size_line, next) = line(at)?;
        let digits = size_line.split(|&byte| byte == b';').next()?;
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        at = next;
        if size == 0 {
            break;
        }
        body.extend_from_slice(bytes.get(at..at.checked_add(size)?)?);
        at += size + 2;
    }
    loop {
        let (field, next) = line(at)?;
        at = next;
        if field.is_empty() {
            return Some((body, at));
        }
    }
}
