//! One byte range of a representation (RFC 9110, 14).

use super::conditional::{Validators, http_date_seconds};

/// What part of the representation is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeOutcome {
    /// All of it, as 200: no range, one that is not understood, or more than one.
    Whole,
    /// `start..end`, as 206 with [`content_range`].
    Partial {
        /// First byte.
        start: u64,
        /// One past the last byte; greater than `start`, at most the length.
        end: u64,
    },
    /// Nothing of it exists: 416 with [`content_range_unsatisfied`].
    Unsatisfiable,
}

/// Reads the value of a Range field for a representation of `len` bytes.
///
/// A malformed range, another unit and several ranges are answered with the whole, as RFC 9110, 14.2 allows.
///
/// ```
/// use sws::static_files::range::{RangeOutcome, parse};
///
/// assert_eq!(parse(b"bytes=0-4", 10), RangeOutcome::Partial { start: 0, end: 5 });
/// assert_eq!(parse(b"bytes=-4", 10), RangeOutcome::Partial { start: 6, end: 10 });
/// assert_eq!(parse(b"bytes=10-", 10), RangeOutcome::Unsatisfiable);
/// assert_eq!(parse(b"bytes=0-1,5-6", 10), RangeOutcome::Whole);
/// ```
pub fn parse(range: &[u8], len: u64) -> RangeOutcome {
    const UNIT: &[u8] = b"bytes=";
    let spec = match range.split_at_checked(UNIT.len()) {
        Some((unit, spec)) if unit.eq_ignore_ascii_case(UNIT) => spec.trim_ascii(),
        _ => return RangeOutcome::Whole,
    };
    let Some(dash) = spec.iter().position(|&byte| byte == b'-') else { return RangeOutcome::Whole };
    match (number(&spec[..dash]), number(&spec[dash + 1..])) {
        (Number::Value(start), Number::Value(last)) if last < start => RangeOutcome::Whole,
        (Number::Value(start), _) if start >= len && is_number_or_empty(&spec[dash + 1..]) => {
            RangeOutcome::Unsatisfiable
        }
        (Number::Value(start), Number::Value(last)) => {
            RangeOutcome::Partial { start, end: last.saturating_add(1).min(len) }
        }
        (Number::Value(start), Number::Empty) => RangeOutcome::Partial { start, end: len },
        // RFC 9110, 14.1.2: a suffix of zero bytes is unsatisfiable; one longer than the whole is the whole.
        (Number::Empty, Number::Value(0)) => RangeOutcome::Unsatisfiable,
        (Number::Empty, Number::Value(_)) if len == 0 => RangeOutcome::Whole,
        (Number::Empty, Number::Value(suffix)) => {
            RangeOutcome::Partial { start: len.saturating_sub(suffix), end: len }
        }
        (Number::Empty, Number::Empty) | (Number::Malformed, _) | (_, Number::Malformed) => {
            RangeOutcome::Whole
        }
    }
}

/// [`parse`], after If-Range (RFC 9110, 13.1.5) is judged: if its validator is not the representation's, the whole is
/// sent.
pub fn evaluate(
    range: Option<&[u8]>,
    if_range: Option<&[u8]>,
    len: u64,
    validators: &Validators,
) -> RangeOutcome {
    match (range, if_range) {
        (None, _) => RangeOutcome::Whole,
        (Some(range), None) => parse(range, len),
        (Some(range), Some(validator)) if if_range_holds(validator, validators) => parse(range, len),
        (Some(_), Some(_)) => RangeOutcome::Whole,
    }
}

/// RFC 9110, 13.1.5: the strong comparison of an entity tag, or the very same date. A client that has an entity tag
/// sends that, and every answer of ours has one.
fn if_range_holds(validator: &[u8], validators: &Validators) -> bool {
    match validator {
        [b'"', ..] => validator == validators.etag.as_str().as_bytes(),
        [b'W', b'/', ..] => false,
        _ => http_date_seconds(validator)
            .is_some_and(|seconds| Some(seconds) == validators.modified_unix_seconds),
    }
}

/// The Content-Range of a 206.
pub fn content_range(start: u64, end: u64, len: u64) -> String {
    assert!(start < end && end <= len, "a range within the representation");
    format!("bytes {start}-{}/{len}", end - 1)
}

/// The Content-Range of a 416.
pub fn content_range_unsatisfied(len: u64) -> String {
    format!("bytes */{len}")
}

