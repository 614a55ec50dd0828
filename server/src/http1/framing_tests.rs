//! Framing of requests: what is accepted, and the status of what is not.

use super::*;

#[test]
fn hosts() {
    rejected("GET / HTTP/1.1\r\n\r\n", Reject::HostMissing, 400);
    rejected("GET / HTTP/1.1\r\nX: a\r\n\r\n", Reject::HostMissing, 400);
    rejected("GET http://b/ HTTP/1.1\r\n\r\n", Reject::HostMissing, 400);
    rejected("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Reject::HostRepeated, 400);
    rejected("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", Reject::HostRepeated, 400);
    rejected("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Reject::HostRepeated, 400);
    rejected("GET http://b/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Reject::HostRepeated, 400);
    for host in [
        "", " ", "a b", "a,b", "a/b", "u@a", "http://a", "a:b", "a:99999", "[::1", "a#b", "a?b", "\u{e9}",
        "a\tb",
    ] {
        rejected(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), Reject::BadHost, 400);
        rejected(format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n"), Reject::BadHost, 400);
    }
    let head = accepted("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(head.host(b"GET / HTTP/1.0\r\n\r\n"), None);
}

#[test]
fn content_lengths() {
    for (value, length) in [("0", 0), ("1", 1), ("10", 10), ("18446744073709551615", u64::MAX)] {
        let head = accepted(&format!("POST / HTTP/1.1\r\n{HOST}Content-Length: {value}\r\n\r\n"));
        assert_eq!(head.framing(), Framing::Length(length), "{value}");
    }
    let bad = [
        "",
        "+1",
        "-1",
        "-0",
        "1 2",
        "1,1",
        "1, 2",
        "1,",
        ",1",
        "0x1",
        "1_0",
        "a",
        "1a",
        "1.0",
        "1e1",
        "00",
        "01",
        "0200",
        "18446744073709551616",
        "99999999999999999999999",
        "\u{b2}",
        "\u{661}",
        "\"1\"",
        "1;",
        "0 ,",
    ];
    for value in bad {
        rejected(
            format!("POST / HTTP/1.1\r\n{HOST}Content-Length: {value}\r\n\r\n"),
            Reject::BadContentLength,
            400,
        );
    }
    for second in ["5", "6", ""] {
        let text = format!("POST / HTTP/1.1\r\n{HOST}Content-Length: 5\r\ncontent-length: {second}\r\n\r\n");
        rejected(text, Reject::ContentLengthRepeated, 400);
    }
}

#[test]
fn transfer_encodings() {
    for value in ["chunked", "Chunked", "CHUNKED", "\tchunked \t"] {
        let head = accepted(&format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: {value}\r\n\r\n"));
        assert_eq!(head.framing(), Framing::Chunked, "{value}");
    }
    for value in [
        "gzip",
        "gzip, chunked",
        "identity",
        "xchunked",
        "gzip;q=1, chunked",
        "chunkedx",
        "identity, chunked",
        "trailers",
    ] {
        rejected(
            format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: {value}\r\n\r\n"),
            Reject::UnknownTransferEncoding,
            501,
        );
    }
    let bad = [
        "",
        "chunked, chunked",
        "chunked, gzip",
        "chunked,",
        ",chunked",
        "gzip,,chunked",
        "chunked;a=b",
        "chunked ;",
        "chun ked",
        "\"chunked\"",
        "chunked, identity",
        "gzip, chunked, chunked",
        "gz@p",
        ";",
        "\u{e9}",
    ];
    for value in bad {
        rejected(
            format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: {value}\r\n\r\n"),
            Reject::BadTransferEncoding,
            400,
        );
    }
    for (first, second, reject, status) in [
        ("chunked", "chunked", Reject::BadTransferEncoding, 400),
        ("chunked", "identity", Reject::BadTransferEncoding, 400),
        ("gzip", "chunked", Reject::UnknownTransferEncoding, 501),
    ] {
        let text = format!(
            "POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: {first}\r\nTransfer-Encoding: {second}\r\n\r\n"
        );
        rejected(text, reject, status);
    }
    for value in ["\x0bchunked", "\x0cchunked", "chunked\0"] {
        rejected(
            format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: {value}\r\n\r\n"),
            Reject::BadHeaderValue,
            400,
        );
    }
    for value in ["chunked", "gzip"] {
        rejected(
            format!("POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: {value}\r\n\r\n"),
            Reject::EncodingInOldVersion,
            400,
        );
    }
    for value in ["chunked", "gzip", "", "identity", "xchunked"] {
        for order in [
            format!("Transfer-Encoding: {value}\r\nContent-Length: 5"),
            format!("Content-Length: 0\r\nTransfer-Encoding: {value}"),
        ] {
            rejected(format!("POST / HTTP/1.1\r\n{HOST}{order}\r\n\r\n"), Reject::LengthAndEncoding, 400);
        }
    }
    // Other names that look alike are other fields.
    let head = accepted(&format!(
        "POST / HTTP/1.1\r\n{HOST}Transfer_Encoding: chunked\r\nContent-Length: 1\r\n\r\n"
    ));
    assert_eq!(head.framing(), Framing::Length(1));
}

#[test]
fn connection_and_expectation() {
    let keep_alive = |version: &str, fields: &str| {
        accepted(&format!("GET / HTTP/{version}\r\n{HOST}{fields}\r\n")).keep_alive()
    };
    for (version, fields, expected) in [
        ("1.1", "", true),
        ("1.0", "", false),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Close\r\n", false),
        ("1.1", "Connection: x, close\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.1", "Connection: ,\r\n", true),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: Keep-Alive , x\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        assert_eq!(keep_alive(version, fields), expected, "{version} {fields:?}");
    }
    for (version, fields, expected) in [
        ("1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", true),
        ("1.1", "Connection: keep-alive, upgrade\r\n", true),
        ("1.1", "Upgrade: websocket\r\n", false),
        ("1.0", "Connection: upgrade\r\n", false),
    ] {
        let head = accepted(&format!("GET / HTTP/{version}\r\n{HOST}{fields}\r\n"));
        assert_eq!(head.upgrade(), expected, "{version} {fields:?}");
    }
    for (version, value, expected) in [
        ("1.1", "100-continue", true),
        ("1.1", "100-Continue", true),
        ("1.0", "100-continue", false),
        ("1.0", "x", false),
    ] {
        let head =
            accepted(&format!("POST / HTTP/{version}\r\n{HOST}Expect: {value}\r\nContent-Length: 1\r\n\r\n"));
        assert_eq!(head.expect_continue(), expected, "{version} {value}");
    }
    for value in ["200-ok", "", "100-continue, x", "x, 100-continue", "100-continue=1"] {
        rejected(format!("POST / HTTP/1.1\r\n{HOST}Expect: {value}\r\n\r\n"), Reject::ExpectationFailed, 417);
    }
}
