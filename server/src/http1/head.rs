//! A request head, decoded in place: offsets into the bytes and the facts that the connection needs.

use super::fields::Facts;
use super::limits::{HEAD_BYTES_CEILING, HEADERS_CEILING, HeadLimits};
use super::reject::Reject;
use super::request_line::{self, Line, RequestLine};
use super::scan;
use http::{Method, Version};
use std::ops::Range;

/// What the start of the bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decoded {
    /// A whole head, described by the `Head`; the body starts at `Head::len`.
    Complete,
    /// A part of a head that may still become a good one.
    NeedMore,
    /// Not a head, whatever follows: answer and close.
    Reject(Reject),
}

/// How the end of the body is found (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// Content-Length: exactly this many bytes, perhaps 0.
    Length(u64),
    /// Transfer-Encoding: chunked.
    Chunked,
}

/// A range of the head's bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// `range` lies within `HEAD_BYTES_CEILING`, which the window of `decode` ensures.
    fn new(range: &Range<usize>) -> Self {
        debug_assert!(range.start <= range.end && range.end <= HEAD_BYTES_CEILING);
        Span { start: range.start as u16, end: range.end as u16 }
    }

    fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[usize::from(self.start)..usize::from(self.end)]
    }

    /// What the decoder saw was ASCII, so this is empty only for bytes that it did not see.
    fn text(self, bytes: &[u8]) -> &str {
        std::str::from_utf8(self.of(bytes)).unwrap_or_default()
    }
}

#[derive(Clone, Copy)]
struct Field {
    name: Span,
    value: Span,
}

/// A decoded request head. It holds no bytes: the accessors that return some take the slice that was decoded, which
/// may have grown or moved since, and panic if it is shorter than [`Head::len`].
///
/// It is made to be used again: its list of fields keeps its memory, so decoding does not allocate after warm-up.
///
/// ```
/// use sws::http1::{Decoded, Framing, Head, HeadLimits, decode};
///
/// let bytes = b"POST /echo?x=1 HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello";
/// let mut head = Head::default();
/// assert_eq!(decode(bytes, &HeadLimits::default(), &mut head), Decoded::Complete);
/// assert_eq!(head.method(), http::Method::POST);
/// assert_eq!(head.path(bytes), "/echo");
/// assert_eq!(head.query(bytes), Some("x=1"));
/// assert_eq!(head.header(bytes, "host"), Some(&b"example.com"[..]));
/// assert_eq!(head.framing(), Framing::Length(5));
/// assert_eq!(&bytes[head.len()..], b"hello");
/// ```
#[derive(Clone)]
pub struct Head {
    method: Method,
    version: Version,
    len: u16,
    target: Span,
    path: Span,
    query: Option<Span>,
    host: Option<Span>,
    framing: Framing,
    keep_alive: bool,
    expect_continue: bool,
    upgrade: bool,
    fields: Vec<Field>,
}

impl Default for Head {
    fn default() -> Self {
        Head {
            method: Method::GET,
            version: Version::HTTP_11,
            len: 0,
            target: Span::default(),
            path: Span::default(),
            query: None,
            host: None,
            framing: Framing::None,
            keep_alive: false,
            expect_continue: false,
            upgrade: false,
            fields: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Head")
            .field("method", &self.method)
            .field("version", &self.version)
            .field("len", &self.len)
            .field("framing", &self.framing)
            .field("keep_alive", &self.keep_alive)
            .field("fields", &self.fields.len())
            .finish_non_exhaustive()
    }
}

impl Head {
    /// Forgets what was decoded and keeps the memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Head { fields, ..Head::default() };
    }

    /// The method; one that `http` does not know is an extension method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// HTTP/1.0 or HTTP/1.1; a higher minor version counts as HTTP/1.1 (RFC 9110, 2.5).
    pub fn version(&self) -> Version {
        self.version
    }

