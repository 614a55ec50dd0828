//! `uri-host [ ":" port ]` (RFC 9110, 7.2; RFC 3986, 3.2.2), validated byte by byte.

use super::scan;

/// Bytes of a reg-name or IPv4 address: unreserved, sub-delims and `%`. The comma is a sub-delim too, and is refused:
/// in a Host it is the mark of two values joined into one.
static HOST_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+;=";
    let mut index = 0;
    while index < allowed.len() {
        table[allowed[index] as usize] = true;
        index += 1;
    }
    table
};

/// Whether `value` is a non-empty host with an optional port.
pub(super) fn is_valid(value: &[u8]) -> bool {
    let (plain, rest) = value.split_at(scan::plain_host_len(value));
    match rest {
        [] => !plain.is_empty(),
        [b':', port @ ..] if !plain.is_empty() => port_is_valid(port),
        _ => is_valid_unusual(value),
    }
}

/// [`is_valid`] for every host, also an IP literal or one with escapes or sub-delims.
fn is_valid_unusual(value: &[u8]) -> bool {
    let host_end = if value.first() == Some(&b'[') {
        match ip_literal_end(value) {
            Some(end) => end,
            None => return false,
        }
    } else {
        let end = value.iter().position(|&byte| !HOST_BYTE[usize::from(byte)]).unwrap_or(value.len());
        if end == 0 || !escapes_are_valid(&value[..end]) {
            return false;
        }
        end
    };
    match value.get(host_end) {
        None => true,
        Some(b':') => port_is_valid(&value[host_end + 1..]),
        Some(_) => false,
    }
}

/// Whether `value` is a host with a port that is not empty: the authority-form of CONNECT (RFC 9112, 3.2.3).
pub(super) fn is_valid_with_port(value: &[u8]) -> bool {
    let has_port = memchr::memrchr(b':', value).is_some_and(|at| {
        let port = &value[at + 1..];
        !port.is_empty() && port.iter().all(u8::is_ascii_digit)
    });
    has_port && is_valid(value)
}

/// End of `[...]`; inside are the bytes of an IPv6 address or of an IPvFuture.
fn ip_literal_end(value: &[u8]) -> Option<usize> {
    let close = memchr::memchr(b']', value)?;
    let inside = &value[1..close];
    let valid = match inside.first() {
        None => false,
        Some(b'v' | b'V') => {
            inside.iter().all(|&byte| byte == b':' || (byte != b'%' && HOST_BYTE[usize::from(byte)]))
        }
        Some(_) => std::str::from_utf8(inside).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok()),
    };
    valid.then_some(close + 1)
}

fn escapes_are_valid(host: &[u8]) -> bool {
    let mut rest = host;
    while let Some(at) = memchr::memchr(b'%', rest) {
        match rest.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => rest = &rest[at + 3..],
            _ => return false,
        }
    }
    true
}

const PORT_DIGITS_MAX: usize = 5;

/// port = *DIGIT, and a port number that exists.
fn port_is_valid(port: &[u8]) -> bool {
    if port.len() > PORT_DIGITS_MAX {
        return false;
    }
    let number = port.iter().try_fold(0u32, |number, &byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| number * 10 + u32::from(digit))
    });
    number.is_some_and(|number| number <= u32::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let good = [
            "a",
            "localhost",
            "example.com",
            "example.com:80",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:443",
            "a:",
            "a_b-c.d~e",
            "%41.example",
            "[v1.a:b]",
            "a:65535",
            "xn--bcher-kva.example",
        ];
        for host in good {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
        let bad = [
            "", ":80", "a b", "a,b", "a/b", "a?b", "a#b", "u@a", "a:b", "a:80:80", "a:65536", "a:000080",
            "[::1", "::1", "[]", "[::1]x", "[::g]", "%4", "%zz", "a\\b", "a\tb", "h\u{e9}", "[v1.%41]",
            "a:+1", "http://a",
        ];
        for host in bad {
            assert!(!is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn connect_needs_a_port() {
        assert!(is_valid_with_port(b"example.com:443"));
        assert!(is_valid_with_port(b"[::1]:443"));
        for bad in ["example.com", "example.com:", "[::1]", ":443", "/", "*"] {
            assert!(!is_valid_with_port(bad.as_bytes()), "{bad}");
        }
    }
}
