//! Request heads: table, split invariance, and the quick reader against the careful one.

use super::*;

/// A valid head, with the parts that a test wants to be otherwise.
const HOST: &str = "Host: a\r\n";

fn decode_once(bytes: &[u8], limits: &HeadLimits) -> (Decoded, Head) {
    let mut head = Head::default();
    (decode(bytes, limits, &mut head), head)
}

/// Decodes the whole and every prefix: a prefix says `NeedMore`, or what the whole says.
fn decode_in_all_ways(bytes: &[u8], limits: &HeadLimits) -> (Decoded, Head) {
    let (whole, head) = decode_once(bytes, limits);
    for len in 0..bytes.len() {
        let (prefix, _) = decode_once(&bytes[..len], limits);
        let is_consistent = match whole {
            Decoded::Complete if len >= head.len() => prefix == Decoded::Complete,
            Decoded::Complete | Decoded::NeedMore => prefix == Decoded::NeedMore,
            Decoded::Reject(_) => prefix == Decoded::NeedMore || prefix == whole,
        };
        assert!(
            is_consistent,
            "{prefix:?} of {:?}, but {whole:?} of the whole",
            bytes[..len].escape_ascii().to_string()
        );
    }
    (whole, head)
}

fn accepted(text: &str) -> Head {
    let (decoded, head) = decode_in_all_ways(text.as_bytes(), &HeadLimits::default());
    assert_eq!(decoded, Decoded::Complete, "{text:?}");
    head
}

/// Asserts that `bytes` is rejected so, and with this status.
fn rejected(bytes: impl AsRef<[u8]>, reject: Reject, status: u16) {
    let bytes = bytes.as_ref();
    let (decoded, _) = decode_in_all_ways(bytes, &HeadLimits::default());
    assert_eq!(decoded, Decoded::Reject(reject), "{}", bytes.escape_ascii());
    assert_eq!(reject.status().as_u16(), status, "{reject:?}");
}

#[test]
fn a_small_get() {
    let text =
        "GET /a/b?c=d&e HTTP/1.1\r\nHost: example.com:80\r\nX-Empty:\r\naccept:\t*/* \t\r\n\r\nGET /next";
    let head = accepted(text);
    let bytes = text.as_bytes();
    assert_eq!(head.method(), Method::GET);
    assert_eq!(head.version(), Version::HTTP_11);
    assert_eq!(head.target(bytes), "/a/b?c=d&e");
    assert_eq!(head.path(bytes), "/a/b");
    assert_eq!(head.query(bytes), Some("c=d&e"));
    assert_eq!(head.host(bytes), Some("example.com:80"));
    assert_eq!(head.header(bytes, "ACCEPT"), Some(&b"*/*"[..]));
    assert_eq!(head.header(bytes, "x-empty"), Some(&b""[..]));
    assert_eq!(head.header(bytes, "none"), None);
    let all: Vec<_> = head.headers(bytes).collect();
    assert_eq!(all, [("Host", &b"example.com:80"[..]), ("X-Empty", b""), ("accept", b"*/*")]);
    assert_eq!(head.framing(), Framing::None);
    assert!(head.keep_alive() && !head.expect_continue() && !head.upgrade());
    assert_eq!(&bytes[head.len()..], b"GET /next");
}

#[test]
fn a_head_is_used_again() {
    let mut head = Head::default();
    let limits = HeadLimits::default();
    let full =
        b"POST http://h/x?y HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nExpect: 100-continue\r\n\
        Content-Length: 1\r\n\r\n";
    assert_eq!(decode(full, &limits, &mut head), Decoded::Complete);
    assert!(head.upgrade() && head.expect_continue() && !head.keep_alive());
    let bare = b"GET / HTTP/1.0\r\n\r\n";
    for clear in [false, true] {
        if clear {
            head.clear();
            assert_eq!((head.len(), head.headers(full).count()), (0, 0));
        }
        assert_eq!(decode(bare, &limits, &mut head), Decoded::Complete);
        assert_eq!((head.host(bare), head.query(bare), head.headers(bare).count()), (None, None, 0));
        assert_eq!((head.framing(), head.upgrade(), head.expect_continue()), (Framing::None, false, false));
        assert_eq!((head.version(), head.len()), (Version::HTTP_10, bare.len()));
    }
}