    /// The request target as it was sent.
    pub fn target<'b>(&self, bytes: &'b [u8]) -> &'b str {
        self.target.text(bytes)
    }

    /// The path of the target, still percent-encoded. It begins with `/`, or is `*` for a server-wide OPTIONS.
    pub fn path<'b>(&self, bytes: &'b [u8]) -> &'b str {
        // What the decoder saw was ASCII.
        std::str::from_utf8(self.path_bytes(bytes)).unwrap_or_default()
    }

    /// The bytes of [`Head::path`].
    #[inline]
    pub(crate) fn path_bytes<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        if self.path.start == self.path.end {
            // RFC 9112, 3.2.1 and 3.2.4: an empty path is "/", or "*" for an OPTIONS without a query.
            return if self.method == Method::OPTIONS && self.query.is_none() { b"*" } else { b"/" };
        }
        self.path.of(bytes)
    }

    /// What stands behind the first `?` of the target, still percent-encoded.
    pub fn query<'b>(&self, bytes: &'b [u8]) -> Option<&'b str> {
        self.query.map(|query| query.text(bytes))
    }

    /// The host with its port: the authority of an absolute-form target, else the value of Host. There is one in
    /// every HTTP/1.1 request.
    pub fn host<'b>(&self, bytes: &'b [u8]) -> Option<&'b str> {
        self.host.map(|host| host.text(bytes))
    }

    /// The value of the first field of this name, in any case.
    pub fn header<'b>(&self, bytes: &'b [u8], name: &str) -> Option<&'b [u8]> {
        let field =
            self.fields.iter().find(|field| field.name.of(bytes).eq_ignore_ascii_case(name.as_bytes()))?;
        Some(field.value.of(bytes))
    }

    /// All fields in their order: name as it was sent, value without the whitespace around it.
    pub fn headers<'h, 'b: 'h>(&'h self, bytes: &'b [u8]) -> impl Iterator<Item = (&'b str, &'b [u8])> + 'h {
        self.fields.iter().map(move |field| (field.name.text(bytes), field.value.of(bytes)))
    }

    /// How the end of the body is found.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the connection may carry another request after this one.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether the peer waits for `100 Continue` before it sends the body.
    pub fn expect_continue(&self) -> bool {
        self.expect_continue
    }

    /// Whether `Connection: upgrade` is there (never in HTTP/1.0).
    pub fn upgrade(&self) -> bool {
        self.upgrade
    }

    /// Bytes of the whole head, from a leading empty line (if there was one) to the blank line, both included.
    #[allow(clippy::len_without_is_empty, reason = "a decoded head is never empty")]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    fn set_line(&mut self, line: RequestLine) {
        self.method = line.method;
        self.version = line.version;
        self.target = Span::new(&line.target);
        self.path = Span::new(&line.path);
        self.query = line.query.as_ref().map(Span::new);
        self.host = line.authority.as_ref().map(Span::new);
    }

    fn set_facts(&mut self, facts: &Facts) -> Result<(), Reject> {
        let version = self.version;
        // RFC 9112, 3.2: an HTTP/1.1 request without Host is answered 400, whatever the form of its target.
        if facts.host.is_none() && version == Version::HTTP_11 {
            return Err(Reject::HostMissing);
        }
        // RFC 9112, 3.2.2: with an absolute-form target the received Host is ignored.
        self.host = self.host.or(facts.host);
        self.framing = facts.framing(version)?;
        self.keep_alive = facts.keep_alive(version);
        self.expect_continue = facts.expect_continue(version)?;
        // RFC 9110, 7.8: Upgrade in an HTTP/1.0 request is ignored.
        self.upgrade = facts.upgrade && version == Version::HTTP_11;
        Ok(())
    }
}

/// Decodes the request head at the start of `bytes`. `head` is meaningful only after `Decoded::Complete`.
///
/// For any prefix of `bytes` the answer is `NeedMore` or the same `Reject`; it is never `NeedMore` once the blank line
/// is there, and never once the limits are reached.
///
/// ```
/// use sws::http1::{Decoded, Head, HeadLimits, Reject, decode};
///
/// let (limits, mut head) = (HeadLimits::default(), Head::default());
/// assert_eq!(decode(b"GET / HT", &limits, &mut head), Decoded::NeedMore);
/// assert_eq!(decode(b"GET / HTTP/1.1\n", &limits, &mut head), Decoded::Reject(Reject::BadLineEnd));
/// ```
pub fn decode(bytes: &[u8], limits: &HeadLimits, head: &mut Head) -> Decoded {
    let bytes_max = limits.head_bytes_max.min(HEAD_BYTES_CEILING);
    // Nothing beyond the limit is looked at, so a head that is over it is judged alike whether or not its end is here.
    let window = &bytes[..bytes.len().min(bytes_max)];
    let is_full = bytes.len() >= bytes_max;
    let line = match request_line::decode(window, limits) {
        Line::Complete(line) => line,
        Line::Incomplete if is_full => return Decoded::Reject(Reject::TargetTooLong),
        Line::Incomplete => return Decoded::NeedMore,
        Line::Reject(reject) => return Decoded::Reject(reject),
    };
    let fields_start = line.end;
    head.fields.clear();
    head.set_line(line);
    if decode_plain_fields(window, fields_start, limits, head) == Some(()) {
        return Decoded::Complete;
    }
    head.fields.clear();
    match decode_fields(window, fields_start, limits, head) {
        Ok(true) => Decoded::Complete,
        Ok(false) if is_full => Decoded::Reject(Reject::HeadTooLarge),
        Ok(false) => Decoded::NeedMore,
        Err(reject) => Decoded::Reject(reject),
    }
}

