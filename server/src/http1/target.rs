//! Percent-decoding of what a request target carries (RFC 3986, 2.1).

use std::borrow::Cow;

/// Why a piece of a target cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadPath {
    /// A `%` without two hexadecimal digits behind it.
    Escape,
    /// A NUL byte, plain or encoded.
    Nul,
    /// The decoded bytes are not UTF-8.
    Utf8,
}

impl std::fmt::Display for BadPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            BadPath::Escape => "invalid percent-encoding",
            BadPath::Nul => "NUL in a path",
            BadPath::Utf8 => "a path that is not UTF-8",
        })
    }
}

impl std::error::Error for BadPath {}

/// Decodes one path segment, once. `+` stays `+`.
///
/// Split the path at its slashes first: an encoded slash decodes to a slash, which is data of its segment and no
/// separator (RFC 3986, 2.2).
///
/// ```
/// use sws::http1::target::{BadPath, decode_path};
///
/// assert_eq!(decode_path("caf%C3%A9").unwrap(), "café");
/// assert_eq!(decode_path("100%"), Err(BadPath::Escape));
/// ```
pub fn decode_path(raw: &str) -> Result<Cow<'_, str>, BadPath> {
    let raw_bytes = raw.as_bytes();
    if memchr::memchr2(b'%', 0, raw_bytes).is_none() {
        return Ok(Cow::Borrowed(raw));
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw_bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let high = hex_digit(*high).ok_or(BadPath::Escape)?;
                (high << 4 | hex_digit(*low).ok_or(BadPath::Escape)?, tail)
            }
            (b'%', _) => return Err(BadPath::Escape),
            (byte, tail) => (byte, tail),
        };
        if byte == 0 {
            return Err(BadPath::Nul);
        }
        decoded.push(byte);
        rest = tail;
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| BadPath::Utf8)
}

/// The value of a hexadecimal digit.
pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_once() {
        for (raw, decoded) in
            [("", ""), ("a b", "a b"), ("%2561", "%61"), ("a+b", "a+b"), ("%2F%2e", "/."), ("é", "é")]
        {
            assert_eq!(decode_path(raw).as_deref(), Ok(decoded), "{raw}");
        }
        assert!(matches!(decode_path("plain"), Ok(Cow::Borrowed("plain"))));
    }

    #[test]
    fn refuses() {
        let table = [
            ("%", BadPath::Escape),
            ("%1", BadPath::Escape),
            ("%g0", BadPath::Escape),
            ("%0g", BadPath::Escape),
            ("%%41", BadPath::Escape),
            ("%+1", BadPath::Escape),
            ("%00", BadPath::Nul),
            ("a\0b", BadPath::Nul),
            ("%ff", BadPath::Utf8),
            ("%c0%af", BadPath::Utf8),
            ("%ed%a0%80", BadPath::Utf8),
        ];
        for (raw, error) in table {
            assert_eq!(decode_path(raw), Err(error), "{raw:?}");
        }
    }
}
