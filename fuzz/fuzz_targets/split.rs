//! Split invariance: any chunking of the input gives the same result. The first byte says how the rest is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sws::http1::{ChunkEvent, ChunkedDecoder, Decoded, Head, HeadLimits, Reject, decode};

/// Heads are decoded anew for each prefix, so longer ones would only be slow.
const PREFIXES_MAX: usize = 1024;

fuzz_target!(|input: &[u8]| {
    let Some((&cut, bytes)) = input.split_first() else { return };
    let tight = HeadLimits { head_bytes_max: 96, target_bytes_max: 24, headers_max: 3 };
    for limits in [HeadLimits::default(), tight] {
        prefixes_agree(bytes, &limits);
    }
    let whole = feed([bytes]);
    assert_eq!(feed(bytes.chunks(usize::from(cut).max(1))), whole);
    assert_eq!(feed(bytes.chunks(1)), whole);
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    assert_eq!(feed([first, second]), whole);
});

fn prefixes_agree(bytes: &[u8], limits: &HeadLimits) {
    let mut head = Head::default();
    let whole = decode(bytes, limits, &mut head);
    let end = head.len();
    if bytes.windows(4).any(|four| four == b"\r\n\r\n") && !bytes.starts_with(b"\r\n\r\n") {
        assert_ne!(whole, Decoded::NeedMore, "the blank line is there");
    }
    for len in 0..bytes.len().min(PREFIXES_MAX) {
        let prefix = decode(&bytes[..len], limits, &mut head);
        match whole {
            Decoded::Complete if len >= end => assert_eq!(prefix, Decoded::Complete),
            Decoded::Complete | Decoded::NeedMore => assert_eq!(prefix, Decoded::NeedMore),
            Decoded::Reject(_) => assert!(prefix == Decoded::NeedMore || prefix == whole),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Outcome {
    End(Vec<u8>, usize),
    NeedMore(Vec<u8>),
    Reject(Vec<u8>, Reject),
}

fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let (mut decoder, mut body, mut total) = (ChunkedDecoder::default(), Vec::new(), 0);
    for mut piece in pieces {
        while !piece.is_empty() {
            match decoder.next(piece) {
                ChunkEvent::Data { consumed, data } => {
                    body.extend_from_slice(&piece[data]);
                    total += consumed;
                    piece = &piece[consumed..];
                }
                ChunkEvent::NeedMore { consumed } => {
                    total += consumed;
                    piece = &piece[consumed..];
                }
                ChunkEvent::End { consumed } => return Outcome::End(body, total + consumed),
                ChunkEvent::Reject(reject) => return Outcome::Reject(body, reject),
            }
        }
    }
    Outcome::NeedMore(body)
}
