//! Response heads and chunks, appended to an output that may already hold other responses.

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, StatusCode, Version};
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// The interim response that lets a peer send its body (RFC 9110, 10.1.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How the end of the response's body is marked (RFC 9112, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFraming {
    /// No body and no length: 1xx, 204, 304.
    None,
    /// Content-Length.
    Length(u64),
    /// Transfer-Encoding: chunked; for HTTP/1.1 only.
    Chunked,
    /// The end of the connection is the end of the body.
    CloseDelimited,
}

impl ResponseFraming {
    /// The framing for a body of this length, or of an unknown one, towards a peer of this version.
    ///
    /// ```
    /// use http::{StatusCode, Version};
    /// use sws::http1::ResponseFraming;
    ///
    /// let choose = ResponseFraming::choose;
    /// assert_eq!(choose(Version::HTTP_11, StatusCode::OK, None), ResponseFraming::Chunked);
    /// assert_eq!(choose(Version::HTTP_10, StatusCode::OK, None), ResponseFraming::CloseDelimited);
    /// assert_eq!(choose(Version::HTTP_11, StatusCode::NO_CONTENT, Some(0)), ResponseFraming::None);
    /// ```
    pub fn choose(version: Version, status: StatusCode, length: Option<u64>) -> Self {
        match length {
            _ if is_bodiless(status) => ResponseFraming::None,
            Some(length) => ResponseFraming::Length(length),
            // RFC 9112, 6.1: no Transfer-Encoding unless the request indicates HTTP/1.1 or later.
            None if version == Version::HTTP_10 => ResponseFraming::CloseDelimited,
            None => ResponseFraming::Chunked,
        }
    }
}

/// RFC 9112, 6.3: a response to which no body belongs, whatever its fields say.
fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// The facts of a response head; the other fields are passed beside it.
///
/// For HEAD pass what GET would pass, and send no body.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// Status of the response.
    pub status: StatusCode,
    /// Version of the request. The status line always says HTTP/1.1 (RFC 9110, 2.5); the version decides which
    /// Connection line is needed.
    pub version: Version,
    /// Whether the connection stays open behind this response. With `CloseDelimited` it does not.
    pub keep_alive: bool,
    /// How the end of the body is marked; ignored for 1xx, 204 and 304.
    pub framing: ResponseFraming,
    /// Value of Content-Type. One with control characters is left out.
    pub content_type: Option<&'a str>,
    /// The Date line.
    pub date: &'a DateCache,
}

/// Appends status line, fields and blank line to `out`.
///
/// Content-Length, Transfer-Encoding, Connection and Date come from `head` and are left out of `headers`, as is
/// Content-Type if `head` has one; a 101 keeps its own Connection.
///
/// ```
/// use http::{StatusCode, Version};
/// use sws::http1::{DateCache, ResponseFraming, ResponseHead, encode_head};
///
/// let date = DateCache::new(0);
/// let head = ResponseHead {
///     status: StatusCode::OK,
///     version: Version::HTTP_11,
///     keep_alive: true,
///     framing: ResponseFraming::Length(5),
///     content_type: Some("text/plain"),
///     date: &date,
/// };
/// let mut out = Vec::new();
/// encode_head(&mut out, &head, None);
/// assert_eq!(
///     out,
///     b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"
/// );
/// ```
pub fn encode_head<'h>(
    out: &mut Vec<u8>,
    head: &ResponseHead<'_>,
    headers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>,
) {
    const HEAD_ESTIMATE: usize = 256;
    out.reserve(HEAD_ESTIMATE);
    let content_type = head.content_type.filter(|value| is_clean(value));
    debug_assert_eq!(content_type, head.content_type, "a Content-Type with control characters");
    match content_type {
        // Nearly every answer: one copy of fixed length.
        Some(_) if head.status == StatusCode::OK => out.extend_from_slice(&head.date.usual),
        _ => {
            encode_status_line(out, head.status);
            if !head.status.is_informational() {
                out.extend_from_slice(head.date.line());
            }
            if content_type.is_some() {
                out.extend_from_slice(CONTENT_TYPE_NAME);
            }
        }
    }
    if let Some(value) = content_type {
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let is_switching = head.status == StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in headers {
        let is_ours = *name == CONTENT_LENGTH
            || *name == TRANSFER_ENCODING
            || *name == DATE
            || (*name == CONNECTION && !is_switching)
            || (*name == CONTENT_TYPE && content_type.is_some());
        if !is_ours {
            encode_field(out, name, value);
        }
    }
    encode_connection(out, head, is_switching);
    let framing = if is_bodiless(head.status) { ResponseFraming::None } else { head.framing };
    match framing {
        ResponseFraming::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            encode_decimal(out, length);
            out.extend_from_slice(b"\r\n\r\n");
        }
        ResponseFraming::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n"),
        ResponseFraming::None | ResponseFraming::CloseDelimited => out.extend_from_slice(b"\r\n"),
    }
}

/// Appends one chunk. Empty data adds nothing, because an empty chunk is the end of the body.
pub fn encode_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    const FRAME_BYTES_MAX: usize = 16 + 2 + 2;
    out.reserve(data.len() + FRAME_BYTES_MAX);
    let mut digits = [0; 16];
    let mut start = digits.len();
    let mut rest = data.len();
    while rest > 0 {
        start -= 1;
        digits[start] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
    }
    out.extend_from_slice(&digits[start..]);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk and an empty trailer section.