#[test]
fn forms_of_the_target() {
    // (method, target, path, query, host)
    let table = [
        ("GET", "/", "/", None, "a"),
        ("GET", "/?", "/", Some(""), "a"),
        ("GET", "/a?b?c", "/a", Some("b?c"), "a"),
        ("GET", "//a", "//a", None, "a"),
        ("GET", "/%zz", "/%zz", None, "a"),
        ("GET", "/a|b{c}\"<>\\^`", "/a|b{c}\"<>\\^`", None, "a"),
        ("GET", "/http://b/c", "/http://b/c", None, "a"),
        ("GET", "http://b/c?d", "/c", Some("d"), "b"),
        ("GET", "HTTPS://B:8/c", "/c", None, "B:8"),
        ("GET", "http://b", "/", None, "b"),
        ("GET", "http://b?d", "/", Some("d"), "b"),
        ("GET", "http://[::1]:8/", "/", None, "[::1]:8"),
        ("OPTIONS", "*", "*", None, "a"),
        ("OPTIONS", "/", "/", None, "a"),
        ("OPTIONS", "http://b", "*", None, "b"),
        ("OPTIONS", "http://b/", "/", None, "b"),
    ];
    for (method, target, path, query, host) in table {
        let text = format!("{method} {target} HTTP/1.1\r\n{HOST}\r\n");
        let head = accepted(&text);
        let bytes = text.as_bytes();
        let found = (head.target(bytes), head.path(bytes), head.query(bytes), head.host(bytes));
        assert_eq!(found, (target, path, query, Some(host)), "{text:?}");
    }
}

#[test]
fn bad_targets() {
    let table = [
        "",
        " /",
        "a",
        "a/b",
        "?a",
        "*a",
        "ftp://b/",
        "http:/b",
        "http:///c",
        "http://",
        "http://:80/",
        "http://u@b/",
        "/b c/",
        "http://b,c/",
        "http://b\\c/",
        "http://[::1/",
        "https:b",
        "/a#b",
        "/#",
        "#",
        "/a b",
        "/a\tb",
        "/a\x01",
        "/\0",
        "/\x7f",
        "/\u{e9}",
        "h\u{e9}",
        "b:80",
        "b",
        "*",
        "**",
    ];
    for target in table {
        rejected(format!("GET {target} HTTP/1.1\r\n{HOST}\r\n"), expected_of(target), 400);
    }
    rejected(b"GET /\xff HTTP/1.1\r\n", Reject::BadTarget, 400);
    // HTTP/0.9, and a request line without a version.
    rejected("GET /\r\n", Reject::BadTarget, 400);
    rejected("GET\r\n\r\n", Reject::BadMethod, 400);
    rejected("GET /\n", Reject::BadTarget, 400);
    rejected("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Reject::BadTarget, 400);
    for target in ["/", "*", "b", "b:", "http://b:80/", ":80", "u@b:80"] {
        rejected(format!("CONNECT {target} HTTP/1.1\r\n{HOST}\r\n"), Reject::BadTarget, 400);
    }
    rejected(format!("CONNECT b:80 HTTP/1.1\r\n{HOST}\r\n"), Reject::ConnectUnsupported, 501);
}

/// A space within the target ends it, and what follows is no version.
fn expected_of(target: &str) -> Reject {
    if target.find(' ').is_some_and(|at| at > 0) { Reject::BadVersion } else { Reject::BadTarget }
}

#[test]
fn methods() {
    for method in [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "PATCH",
        "TRACE",
        "get",
        "PURGE",
        "M-SEARCH",
        "a!#$%&'*+-.^_`|~1",
    ] {
        let head = accepted(&format!("{method} / HTTP/1.1\r\n{HOST}\r\n"));
        assert_eq!(head.method().as_str(), method);
    }
    let longest = "M".repeat(super::super::limits::METHOD_BYTES_MAX);
    accepted(&format!("{longest} / HTTP/1.1\r\n{HOST}\r\n"));
    rejected(format!("{longest}M / HTTP/1.1\r\n{HOST}\r\n"), Reject::MethodTooLong, 501);
    for method in ["", " GET", "\tGET", "G@T", "G\0T", "GET\t", "G(", "\u{e9}", "GET,", "\x16\x03\x01"] {
        rejected(format!("{method} / HTTP/1.1\r\n{HOST}\r\n"), Reject::BadMethod, 400);
    }
}

#[test]
fn versions() {
    for (version, expected) in [
        ("1.1", Version::HTTP_11),
        ("1.0", Version::HTTP_10),
        ("1.2", Version::HTTP_11),
        ("1.9", Version::HTTP_11),
    ] {
        assert_eq!(accepted(&format!("GET / HTTP/{version}\r\n{HOST}\r\n")).version(), expected);
    }
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.1", "HTTP/9.9"] {
        rejected(format!("GET / {version}\r\n{HOST}\r\n"), Reject::VersionUnsupported, 505);
    }
    let bad = [
        "http/1.1",
        "HTTP/1,1",
        "HTTP/11",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/",
        "HTTP",
        "",
        " HTTP/1.1",
        "HTTP /1.1",
        "HTTP/ 1.1",
        "HTTPS/1.1",
        "HTTP/01.1",
        "HTTP/+1.1",
        "HTTP/1.x",
        "HTTP/x.1",
        "HTTP/2",
        "HTTP/2.",
        "HTTP/2.x",
        "XTTP/1.1",
        "\0",
    ];
    for version in bad {
        rejected(format!("GET / {version}\r\n{HOST}\r\n"), Reject::BadVersion, 400);
    }
    for version in ["HTTP/1.1 ", "HTTP/1.10", "HTTP/1.1\t", "HTTP/1.1\r", "HTTP/1.1\r\r", "HTTP/1.1x"] {
        rejected(format!("GET / {version}\r\n{HOST}\r\n"), Reject::BadLineEnd, 400);
    }
}

