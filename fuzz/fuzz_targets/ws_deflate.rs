//! Any bytes as a compressed message: inflating them stays within its limit. And any bytes as messages: what is compressed is
//! inflated again. The first byte says level and window, the second the limit.
#![no_main]

use flate2::{Decompress, FlushDecompress, Status};
use libfuzzer_sys::fuzz_target;
use sws::websocket::codec::{Deflater, Inflater, ProtocolError, negotiate};

fuzz_target!(|input: &[u8]| {
    let [choice, limit, bytes @ ..] = input else { return };
    let (level, window_bits, takeover) = (choice % 10, 9 + choice / 10 % 7, choice & 1 != 0);
    check_any(bytes, usize::from(*limit) * 16, takeover);
    check_round_trip(bytes, level, window_bits, takeover);
    if let Ok(Some(agreed)) = negotiate([bytes], &Default::default()) {
        assert!((9..=15).contains(&agreed.server_max_window_bits));
        assert!(agreed.to_string().starts_with("permessage-deflate"));
    }
});

fn check_any(payload: &[u8], bytes_max: usize, takeover: bool) {
    let mut inflater = Inflater::new(15, takeover);
    let mut out = b"before".to_vec();
    match inflater.decompress(payload, &mut out, bytes_max) {
        Ok(()) => {
            assert!(out.starts_with(b"before") && out.len() <= 6 + bytes_max);
            // The first stream of it is what the library alone makes of it.
            let mut theirs = Vec::with_capacity(bytes_max + 1);
            let mut stream = Decompress::new(false);
            let status = stream.decompress_vec(payload, &mut theirs, FlushDecompress::Sync);
            assert!(out[6..].starts_with(&theirs));
            assert!(matches!(status, Ok(Status::Ok | Status::StreamEnd | Status::BufError)));
        }
        Err(error) => {
            assert!(matches!(error, ProtocolError::InvalidDeflate | ProtocolError::MessageTooBig));
            assert_eq!(out, b"before");
        }
    }
    assert!(out.capacity() <= 6 + bytes_max.max(6));
    // Whatever it was, the next message is read.
    let mut deflated = Vec::new();
    Deflater::new(1, 15, false).compress(b"next", &mut deflated);
    if !takeover {
        out.clear();
        assert_eq!(inflater.decompress(&deflated, &mut out, 4), Ok(()));
        assert_eq!(out, b"next");
    }
}

fn check_round_trip(bytes: &[u8], level: u8, window_bits: u8, takeover: bool) {
    let mut deflater = Deflater::new(level, window_bits, takeover);
    let mut inflater = Inflater::new(window_bits, takeover);
    let len = usize::from(bytes.first().copied().unwrap_or(0)) + 1;
    for message in bytes.chunks(len).take(4).chain([&[][..], bytes]) {
        let (mut payload, mut out) = (Vec::new(), Vec::new());
        deflater.compress(message, &mut payload);
        assert_eq!(inflater.decompress(&payload, &mut out, message.len()), Ok(()));
        assert_eq!(out, message);
        if let Some(less) = message.len().checked_sub(1)
            && !takeover
        {
            assert_eq!(inflater.decompress(&payload, &mut out, less), Err(ProtocolError::MessageTooBig));
        }
    }
}