pub fn encode_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

fn encode_status_line(out: &mut Vec<u8>, status: StatusCode) {
    let line: &[u8] = match status.as_u16() {
        200 => OK_LINE,
        201 => b"HTTP/1.1 201 Created\r\n",
        204 => b"HTTP/1.1 204 No Content\r\n",
        206 => b"HTTP/1.1 206 Partial Content\r\n",
        301 => b"HTTP/1.1 301 Moved Permanently\r\n",
        302 => b"HTTP/1.1 302 Found\r\n",
        304 => b"HTTP/1.1 304 Not Modified\r\n",
        400 => b"HTTP/1.1 400 Bad Request\r\n",
        404 => b"HTTP/1.1 404 Not Found\r\n",
        405 => b"HTTP/1.1 405 Method Not Allowed\r\n",
        500 => b"HTTP/1.1 500 Internal Server Error\r\n",
        503 => b"HTTP/1.1 503 Service Unavailable\r\n",
        _ => {
            out.extend_from_slice(b"HTTP/1.1 ");
            out.extend_from_slice(status.as_str().as_bytes());
            // RFC 9112, 4: the space stays when there is no reason phrase.
            out.push(b' ');
            out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
            b"\r\n"
        }
    };
    out.extend_from_slice(line);
}

/// RFC 9112, 9.3: the Connection line, where the peer's default is not what happens.
fn encode_connection(out: &mut Vec<u8>, head: &ResponseHead<'_>, is_switching: bool) {
    if head.status.is_informational() && !is_switching {
        return;
    }
    let stays = head.keep_alive && head.framing != ResponseFraming::CloseDelimited;
    match (stays, head.version == Version::HTTP_10) {
        _ if is_switching => {}
        (true, false) => {}
        (true, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
    }
}

fn encode_field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether `value` can stand in a field line: no byte of it ends the line or hides.
pub(crate) fn is_clean(value: &str) -> bool {
    // Without an early end the loop is vectorised.
    value.bytes().fold(true, |clean, byte| clean & (byte >= b' ') & (byte != 0x7f))
}

/// Digits of the largest `u64`.
const DECIMAL_BYTES_MAX: usize = 20;

fn encode_decimal(out: &mut Vec<u8>, value: u64) {
    if value < 100 {
        let (tens, ones) = (b'0' + (value / 10) as u8, b'0' + (value % 10) as u8);
        return if tens == b'0' { out.push(ones) } else { out.extend_from_slice(&[tens, ones]) };
    }
    let mut digits = [0; DECIMAL_BYTES_MAX];
    let mut start = digits.len();
    let mut rest = value;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Bytes of an IMF-fixdate (RFC 9110, 5.6.7).
const DATE_BYTES: usize = 29;
const DATE_NAME: &[u8] = b"Date: ";
const DATE_LINE_BYTES: usize = DATE_NAME.len() + DATE_BYTES + 2;
const OK_LINE: &[u8] = b"HTTP/1.1 200 OK\r\n";
const CONTENT_TYPE_NAME: &[u8] = b"Content-Type: ";
const DATE_LINE: std::ops::Range<usize> = OK_LINE.len()..OK_LINE.len() + DATE_LINE_BYTES;
const USUAL_BYTES: usize = DATE_LINE.end + CONTENT_TYPE_NAME.len();

/// First second that an IMF-fixdate cannot say: the year 10000.
const DATE_SECONDS_END: u64 = 253_402_300_800;

/// The Date line of the current second, formatted once.
///
/// ```
/// use sws::http1::DateCache;
///
/// let mut date = DateCache::new(784_111_777);
/// assert_eq!(date.as_str(), "Sun, 06 Nov 1994 08:49:37 GMT");
/// date.update(784_111_778);
/// assert_eq!(date.as_str(), "Sun, 06 Nov 1994 08:49:38 GMT");
/// ```
#[derive(Clone, Debug)]
pub struct DateCache {
    unix_seconds: u64,
    /// What nearly every answer begins with: the status line of a 200, the Date line, the name of Content-Type.
    usual: [u8; USUAL_BYTES],
}

impl DateCache {
    /// A cache for this second.
    pub fn new(now_unix_seconds: u64) -> Self {
        let mut usual = [b' '; USUAL_BYTES];
        usual[..OK_LINE.len()].copy_from_slice(OK_LINE);
        usual[DATE_LINE.end..].copy_from_slice(CONTENT_TYPE_NAME);
        let mut cache = DateCache { unix_seconds: now_unix_seconds, usual };
        cache.format();
        cache
    }

    /// Makes it say `now_unix_seconds`, at the cost of a comparison if it does already.
    pub fn update(&mut self, now_unix_seconds: u64) {
        if now_unix_seconds != self.unix_seconds {
            self.unix_seconds = now_unix_seconds;
            self.format();
        }
    }

    /// The 29 bytes of the date.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.line()[DATE_NAME.len()..][..DATE_BYTES]).unwrap_or_default()
    }

    /// The whole line, from `Date: ` to CRLF.
    pub fn line(&self) -> &[u8] {
        &self.usual[DATE_LINE]
    }

    fn format(&mut self) {
        let seconds = self.unix_seconds.min(DATE_SECONDS_END - 1);
        let date = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds));
        let written = write!(&mut self.usual[DATE_LINE], "Date: {date}\r\n");
        assert!(written.is_ok(), "an IMF-fixdate has {DATE_BYTES} bytes");
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
