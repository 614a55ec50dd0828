//! Any bytes as a request head: what is accepted is also what httparse reads, and every accessor holds its promise.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sws::http1::{Decoded, Framing, Head, HeadLimits, decode};

fuzz_target!(|bytes: &[u8]| {
    let mut head = Head::default();
    if decode(bytes, &HeadLimits::default(), &mut head) != Decoded::Complete {
        return;
    }
    check_accessors(&head, bytes);
    check_framing(&head, bytes);
    check_against_httparse(&head, bytes);
});

fn check_accessors(head: &Head, bytes: &[u8]) {
    assert!(bytes[..head.len()].ends_with(b"\r\n\r\n"));
    assert!(head.len() <= HeadLimits::default().head_bytes_max);
    let (path, target) = (head.path(bytes), head.target(bytes));
    assert!(path.starts_with('/') || (path == "*" && head.method() == "OPTIONS"));
    assert!(target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
    assert!(!path.contains('?'));
    if let Some(query) = head.query(bytes) {
        assert!(target.ends_with(query) && target.contains('?'));
    }
    for (name, value) in head.headers(bytes) {
        assert!(!name.is_empty());
        assert!(head.header(bytes, &name.to_ascii_uppercase()).is_some());
        assert!(!value.iter().any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f));
        assert_eq!(value.trim_ascii(), value);
    }
}

fn values<'h>(head: &'h Head, bytes: &'h [u8], wanted: &'h str) -> impl Iterator<Item = &'h [u8]> {
    head.headers(bytes).filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}

fn check_framing(head: &Head, bytes: &[u8]) {
    let lengths: Vec<&[u8]> = values(head, bytes, "content-length").collect();
    let encodings: Vec<&[u8]> = values(head, bytes, "transfer-encoding").collect();
    match head.framing() {
        Framing::None => assert!(lengths.is_empty() && encodings.is_empty()),
        Framing::Length(length) => {
            assert!(encodings.is_empty());
            assert_eq!(lengths, [length.to_string().as_bytes()]);
        }
        Framing::Chunked => {
            assert!(lengths.is_empty() && encodings.len() == 1);
            assert!(encodings[0].eq_ignore_ascii_case(b"chunked"));
        }
    }
    let hosts = values(head, bytes, "host").count();
    assert!(hosts <= 1);
    assert!(head.host(bytes).is_none_or(|host| !host.is_empty()));
}

fn check_against_httparse(head: &Head, bytes: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(status) => {
            assert_eq!(status, httparse::Status::Complete(head.len()));
            assert_eq!(request.method, Some(head.method().as_str()));
            assert_eq!(request.path, Some(head.target(bytes)));
            let theirs = request.headers.iter().map(|field| (field.name, field.value));
            assert!(theirs.eq(head.headers(bytes)));
        }
        // It knows no HTTP/1.2, which RFC 9110, 2.5 takes for HTTP/1.1.
        Err(httparse::Error::Version) => {}
        Err(error) => panic!("httparse refuses it: {error}"),
    }
}