#[test]
fn line_ends() {
    accepted(&format!("\r\nGET / HTTP/1.1\r\n{HOST}\r\n"));
    let table = [
        "\n",
        "\r\r",
        "\rG",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nX:\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nX: \nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\n\r\n",
        "GET / HTTP/1.0\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n",
    ];
    for text in table {
        rejected(text, Reject::BadLineEnd, 400);
    }
    // A second empty line is not skipped.
    rejected(format!("\r\n\r\nGET / HTTP/1.1\r\n{HOST}\r\n"), Reject::BadMethod, 400);
    rejected("\r\n\nGET", Reject::BadMethod, 400);
    // A bare CR inside a field's value, or where its line should end.
    for text in ["X: a\rb\r\n", "X: a\r\r\n", "X:\r \r\n", "X: a\rY: b\r\n"] {
        rejected(format!("GET / HTTP/1.1\r\n{HOST}{text}\r\n"), Reject::BadHeaderValue, 400);
    }
}

#[test]
fn field_names() {
    let table = [
        " X: b",
        "\tX: b",
        "X : b",
        "X\t: b",
        ": b",
        "X",
        "X b",
        "X\0: b",
        "X\x0b: b",
        "X(: b",
        "X[]: b",
        "\u{e9}: b",
        "\"X\": b",
        "X: a\r\n b",
        "X: a\r\n\tb",
        "X:\r\n b",
        "X: a\r\n : b",
        "Transfer-Encoding : chunked",
        "X\r: b",
        "X/Y: b",
        "X,Y: b",
        "{X}: b",
    ];
    for text in table {
        rejected(format!("GET / HTTP/1.1\r\n{HOST}{text}\r\n\r\n"), Reject::BadHeaderName, 400);
    }
    // Whitespace before the first field (RFC 9112, 2.2).
    rejected(format!("GET / HTTP/1.1\r\n {HOST}\r\n"), Reject::BadHeaderName, 400);
    rejected(format!("GET / HTTP/1.1\r\n \r\n{HOST}\r\n"), Reject::BadHeaderName, 400);
    accepted(&format!("GET / HTTP/1.1\r\n{HOST}!#$%&'*+-.^_`|~09azAZ: b\r\n\r\n"));
}

