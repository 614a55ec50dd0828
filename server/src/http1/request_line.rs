//! The request line, read strictly from left to right, so that a prefix can only say `Incomplete` or what the whole
//! line says.

use super::limits::{HeadLimits, METHOD_BYTES_MAX};
use super::{authority, reject::Reject, scan};
use http::{Method, Version};
use std::ops::Range;

/// What one look at the start of the bytes gives.
pub(super) enum Line {
    /// The line is not all here, and what is here may become valid.
    Incomplete,
    /// The line is wrong, whatever follows.
    Reject(Reject),
    /// The line with its CRLF is here.
    Complete(RequestLine),
}

/// The parts of a valid request line, as ranges of the bytes it was read from.
pub(super) struct RequestLine {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) target: Range<usize>,
    /// Empty for an absolute-form without a path, which means "/".
    pub(super) path: Range<usize>,
    /// Without the question mark.
    pub(super) query: Option<Range<usize>>,
    /// The authority of an absolute-form target.
    pub(super) authority: Option<Range<usize>>,
    /// First byte behind the line's CRLF.
    pub(super) end: usize,
}

/// tchar of RFC 9110, 5.6.2.
pub(super) static TOKEN_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
    let mut index = 0;
    while index < allowed.len() {
        table[allowed[index] as usize] = true;
        index += 1;
    }
    table
};

/// Reads the request line at the start of `bytes`.
pub(super) fn decode(bytes: &[u8], limits: &HeadLimits) -> Line {
    // RFC 9112, 2.2: a server SHOULD ignore at least one empty line (CRLF) before the request line. One is ignored.
    let start = match bytes {
        [] | [b'\r'] => return Line::Incomplete,
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => return Line::Reject(Reject::BadLineEnd),
        _ => 0,
    };
    let (method, target_start) = match method(bytes, start) {
        Ok(found) => found,
        Err(line) => return line,
    };
    let (target_end, query) = match target_end(bytes, target_start, limits.target_bytes_max) {
        Ok(found) => found,
        Err(line) => return line,
    };
    let mut line = RequestLine {
        method,
        version: Version::HTTP_11,
        target: target_start..target_end,
        path: target_start..query.unwrap_or(target_end),
        query: query.map(|at| at + 1..target_end),
        authority: None,
        end: 0,
    };
    if let Err(reject) = split_target(&bytes[target_start..target_end], &mut line) {
        return Line::Reject(reject);
    }
    match version(&bytes[target_end + 1..]) {
        Ok(version) => line.version = version,
        Err(end) => return end,
    }
    line.end = target_end + 1 + VERSION_LINE_BYTES;
    Line::Complete(line)
}

/// The method and the first byte behind its space.
fn method(bytes: &[u8], start: usize) -> Result<(Method, usize), Line> {
    let rest = &bytes[start..];
    if rest.starts_with(b"GET ") {
        return Ok((Method::GET, start + 4));
    }
    let window = &rest[..rest.len().min(METHOD_BYTES_MAX + 1)];
    match window.iter().position(|&byte| !TOKEN_BYTE[byte as usize]) {
        None if window.len() > METHOD_BYTES_MAX => Err(Line::Reject(Reject::MethodTooLong)),
        None => Err(Line::Incomplete),
        Some(len) if len > 0 && window[len] == b' ' => match Method::from_bytes(&window[..len]) {
            Ok(method) => Ok((method, start + len + 1)),
            Err(_) => Err(Line::Reject(Reject::BadMethod)),
        },
        Some(_) => Err(Line::Reject(Reject::BadMethod)),
    }
}

/// The index of the space behind the target, and of the first `?` in it.
fn target_end(bytes: &[u8], start: usize, bytes_max: usize) -> Result<(usize, Option<usize>), Line> {
    let rest = &bytes[start..];
    let window = &rest[..rest.len().min(bytes_max.saturating_add(1))];
    let path_len = scan::target_path_len(window);
    let (len, query) = match window.get(path_len) {
        Some(b'?') => (path_len + scan::target_len(&window[path_len..]), Some(start + path_len)),
        _ => (path_len, None),
    };
    match window.get(len) {
        None if len > bytes_max => Err(Line::Reject(Reject::TargetTooLong)),
        None => Err(Line::Incomplete),
        Some(b' ') if len > 0 => Ok((start + len, query)),
        Some(_) => Err(Line::Reject(Reject::BadTarget)),
    }
}

/// Judges the target by its form (RFC 9112, 3.2), and finds the authority of an absolute-form.
fn split_target(target: &[u8], line: &mut RequestLine) -> Result<(), Reject> {
    let start = line.target.start;
    if line.method == Method::CONNECT {
        // RFC 9112, 3.2.3: CONNECT takes the authority-form and nothing else.
        let valid = authority::is_valid_with_port(target);
        return Err(if valid { Reject::ConnectUnsupported } else { Reject::BadTarget });
    }
    if target[0] == b'/' {
        return Ok(());
    }
    if target == b"*" {
        // RFC 9112, 3.2.4: the asterisk-form is only used for a server-wide OPTIONS.
        return if line.method == Method::OPTIONS { Ok(()) } else { Err(Reject::BadTarget) };
    }
    // RFC 9112, 3.2.2: a server MUST accept the absolute-form.
    let scheme_len = [&b"http://"[..], b"https://"]
        .iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .map(|scheme| scheme.len())
        .ok_or(Reject::BadTarget)?;
    let rest = &target[scheme_len..];
    let authority_end = scheme_len + memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    // RFC 9110, 4.2.4: user information in an http URI is an error.
    if !authority::is_valid(&target[scheme_len..authority_end]) {
        return Err(Reject::BadTarget);
    }
    line.authority = Some(start + scheme_len..start + authority_end);
    line.path.start = start + authority_end;
    Ok(())
}

const VERSION_LINE_BYTES: usize = 10;

/// `HTTP/1.x` and CRLF at the start of `rest`.
fn version(rest: &[u8]) -> Result<Version, Line> {
    match rest.first_chunk::<VERSION_LINE_BYTES>() {
        Some(b"HTTP/1.1\r\n") => return Ok(Version::HTTP_11),
        Some(b"HTTP/1.0\r\n") => return Ok(Version::HTTP_10),
        _ => {}
    }
    let mut major = 0;
    let mut minor = 0;
    for (at, &expected) in b"HTTP/d.d\r\n".iter().enumerate() {
        let Some(&byte) = rest.get(at) else { return Err(Line::Incomplete) };
        match at {
            5 if byte.is_ascii_digit() => major = byte - b'0',
            7 if byte.is_ascii_digit() && major != 1 => return Err(Line::Reject(Reject::VersionUnsupported)),
            7 if byte.is_ascii_digit() => minor = byte - b'0',
            _ if byte == expected && at != 5 && at != 7 => {}
            8 | 9 => return Err(Line::Reject(Reject::BadLineEnd)),
            _ => return Err(Line::Reject(Reject::BadVersion)),
        }
    }
    // RFC 9110, 2.5: a higher minor version SHOULD be processed as the highest one of that major version we conform to.
    Ok(if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 })
}
