//! Byte streams as an attacker sends them: what a server makes of the whole stream, request by request. In each, one of
//! two readings hides a request within another; here every one of them ends in a reject, or has a single reading.

use super::*;
use crate::http1::{ChunkEvent, ChunkedDecoder};

/// What one stream is read as.
#[derive(Debug, PartialEq)]
struct Reading {
    /// `METHOD path body` of each request.
    requests: Vec<String>,
    /// Why the rest is not read.
    end: Result<(), Reject>,
}

/// Reads requests until the bytes are used up or one is rejected.
fn read_stream(mut bytes: &[u8]) -> Reading {
    let (limits, mut head) = (HeadLimits::default(), Head::default());
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        match decode(bytes, &limits, &mut head) {
            Decoded::Complete => {}
            Decoded::NeedMore => break,
            Decoded::Reject(reject) => return Reading { requests, end: Err(reject) },
        }
        let request = format!("{} {}", head.method(), head.path(bytes));
        let (body, rest) = match read_body(&bytes[head.len()..], head.framing()) {
            Ok(Some(found)) => found,
            Ok(None) => break,
            Err(reject) => return Reading { requests, end: Err(reject) },
        };
        requests.push(format!("{request} {}", body.escape_ascii()));
        bytes = rest;
    }
    Reading { requests, end: Ok(()) }
}

/// The body and what follows it.
type Body<'b> = (Vec<u8>, &'b [u8]);

/// Splits the body off; `None` if it is not all here.
fn read_body(bytes: &[u8], framing: Framing) -> Result<Option<Body<'_>>, Reject> {
    match framing {
        Framing::None => Ok(Some((Vec::new(), bytes))),
        Framing::Length(length) => {
            let split = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
            Ok(split.map(|(body, rest)| (body.to_vec(), rest)))
        }
        Framing::Chunked => {
            let (mut decoder, mut body, mut rest) = (ChunkedDecoder::default(), Vec::new(), bytes);
            loop {
                match decoder.next(rest) {
                    ChunkEvent::Data { consumed, data } => {
                        body.extend_from_slice(&rest[data]);
                        rest = &rest[consumed..];
                    }
                    ChunkEvent::NeedMore { .. } => return Ok(None),
                    ChunkEvent::End { consumed } => return Ok(Some((body, &rest[consumed..]))),
                    ChunkEvent::Reject(reject) => return Err(reject),
                }
            }
        }
    }
}