#[test]
fn field_values() {
    for byte in (0..0x20).chain([0x7f]) {
        let text = [b"GET / HTTP/1.1\r\nHost: a\r\nX: b", &[byte][..], b"c\r\n\r\n"].concat();
        match byte {
            b'\t' => {
                let (decoded, head) = decode_in_all_ways(&text, &HeadLimits::default());
                assert_eq!((decoded, head.header(&text, "x")), (Decoded::Complete, Some(&b"b\tc"[..])));
            }
            // A bare LF ends the line, and "c" is no field.
            b'\n' => rejected(&text, Reject::BadHeaderName, 400),
            _ => rejected(&text, Reject::BadHeaderValue, 400),
        }
    }
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nX: caf\xe9 \xff\r\n\r\n";
    let (decoded, head) = decode_in_all_ways(text, &HeadLimits::default());
    assert_eq!((decoded, head.header(text, "x")), (Decoded::Complete, Some(&b"caf\xe9 \xff"[..])));
}

#[test]
fn limits() {
    let limits = HeadLimits { head_bytes_max: 80, target_bytes_max: 20, headers_max: 3 };
    let check = |text: &str, expected: Decoded| {
        let (decoded, _) = decode_in_all_ways(text.as_bytes(), &limits);
        assert_eq!(decoded, expected, "{text:?}");
    };
    let target = format!("/{}", "a".repeat(19));
    check(&format!("GET {target} HTTP/1.1\r\n{HOST}\r\n"), Decoded::Complete);
    check(&format!("GET {target}a HTTP/1.1\r\n{HOST}\r\n"), Decoded::Reject(Reject::TargetTooLong));
    check(&format!("GET {target}a"), Decoded::Reject(Reject::TargetTooLong));
    check(&format!("GET {target}"), Decoded::NeedMore);
    check(&format!("GET / HTTP/1.1\r\n{HOST}A: b\r\nC: d\r\n\r\n"), Decoded::Complete);
    check(
        &format!("GET / HTTP/1.1\r\n{HOST}A: b\r\nC: d\r\nE: f\r\n\r\n"),
        Decoded::Reject(Reject::TooManyHeaders),
    );
    let start = format!("GET / HTTP/1.1\r\n{HOST}A: ");
    let fill = 80 - start.len() - 4;
    check(&format!("{start}{}\r\n\r\n", "b".repeat(fill)), Decoded::Complete);
    check(&format!("{start}{}\r\n\r\n", "b".repeat(fill + 1)), Decoded::Reject(Reject::HeadTooLarge));
    check(&format!("{start}{}", "b".repeat(fill + 3)), Decoded::NeedMore);
    check(&format!("{start}{}", "b".repeat(fill + 4)), Decoded::Reject(Reject::HeadTooLarge));
    // What lies beyond the limit is not looked at.
    check(&format!("{start}{}\0", "b".repeat(fill + 4)), Decoded::Reject(Reject::HeadTooLarge));
    let tight = HeadLimits { head_bytes_max: 16, ..limits };
    assert_eq!(decode_once(b"GET /0123456789a", &tight).0, Decoded::Reject(Reject::TargetTooLong));
    assert_eq!(Reject::TargetTooLong.status().as_u16(), 414);
    assert_eq!(Reject::HeadTooLarge.status().as_u16(), 431);
    assert_eq!(Reject::TooManyHeaders.status().as_u16(), 431);
}