enum Number {
    Empty,
    /// Saturated: what is larger than a `u64` lies behind the end of every representation.
    Value(u64),
    Malformed,
}

fn number(digits: &[u8]) -> Number {
    if digits.is_empty() {
        return Number::Empty;
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return Number::Malformed;
    }
    let value = digits
        .iter()
        .fold(0u64, |value, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Number::Value(value)
}

fn is_number_or_empty(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::static_files::conditional::ETag;

    const MAX: &str = "99999999999999999999999999";

    #[test]
    fn ranges_of_ten_bytes() {
        let partial = |start, end| RangeOutcome::Partial { start, end };
        let big_last = format!("bytes=3-{MAX}");
        let big_first = format!("bytes={MAX}-");
        let big_suffix = format!("bytes=-{MAX}");
        let table = [
            ("bytes=0-0", partial(0, 1)),
            ("bytes=0-", partial(0, 10)),
            ("bytes=9-", partial(9, 10)),
            ("bytes=3-5", partial(3, 6)),
            ("bytes=3-99", partial(3, 10)),
            ("bytes=-1", partial(9, 10)),
            ("bytes=-10", partial(0, 10)),
            ("bytes=-11", partial(0, 10)),
            ("BYTES=0-1", partial(0, 2)),
            ("bytes= 0-1 ", partial(0, 2)),
            (&big_last, partial(3, 10)),
            (&big_suffix, partial(0, 10)),
            ("bytes=10-", RangeOutcome::Unsatisfiable),
            ("bytes=10-11", RangeOutcome::Unsatisfiable),
            ("bytes=-0", RangeOutcome::Unsatisfiable),
            (&big_first, RangeOutcome::Unsatisfiable),
            ("", RangeOutcome::Whole),
            ("bytes", RangeOutcome::Whole),
            ("bytes=", RangeOutcome::Whole),
            ("bytes=-", RangeOutcome::Whole),
            ("bytes=5-3", RangeOutcome::Whole),
            ("bytes=0-1,3-4", RangeOutcome::Whole),
            ("bytes=a-b", RangeOutcome::Whole),
            ("bytes=1-b", RangeOutcome::Whole),
            ("bytes=99-b", RangeOutcome::Whole),
            ("bytes=+1-2", RangeOutcome::Whole),
            ("bytes=1--2", RangeOutcome::Whole),
            ("bytes=1", RangeOutcome::Whole),
            ("items=0-1", RangeOutcome::Whole),
        ];
        for (value, outcome) in table {
            assert_eq!(parse(value.as_bytes(), 10), outcome, "{value}");
        }
    }

    #[test]
    fn ranges_of_nothing() {
        assert_eq!(parse(b"bytes=0-", 0), RangeOutcome::Unsatisfiable);
        assert_eq!(parse(b"bytes=0-5", 0), RangeOutcome::Unsatisfiable);
        assert_eq!(parse(b"bytes=-5", 0), RangeOutcome::Whole);
    }

    #[test]
    fn if_range_needs_the_very_same_validator() {
        let validators =
            Validators { etag: ETag::new(10, 784_111_777, 5), modified_unix_seconds: Some(784_111_777) };
        let tag = validators.etag.as_str().to_owned();
        let weak = format!("W/{tag}");
        let partial = RangeOutcome::Partial { start: 0, end: 1 };
        let table = [
            (tag.as_str(), partial),
            (weak.as_str(), RangeOutcome::Whole),
            ("\"other\"", RangeOutcome::Whole),
            ("Sun, 06 Nov 1994 08:49:37 GMT", partial),
            ("Sun, 06 Nov 1994 08:49:38 GMT", RangeOutcome::Whole),
            ("Sun, 06 Nov 1994 08:49:36 GMT", RangeOutcome::Whole),
            ("yesterday", RangeOutcome::Whole),
        ];
        for (if_range, outcome) in table {
            assert_eq!(
                evaluate(Some(b"bytes=0-0"), Some(if_range.as_bytes()), 10, &validators),
                outcome,
                "{if_range}"
            );
        }
        assert_eq!(evaluate(Some(b"bytes=0-0"), None, 10, &validators), partial);
        assert_eq!(evaluate(None, Some(tag.as_bytes()), 10, &validators), RangeOutcome::Whole);
    }

    #[test]
    fn content_ranges() {
        assert_eq!(content_range(0, 5, 10), "bytes 0-4/10");
        assert_eq!(content_range_unsatisfied(10), "bytes */10");
    }
}