/// A POST with these field lines (CRLF after each), then this body.
fn post(fields: &str, body: &str) -> String {
    format!("POST /p HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn streams_that_are_rejected_before_anything_is_served() {
    use Reject::*;
    let table = [
        // Two lengths, one of which hides a request.
        (post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"), LengthAndEncoding),
        (
            post(
                "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                "5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n",
            ),
            LengthAndEncoding,
        ),
        (
            post("Content-Length: 4\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            LengthAndEncoding,
        ),
        (post("Content-Length: 0\r\nContent-Length: 33\r\n", HIDDEN), ContentLengthRepeated),
        (post("Content-Length: 0, 33\r\n", HIDDEN), BadContentLength),
        (post("Content-Length: +33\r\n", HIDDEN), BadContentLength),
        (post("Content-Length: 041\r\n", HIDDEN), BadContentLength),
        (post("Content-Length: 33abc\r\n", HIDDEN), BadContentLength),
        (post("Content-Length: 3 3\r\n", HIDDEN), BadContentLength),
        // An encoding that only one of two readers takes for chunked.
        (post("Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n", "0\r\n\r\n"), LengthAndEncoding),
        (
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "0\r\n\r\n"),
            LengthAndEncoding,
        ),
        (post("Content-Length: 5\r\nTransfer-Encoding:\r\n", "0\r\n\r\n"), LengthAndEncoding),
        (post("Content-Length: 5\r\nTransfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), BadHeaderValue),
        (post("Content-Length: 5\r\nTransfer-Encoding : chunked\r\n", "0\r\n\r\n"), BadHeaderName),
        (post("Content-Length: 5\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), BadHeaderName),
        (post("Content-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), BadHeaderName),
        (post("Content-Length: 5\r\nX: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), BadHeaderValue),
        (post("Content-Length: 5\r\nX: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), BadLineEnd),
        (post("Content-Length: 5\r\nX: y\r\n\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), BadLineEnd),
        (post("Content-Length: 5\r\n\0Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), BadHeaderName),
        (post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), BadTransferEncoding),
        (post("Transfer-Encoding: identity\r\n", HIDDEN), UnknownTransferEncoding),
        (post(CHUNKED, "0\r\n\r\n").replace("/1.1", "/1.0"), EncodingInOldVersion),
        // Chunks whose end two readers see in two places.
        (post(CHUNKED, "5\nhello\r\n0\r\n\r\n"), BadChunkEnd),
        (post(CHUNKED, "5\r\nhello\n0\r\n\r\n"), BadChunkEnd),
        (post(CHUNKED, "5\r\nhello12\r\n0\r\n\r\n"), BadChunkEnd),
        (post(CHUNKED, "5;\nxx\r\n1d\r\n0\r\n\r\n"), BadChunkExtension),
        (post(CHUNKED, "2;a\rxx\r\n0\r\n\r\n"), BadChunkEnd),
        (post(CHUNKED, "2 ;a\r\nxx\r\n0\r\n\r\n"), BadChunkSize),
        (post(CHUNKED, "0x2\r\nxx\r\n0\r\n\r\n"), BadChunkSize),
        (post(CHUNKED, "-1\r\nxx\r\n0\r\n\r\n"), BadChunkSize),
        (post(CHUNKED, "100000000000000002\r\nxx\r\n0\r\n\r\n"), BadChunkSize),
        (post(CHUNKED, "0\r\n\n"), BadTrailer),
        // The head itself.
        (format!("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n{HIDDEN}"), HostRepeated),
        (format!("GET / HTTP/1.1\nHost: a\n\n{HIDDEN}"), BadLineEnd),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n{HIDDEN}"), BadHeaderName),
        (format!("GET /x HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n{HIDDEN}"), BadLineEnd),
    ];
    for (stream, reject) in table {
        let expected = Reading { requests: Vec::new(), end: Err(reject) };
        assert_eq!(read_stream(stream.as_bytes()), expected, "{}", stream.escape_debug());
    }
}

#[test]
fn streams_with_a_single_reading() {
    let table = [
        // A body that looks like a request stays a body.
        (
            post("Content-Length: 33\r\n", HIDDEN) + HIDDEN,
            vec![format!("POST /p {}", HIDDEN.escape_debug()), "GET /hidden ".into()],
            Ok(()),
        ),
        (
            post(CHUNKED, &format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len())) + HIDDEN,
            vec![format!("POST /p {}", HIDDEN.escape_debug()), "GET /hidden ".into()],
            Ok(()),
        ),
        // Without a length there is no body; what follows is the next request, for every reader.
        (post("", HIDDEN), vec!["POST /p ".into(), "GET /hidden ".into()], Ok(())),
        // Bytes behind a body of length 0 begin the next request.
        (
            post("Content-Length: 0\r\n", &format!("X{HIDDEN}")),
            vec!["POST /p ".into(), "XGET /hidden ".into()],
            Ok(()),
        ),
        // A GET has a body if it says so.
        (
            format!("GET /g HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx{HIDDEN}"),
            vec!["GET /g x".into(), "GET /hidden ".into()],
            Ok(()),
        ),
        // Trailers change nothing.
        (
            post(CHUNKED, "1\r\nx\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n") + HIDDEN,
            vec!["POST /p x".into(), "GET /hidden ".into()],
            Ok(()),
        ),
        // What comes first is served, then the connection ends.
        (post("Content-Length: 0\r\n", "0\r\n\r\nGET /"), vec!["POST /p ".into()], Err(Reject::BadMethod)),
        (post("", "\r\n") + HIDDEN, vec!["POST /p ".into(), "GET /hidden ".into()], Ok(())),
        (post("", "\r\n\r\n") + HIDDEN, vec!["POST /p ".into()], Err(Reject::BadMethod)),
        // An unfinished body waits.
        (post("Content-Length: 34\r\n", HIDDEN), vec![], Ok(())),
    ];
    for (stream, requests, end) in table {
        assert_eq!(read_stream(stream.as_bytes()), Reading { requests, end }, "{}", stream.escape_debug());
    }
}
