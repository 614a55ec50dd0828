//! Values of query parameters and headers.

use super::Problem;
use crate::response::Response;
use percent_encoding::percent_decode;
use std::borrow::Cow;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use sws_content::log::Entry;

/// The pairs of a query string, decoded.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

fn decode(text: &str) -> Cow<'_, [u8]> {
    if text.contains('+') {
        return Cow::Owned(percent_decode(text.replace('+', " ").as_bytes()).collect());
    }
    percent_decode(text.as_bytes()).into()
}

/// A whole number, without a sign.
pub(super) fn number<T: FromStr>(field: &str, value: &[u8]) -> Result<T, Problem> {
    let digits =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| {
        let bits = size_of::<T>() * 8;
        Problem::field(field, &format!("it is to be a whole number of at most {bits} bits"))
    })
}

/// A number from 1 on.
pub(super) fn count(field: &str, value: &[u8]) -> Result<usize, Problem> {
    match number(field, value)? {
        0 => Err(Problem::field(field, "it is to be at least 1")),
        count => Ok(count),
    }
}

/// Milliseconds.
pub(super) fn millis(field: &str, value: &[u8]) -> Result<Duration, Problem> {
    number(field, value).map(Duration::from_millis)
}

/// Yes or no.
pub(super) fn flag(field: &str, value: &[u8]) -> Result<bool, Problem> {
    match value {
        b"true" | b"1" => Ok(true),
        b"false" | b"0" => Ok(false),
        _ => Err(Problem::field(field, "it is to be `true` or `false`")),
    }
}

/// How far ahead of the server's clock a record's time may lie. No record is older than those before it, so one from the future dates
/// all that follow.
const AHEAD: Duration = Duration::from_secs(600);

/// What a producer says and must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) field: &'static str,
    pub(super) what: &'static str,
}

impl From<Wrong> for Problem {
    fn from(wrong: Wrong) -> Problem {
        Problem::field(wrong.field, wrong.what)
    }
}

impl From<Wrong> for Response {
    fn from(wrong: Wrong) -> Response {
        Problem::from(wrong).into()
    }
}

/// The end of a key has one, and no content. No time lies too far ahead.
pub(super) fn check_entry(entry: &Entry<'_>) -> Result<(), Wrong> {
    if entry.tombstone && (entry.key.is_none() || !entry.payload.is_empty()) {
        return Err(Wrong { field: "tombstone", what: "a tombstone has a key and no payload" });
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let latest = now.saturating_add(AHEAD).as_millis();
    if entry.timestamp_ms.is_some_and(|ms| u128::from(ms) > latest) {
        return Err(Wrong { field: "timestamp", what: "it lies more than ten minutes in the future" });
    }
    Ok(())
}
