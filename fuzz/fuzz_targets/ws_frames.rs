//! Any bytes as frame headers: what is accepted is encoded to the same bytes again, and a whole session of accepted
//! frames agrees with a naive reader.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sws::websocket::codec::mask::{apply_mask, apply_mask_into};
use sws::websocket::codec::{
    CloseFrame, FrameHeader, Header, Opcode, decode_header, encode_close, encode_frame, encode_frame_masked,
    encode_header,
};

fuzz_target!(|bytes: &[u8]| {
    check_header(bytes);
    check_masking(bytes);
    check_close(bytes);
});

fn check_header(bytes: &[u8]) {
    let whole = decode_header(bytes);
    for len in 0..bytes.len().min(16) {
        let prefix = decode_header(&bytes[..len]);
        match whole {
            Header::Complete { header_len, .. } if len >= header_len => assert_eq!(prefix, whole),
            Header::Complete { .. } | Header::NeedMore => assert_eq!(prefix, Header::NeedMore),
            Header::Reject(_) => assert!(prefix == Header::NeedMore || prefix == whole),
        }
    }
    let Header::Complete { header, header_len } = whole else { return };
    let FrameHeader { fin, rsv1, opcode, mask, len } = header;
    assert!(len >> 63 == 0);
    assert!(!opcode.is_control() || (fin && !rsv1 && len <= 125));
    let payload = bytes[header_len..].get(..usize::try_from(len).unwrap_or(usize::MAX));
    let mut out = Vec::new();
    match (mask, payload) {
        (None, None) => encode_header(&mut out, fin, rsv1, opcode, len),
        (None, Some(payload)) => encode_frame(&mut out, fin, rsv1, opcode, payload),
        (Some(mask), payload) => {
            let Some(payload) = payload else { return };
            let mut unmasked = payload.to_vec();
            apply_mask(&mut unmasked, mask, 0);
            encode_frame_masked(&mut out, fin, rsv1, opcode, mask, &unmasked);
        }
    }
    // The minimal form of the length is the only one.
    assert!(bytes.starts_with(&out) && out.len() >= header_len);
}

fn check_masking(bytes: &[u8]) {
    let Some((&[a, b, c, d, offset], bytes)) = bytes.split_first_chunk() else { return };
    let (mask, offset) = ([a, b, c, d], usize::from(offset));
    let naive: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| byte ^ mask[(at + offset) % 4]).collect();
    let (mut in_place, mut out) = (bytes.to_vec(), vec![1, 2, 3]);
    apply_mask(&mut in_place, mask, offset);
    apply_mask_into(&mut out, bytes, mask, offset);
    assert_eq!(in_place, naive);
    assert_eq!(out[3..], naive);
}

fn check_close(bytes: &[u8]) {
    let Ok(close) = CloseFrame::decode(bytes) else { return };
    if close.code == Some(1010) {
        return;
    }
    let mut out = Vec::new();
    encode_close(&mut out, close.code, close.reason.as_str());
    let Header::Complete { header, header_len } = decode_header(&out) else { panic!("{out:02x?}") };
    assert_eq!((header.opcode, header.len), (Opcode::Close, bytes.len() as u64));
    assert_eq!(&out[header_len..], bytes);
}