/// Reads the header section that begins at `start`, if it is whole, good and of the plain kind that clients send, with a
/// quarter fewer instructions per head than by way of httparse. `None` says nothing about the section: then
/// [`decode_fields`] judges it. What this accepts, that accepts (a test and the fuzz target `head` compare the two).
fn decode_plain_fields(window: &[u8], start: usize, limits: &HeadLimits, head: &mut Head) -> Option<()> {
    let fields_max = limits.headers_max.min(HEADERS_CEILING);
    let mut facts = Facts::default();
    let mut at = start;
    while window.get(at) != Some(&b'\r') {
        let line = window.get(at..)?;
        let name_len = scan::plain_name_len(line);
        let (name, rest) = line.split_at(name_len);
        let value_at = match rest {
            [b':', b' ', b' ', ..] => return None,
            [b':', b' ', ..] => name_len + 2,
            [b':', ..] => name_len + 1,
            _ => return None,
        };
        let value_len = scan::text_len(&line[value_at..]);
        let (value, end) = line[value_at..].split_at(value_len);
        if name.is_empty()
            || value.last() == Some(&b' ')
            || !end.starts_with(b"\r\n")
            || head.fields.len() == fields_max
        {
            return None;
        }
        let value_start = at + value_at;
        let field = Field {
            name: Span::new(&(at..at + name_len)),
            value: Span::new(&(value_start..value_start + value_len)),
        };
        facts.push(name, value, field.value).ok()?;
        head.fields.push(field);
        at = value_start + value_len + 2;
    }
    if window.get(at + 1) != Some(&b'\n') {
        return None;
    }
    head.len = (at + 2) as u16;
    head.set_facts(&facts).ok()
}

/// Heads with up to this many fields are read with the small table, which is cheaper to set up.
const FIELDS_SMALL: usize = 16;

/// Reads the header section that begins at `start`; `Ok(false)` if it is not all here.
fn decode_fields(window: &[u8], start: usize, limits: &HeadLimits, head: &mut Head) -> Result<bool, Reject> {
    let fields_max = limits.headers_max.min(HEADERS_CEILING);
    let section = &window[start..];
    let mut small = [httparse::EMPTY_HEADER; FIELDS_SMALL];
    match httparse::parse_headers(section, &mut small[..fields_max.min(FIELDS_SMALL)]) {
        Err(httparse::Error::TooManyHeaders) if fields_max > FIELDS_SMALL => {
            let mut large = [httparse::EMPTY_HEADER; HEADERS_CEILING];
            judge(httparse::parse_headers(section, &mut large[..fields_max]), window, start, head)
        }
        parsed => judge(parsed, window, start, head),
    }
}

/// What httparse found in one header section.
type Parsed<'t, 'b> = httparse::Result<(usize, &'t [httparse::Header<'b>])>;

/// Adds to what httparse ensures what it leaves open: line ends, framing, host, expectation.
fn judge(parsed: Parsed<'_, '_>, window: &[u8], start: usize, head: &mut Head) -> Result<bool, Reject> {
    let (section_len, fields) = match parsed {
        Ok(httparse::Status::Complete(found)) => found,
        Ok(httparse::Status::Partial) => return Ok(false),
        Err(httparse::Error::HeaderValue) => return Err(Reject::BadHeaderValue),
        Err(httparse::Error::NewLine) => return Err(Reject::BadLineEnd),
        Err(httparse::Error::TooManyHeaders) => return Err(Reject::TooManyHeaders),
        Err(_) => return Err(Reject::BadHeaderName),
    };
    let end = start + section_len;
    // httparse takes a bare LF for a line end. Each field's line must follow a CRLF, and so must the blank line.
    if !window[..end].ends_with(b"\r\n\r\n") {
        return Err(Reject::BadLineEnd);
    }
    let base = window.as_ptr().addr();
    let mut facts = Facts::default();
    for field in fields {
        let name_start = field.name.as_ptr().addr() - base;
        let value_start = field.value.as_ptr().addr() - base;
        if window[name_start - 2] != b'\r' {
            return Err(Reject::BadLineEnd);
        }
        let name = Span::new(&(name_start..name_start + field.name.len()));
        let value = Span::new(&(value_start..value_start + field.value.len()));
        facts.push(field.name.as_bytes(), field.value, value)?;
        head.fields.push(Field { name, value });
    }
    head.len = end as u16;
    head.set_facts(&facts)?;
    Ok(true)
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
