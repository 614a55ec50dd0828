//! The header fields that decide framing, connection and host, judged together when the head is complete.

use super::head::{Framing, Span};
use super::{authority, reject::Reject};
use http::Version;

/// What the fields read so far say.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) host: Option<Span>,
    content_length: Option<u64>,
    encoding: Encoding,
    close: bool,
    keep_alive: bool,
    pub(super) upgrade: bool,
    expect: Expect,
}

/// The list of transfer codings, across all Transfer-Encoding lines.
#[derive(Default, Clone, Copy, PartialEq)]
enum Encoding {
    #[default]
    Absent,
    Chunked,
    /// Codings that we do not know.
    Unknown,
    /// Codings that we do not know, and chunked behind them.
    UnknownChunked,
    /// chunked repeated or not last, or not a list of codings.
    Bad,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Expect {
    #[default]
    Nothing,
    Continue,
    Unknown,
}

impl Facts {
    /// Takes one field in. `span` is where its value stands.
    pub(super) fn push(&mut self, name: &[u8], value: &[u8], span: Span) -> Result<(), Reject> {
        match name.len() {
            4 if is(name, b"Host") => {
                if self.host.is_some() {
                    return Err(Reject::HostRepeated);
                }
                if !authority::is_valid(value) {
                    return Err(Reject::BadHost);
                }
                self.host = Some(span);
            }
            6 if is(name, b"Expect") => self.push_expect(value),
            10 if is(name, b"Connection") => self.push_connection(value),
            14 if is(name, b"Content-Length") => {
                if self.content_length.is_some() {
                    return Err(Reject::ContentLengthRepeated);
                }
                self.content_length = Some(content_length(value)?);
            }
            17 if is(name, b"Transfer-Encoding") => self.push_encoding(value),
            _ => {}
        }
        Ok(())
    }

    fn push_connection(&mut self, value: &[u8]) {
        if is(value, b"keep-alive") {
            self.keep_alive = true;
            return;
        }
        for token in list(value) {
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
        }
    }

    fn push_expect(&mut self, value: &[u8]) {
        for member in list(value) {
            match (self.expect, member.eq_ignore_ascii_case(b"100-continue")) {
                (Expect::Nothing | Expect::Continue, true) => self.expect = Expect::Continue,
                _ => self.expect = Expect::Unknown,
            }
        }
    }

    fn push_encoding(&mut self, value: &[u8]) {
        for coding in list(value) {
            let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.encoding = match (self.encoding, coding) {
                // An empty member is a list that somebody tampered with, or joined badly.
                (_, b"") => Encoding::Bad,
                (Encoding::Absent, _) if is_chunked => Encoding::Chunked,
                (Encoding::Unknown, _) if is_chunked => Encoding::UnknownChunked,
                (Encoding::Absent | Encoding::Unknown, _) => match coding_name(coding) {
                    // chunked takes no parameters (RFC 9112, 7.1), so this one is not what it seems.
                    Some(name) if name.eq_ignore_ascii_case(b"chunked") => Encoding::Bad,
                    Some(_) => Encoding::Unknown,
                    None => Encoding::Bad,
                },
                (Encoding::Chunked | Encoding::UnknownChunked | Encoding::Bad, _) => Encoding::Bad,
            };
        }
    }

    /// RFC 9112, 6.3: how long the body is.
    pub(super) fn framing(&self, version: Version) -> Result<Framing, Reject> {
        match (self.encoding, self.content_length) {
            (Encoding::Absent, None) => Ok(Framing::None),
            (Encoding::Absent, Some(length)) => Ok(Framing::Length(length)),
            (_, Some(_)) => Err(Reject::LengthAndEncoding),
            (_, None) if version == Version::HTTP_10 => Err(Reject::EncodingInOldVersion),
            (Encoding::Chunked, None) => Ok(Framing::Chunked),
            (Encoding::Unknown | Encoding::UnknownChunked, None) => Err(Reject::UnknownTransferEncoding),
            (Encoding::Bad, None) => Err(Reject::BadTransferEncoding),
        }
    }

    /// RFC 9112, 9.3: close wins; then the version's default.
    pub(super) fn keep_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::HTTP_11 || self.keep_alive)
    }

    /// RFC 9110, 10.1.1: ignored in HTTP/1.0; anything but 100-continue is answered 417.
    pub(super) fn expect_continue(&self, version: Version) -> Result<bool, Reject> {
        match self.expect {
            _ if version == Version::HTTP_10 => Ok(false),
            Expect::Nothing => Ok(false),
            Expect::Continue => Ok(true),
            Expect::Unknown => Err(Reject::ExpectationFailed),
        }
    }
}

/// Whether `bytes` is `word` in any case; quick if it is in the usual one.
#[inline]
fn is<const LEN: usize>(bytes: &[u8], word: &[u8; LEN]) -> bool {
    bytes == word || bytes.eq_ignore_ascii_case(word)
}

/// The members of a comma-separated list without the whitespace around them; empty ones are kept.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// The token of a transfer coding, in front of its parameters; `None` if there is none.
fn coding_name(coding: &[u8]) -> Option<&[u8]> {
    let end = coding.iter().position(|&byte| byte == b';').unwrap_or(coding.len());
    let name = coding[..end].trim_ascii_end();
    let is_token = name.iter().all(|&byte| super::request_line::TOKEN_BYTE[byte as usize]);
    (is_token && !name.is_empty()).then_some(name)
}

/// Content-Length = 1*DIGIT, without sign, list, leading zeros or overflow.
fn content_length(value: &[u8]) -> Result<u64, Reject> {
    if value.is_empty() || (value.len() > 1 && value[0] == b'0') {
        return Err(Reject::BadContentLength);
    }
    value.iter().try_fold(0u64, |length, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Reject::BadContentLength);
        }
        length
            .checked_mul(10)
            .and_then(|length| length.checked_add(u64::from(digit)))
            .ok_or(Reject::BadContentLength)
    })
}
