//! Close codes and payloads by table (RFC 6455, 5.5.1 and 7.4).

use super::*;

fn decode(payload: &[u8]) -> Result<(Option<u16>, String), ProtocolError> {
    CloseFrame::decode(payload).map(|close| (close.code, close.reason.as_str().to_owned()))
}

#[test]
fn rfc6455_7_4_codes_that_may_be_received() {
    for code in 0..=u16::MAX {
        let expected = match code {
            0..=999 => false,
            1004..=1006 | 1015 => false,
            1000..=1014 => true,
            1016..=2999 => false,
            3000..=4999 => true,
            5000.. => false,
        };
        assert_eq!(is_receivable(code), expected, "{code}");
        assert_eq!(is_sendable(code), expected && code != 1010, "{code}");
        let decoded = decode(&code.to_be_bytes());
        match expected {
            true => assert_eq!(decoded, Ok((Some(code), String::new()))),
            false => assert_eq!(decoded, Err(ProtocolError::CloseCodeInvalid), "{code}"),
        }
    }
}

#[test]
fn rfc6455_5_5_1_a_body_is_empty_or_has_a_code() {
    assert_eq!(decode(b""), Ok((None, String::new())));
    assert_eq!(decode(b"\x03"), Err(ProtocolError::CloseTruncated));
    assert_eq!(decode(b"\x03\xe8"), Ok((Some(1000), String::new())));
}

#[test]
fn rfc6455_5_5_1_a_reason_is_utf8() {
    assert_eq!(decode("\u{3}\u{50}".as_bytes()), Err(ProtocolError::CloseCodeInvalid));
    assert_eq!(decode(b"\x03\xe8gr\xc3\xbc\xc3\x9fe"), Ok((Some(1000), "gr\u{fc}\u{df}e".to_owned())));
    for reason in [&b"\x80"[..], b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"] {
        let payload = [b"\x03\xe8", reason].concat();
        assert_eq!(decode(&payload), Err(ProtocolError::InvalidUtf8), "{reason:02x?}");
    }
}

#[test]
fn rfc6455_5_5_a_reason_fits_a_control_frame() {
    let payload = |len: usize| [&b"\x03\xe8"[..], &vec![b'x'; len]].concat();
    assert_eq!(decode(&payload(123)), Ok((Some(1000), "x".repeat(123))));
    assert_eq!(decode(&payload(124)), Err(ProtocolError::ControlTooLong));
}

#[test]
fn rfc6455_5_5_encoded_reasons_are_cut_on_a_character_boundary() {
    for (reason, len) in [
        ("x".repeat(122), 122),
        ("x".repeat(123), 123),
        ("x".repeat(500), 123),
        ("\u{fc}".repeat(100), 122),
        ("\u{20ac}".repeat(100), 123),
        ("\u{1f600}".repeat(100), 120),
    ] {
        let mut out = Vec::new();
        encode_close(&mut out, Some(1001), &reason);
        assert_eq!(out[..4], [0x88, 2 + len as u8, 0x03, 0xe9]);
        assert_eq!(out.len(), 4 + len);
        assert_eq!(decode(&out[2..]), Ok((Some(1001), reason[..len].to_owned())));
        assert_eq!(CloseReason::new(&reason).as_str(), &reason[..len]);
    }
}

#[test]
fn rfc6455_7_4_1_codes_that_must_not_be_sent_are_replaced() {
    let sent = |code| {
        let mut out = Vec::new();
        encode_close(&mut out, code, "r");
        (out.len() > 2).then(|| u16::from_be_bytes([out[2], out[3]]))
    };
    assert_eq!(sent(None), None);
    for code in [1000, 1001, 1009, 1013, 3000, 4999] {
        assert_eq!(sent(Some(code)), Some(code));
    }
    assert_eq!(sent(Some(1005)), Some(1000));
    for code in [0, 999, 1004, 1006, 1010, 1015, 1016, 2999, 5000, u16::MAX] {
        assert_eq!(sent(Some(code)), Some(1011), "{code}");
    }
}
