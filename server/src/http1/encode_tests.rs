//! Response heads and chunks, byte for byte.

use super::*;
use http::HeaderMap;
use http::header::{ETAG, UPGRADE};

const DATE: &str = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";

fn date() -> DateCache {
    DateCache::new(0)
}

fn head(date: &DateCache) -> ResponseHead<'_> {
    ResponseHead {
        status: StatusCode::OK,
        version: Version::HTTP_11,
        keep_alive: true,
        framing: ResponseFraming::Length(0),
        content_type: None,
        date,
    }
}

fn encode(head: &ResponseHead<'_>, headers: &HeaderMap) -> String {
    let mut out = b"before".to_vec();
    encode_head(&mut out, head, headers);
    let text = String::from_utf8(out).unwrap();
    text.strip_prefix("before").unwrap().to_owned()
}

#[test]
fn framings_and_connections() {
    let date = date();
    use ResponseFraming::{Chunked, CloseDelimited, Length};
    let (old, new) = (Version::HTTP_10, Version::HTTP_11);
    let table = [
        (new, true, Length(0), "Content-Length: 0\r\n\r\n"),
        (new, true, Length(u64::MAX), "Content-Length: 18446744073709551615\r\n\r\n"),
        (new, true, Length(1_234_567_890), "Content-Length: 1234567890\r\n\r\n"),
        (new, false, Length(9), "Connection: close\r\nContent-Length: 9\r\n\r\n"),
        (old, true, Length(10), "Connection: keep-alive\r\nContent-Length: 10\r\n\r\n"),
        (old, false, Length(10), "Connection: close\r\nContent-Length: 10\r\n\r\n"),
        (new, true, Chunked, "Transfer-Encoding: chunked\r\n\r\n"),
        (new, false, Chunked, "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (old, true, CloseDelimited, "Connection: close\r\n\r\n"),
        (new, true, CloseDelimited, "Connection: close\r\n\r\n"),
    ];
    for (version, keep_alive, framing, end) in table {
        let head = ResponseHead { version, keep_alive, framing, ..head(&date) };
        assert_eq!(encode(&head, &HeaderMap::new()), format!("HTTP/1.1 200 OK\r\n{DATE}{end}"), "{head:?}");
    }
}

#[test]
fn responses_without_a_body_have_no_length() {
    let date = date();
    for status in [204, 304] {
        for framing in [ResponseFraming::Length(5), ResponseFraming::Chunked, ResponseFraming::None] {
            let status = StatusCode::from_u16(status).unwrap();
            let text = encode(&ResponseHead { status, framing, ..head(&date) }, &HeaderMap::new());
            let reason = status.canonical_reason().unwrap();
            assert_eq!(text, format!("HTTP/1.1 {} {reason}\r\n{DATE}\r\n", status.as_str()));
        }
    }
    let status = StatusCode::CONTINUE;
    let text = encode(&ResponseHead { status, keep_alive: false, ..head(&date) }, &HeaderMap::new());
    assert_eq!(text.as_bytes(), CONTINUE);
}

#[test]
fn every_status_line_is_that_of_its_code() {
    let date = date();
    for code in 100..1000 {
        let status = StatusCode::from_u16(code).unwrap();
        let text = encode(&ResponseHead { status, ..head(&date) }, &HeaderMap::new());
        let reason = status.canonical_reason().unwrap_or_default();
        assert_eq!(text.split("\r\n").next().unwrap(), format!("HTTP/1.1 {code} {reason}"));
    }
}

#[test]
fn fields_of_the_handler() {
    let date = date();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("99"));
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(DATE_HEADER, HeaderValue::from_static("yesterday"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("a/b"));
    headers.insert(ETAG, HeaderValue::from_static("\"x\""));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.append("x-two", HeaderValue::from_static("1"));
    headers.append("x-two", HeaderValue::from_bytes(b"caf\xc3\xa9").unwrap());
    let lines = |head: &ResponseHead<'_>| {
        let text = encode(head, &headers);
        let mut lines: Vec<String> = text.trim_end().split("\r\n").skip(1).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let date_line = DATE.trim_end();
    let own = ["content-type: a/b", "etag: \"x\"", "upgrade: websocket", "x-two: 1", "x-two: café"];
    let usual = lines(&head(&date));
    assert_eq!(usual, [&["Content-Length: 0", date_line][..], &own].concat());
    let typed = lines(&ResponseHead { content_type: Some("c/d"), ..head(&date) });
    assert_eq!(typed, [&["Content-Length: 0", "Content-Type: c/d", date_line][..], &own[1..]].concat());
    let status = StatusCode::SWITCHING_PROTOCOLS;
    let switching = lines(&ResponseHead { status, framing: ResponseFraming::None, ..head(&date) });
    assert_eq!(switching, [&["connection: Upgrade"][..], &own].concat());
}

const DATE_HEADER: HeaderName = http::header::DATE;

#[test]
fn nothing_can_end_a_line_early() {
    // A HeaderValue cannot hold a line end; the one raw string is checked here.
    for byte in 0..=0x20u8 {
        assert_eq!(is_clean(&format!("text/plain{}x: y", char::from(byte))), byte == b' ', "{byte}");
    }
    assert!(!is_clean("\x7f"));
    assert!(is_clean("text/html; charset=utf-8"));
    assert!(HeaderValue::from_bytes(b"a\r\nb: c").is_err());
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "left out silently in release")]
#[should_panic(expected = "control characters")]
fn a_content_type_with_a_line_end_is_a_mistake_of_ours() {
    let date = date();
    encode(&ResponseHead { content_type: Some("a\r\nb: c"), ..head(&date) }, &HeaderMap::new());
}

#[test]
fn dates() {
    let mut date = DateCache::new(784_111_777);
    assert_eq!(date.line(), b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    date.update(784_111_777);
    assert_eq!(date.as_str(), "Sun, 06 Nov 1994 08:49:37 GMT");
    date.update(784_111_778);
    assert_eq!(date.as_str(), "Sun, 06 Nov 1994 08:49:38 GMT");
    date.update(u64::MAX);
    assert_eq!(date.as_str(), "Fri, 31 Dec 9999 23:59:59 GMT");
    date.update(0);
    assert_eq!(date.as_str(), "Thu, 01 Jan 1970 00:00:00 GMT");
}

#[test]
fn chunks() {
    let mut out = Vec::new();
    encode_chunk(&mut out, b"");
    assert_eq!(out, b"");
    encode_chunk(&mut out, b"hello");
    encode_chunk(&mut out, &[b'x'; 0x1a]);
    encode_last_chunk(&mut out);
    assert_eq!(out, [b"5\r\nhello\r\n1a\r\n", &[b'x'; 0x1a][..], b"\r\n0\r\n\r\n"].concat());
}

#[test]
fn a_warm_output_is_not_allocated_again() {
    let date = date();
    let mut out = Vec::with_capacity(256);
    let start = out.as_ptr();
    encode_head(&mut out, &head(&date), None);
    assert_eq!(out.as_ptr(), start);
}