#[test]
fn default_limits_and_ceilings() {
    let fields = |count: usize| format!("GET / HTTP/1.1\r\n{HOST}{}\r\n", "A: b\r\n".repeat(count - 1));
    let defaults = HeadLimits::default();
    for count in [1, 16, 17, 100] {
        let (decoded, head) = decode_once(fields(count).as_bytes(), &defaults);
        assert_eq!((decoded, head.headers(fields(count).as_bytes()).count()), (Decoded::Complete, count));
    }
    assert_eq!(decode_once(fields(101).as_bytes(), &defaults).0, Decoded::Reject(Reject::TooManyHeaders));
    let endless =
        HeadLimits { head_bytes_max: usize::MAX, target_bytes_max: usize::MAX, headers_max: usize::MAX };
    assert_eq!(decode_once(fields(HEADERS_CEILING).as_bytes(), &endless).0, Decoded::Complete);
    assert_eq!(
        decode_once(fields(HEADERS_CEILING + 1).as_bytes(), &endless).0,
        Decoded::Reject(Reject::TooManyHeaders)
    );
    let target = |len: usize| format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "a".repeat(len - 1));
    assert_eq!(decode_once(target(8192).as_bytes(), &defaults).0, Decoded::Complete);
    assert_eq!(decode_once(target(8193).as_bytes(), &defaults).0, Decoded::Reject(Reject::TargetTooLong));
    let around = target(1).len() - 1;
    assert_eq!(decode_once(target(HEAD_BYTES_CEILING - around).as_bytes(), &endless).0, Decoded::Complete);
    assert_eq!(
        decode_once(target(HEAD_BYTES_CEILING - around + 1).as_bytes(), &endless).0,
        Decoded::Reject(Reject::HeadTooLarge)
    );
    assert_eq!(decode_once(target(70_000).as_bytes(), &endless).0, Decoded::Reject(Reject::TargetTooLong));
    let value = |len: usize| format!("GET / HTTP/1.1\r\n{HOST}A: {}\r\n\r\n", "b".repeat(len));
    let around = value(0).len();
    assert_eq!(decode_once(value(16_384 - around).as_bytes(), &defaults).0, Decoded::Complete);
    assert_eq!(
        decode_once(value(16_385 - around).as_bytes(), &defaults).0,
        Decoded::Reject(Reject::HeadTooLarge)
    );
}

#[test]
fn the_quick_reader_agrees_with_httparse() {
    let pieces = [
        "Host: a",
        "Host: a:80",
        "X-A: b",
        "X-A:b",
        "X-A:",
        "X-A: ",
        "X-A:  b",
        "X-A: b ",
        "X_A: b",
        "X-A:\tb",
        "X-A: \u{e9}",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "Expect: 100-continue",
        "Expect: x",
        "X-A : b",
        " X-A: b",
        ": b",
        "X-A: b\r",
        "X-A: b\n",
        "X-A: \x01",
    ];
    let limits = HeadLimits { headers_max: 4, ..HeadLimits::default() };
    let mut random = fastrand::Rng::with_seed(3);
    let mut quick_count = 0;
    for _ in 0..20_000 {
        let mut text = String::from("Host: a\r\n");
        for _ in 0..random.usize(..5) {
            let wide = if random.bool() { 12 } else { pieces.len() };
            text.push_str(pieces[random.usize(1..wide)]);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        let (mut quick, mut slow) = (Head::default(), Head::default());
        if decode_plain_fields(text.as_bytes(), 0, &limits, &mut quick).is_none() {
            continue;
        }
        quick_count += 1;
        // httparse is given the same bytes behind a request line's CRLF.
        let behind = format!("\r\n{text}");
        assert_eq!(decode_fields(behind.as_bytes(), 2, &limits, &mut slow), Ok(true), "{text:?}");
        let facts = |head: &Head| (head.framing, head.keep_alive, head.expect_continue, head.upgrade);
        assert_eq!(facts(&quick), facts(&slow), "{text:?}");
        assert_eq!(quick.len() + 2, slow.len());
        assert!(quick.headers(text.as_bytes()).eq(slow.headers(behind.as_bytes())), "{text:?}");
    }
    assert!(quick_count > 1000, "{quick_count} heads were plain");
}

#[test]
fn a_blank_line_is_never_waited_behind() {
    // Random lines over an alphabet that is rich in separators: once the blank line is there, no NeedMore.
    let pieces = [
        "\r\n",
        "\n",
        "\r",
        "Host: a",
        "A",
        ":",
        " ",
        "\t",
        "b",
        "\0",
        "Content-Length: 1",
        "Transfer-Encoding: chunked",
        ",",
    ];
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..20_000 {
        let mut text = String::from("GET / HTTP/1.1\r\n");
        for _ in 0..random.usize(1..10) {
            text.push_str(pieces[random.usize(..pieces.len())]);
        }
        text.push_str("\r\n\r\n");
        let (decoded, _) = decode_in_all_ways(text.as_bytes(), &HeadLimits::default());
        assert_ne!(decoded, Decoded::NeedMore, "{text:?}");
    }
}

#[path = "framing_tests.rs"]
mod framing;

#[path = "smuggling_tests.rs"]
mod smuggling;
