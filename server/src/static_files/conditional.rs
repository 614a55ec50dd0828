//! Conditional requests (RFC 9110, 13): what the client has already, and whether it may change what it saw.

use http::Method;
use std::time::UNIX_EPOCH;

/// Room for the longest tag: three numbers in hexadecimal, a sign, two separators and two quotes.
const ETAG_BYTES_MAX: usize = 48;

/// A strong entity tag made from length and modification time, quotes included. It holds its text in place.
///
/// ```
/// use sws::static_files::conditional::ETag;
///
/// assert_eq!(ETag::new(255, 784_111_777, 5).as_str(), "\"2ebc98a1.5-ff\"");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ETag {
    text: [u8; ETAG_BYTES_MAX],
    len: u8,
}

impl ETag {
    /// The tag of a file with this length and modification time (seconds since 1970, and nanoseconds).
    pub fn new(len: u64, modified_seconds: i64, modified_nanoseconds: u32) -> Self {
        use std::io::Write;
        let mut text = [0; ETAG_BYTES_MAX];
        let mut rest = &mut text[..];
        let sign = if modified_seconds < 0 { "-" } else { "" };
        let seconds = modified_seconds.unsigned_abs();
        let written = write!(rest, "\"{sign}{seconds:x}.{modified_nanoseconds:x}-{len:x}\"");
        assert!(written.is_ok(), "ETAG_BYTES_MAX holds every tag");
        let left = rest.len();
        ETag { text, len: (ETAG_BYTES_MAX - left) as u8 }
    }

    /// A tag that was made elsewhere, with its quotes; `None` if it is none, or longer than those made here.
    pub(crate) fn from_text(tag: &str) -> Option<Self> {
        let inner = tag.strip_prefix('"')?.strip_suffix('"')?;
        let is_opaque = inner.bytes().all(|byte| byte > b' ' && byte != b'"' && byte != 0x7f);
        if !is_opaque || tag.len() > ETAG_BYTES_MAX {
            return None;
        }
        let mut text = [0; ETAG_BYTES_MAX];
        text[..tag.len()].copy_from_slice(tag.as_bytes());
        Some(ETag { text, len: tag.len() as u8 })
    }

    /// The tag as it stands in a field.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl std::fmt::Debug for ETag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for ETag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What tells one state of a representation from another.
#[derive(Clone, Copy, Debug)]
pub struct Validators {
    /// Its entity tag.
    pub etag: ETag,
    /// Last-Modified, in whole seconds since 1970; `None` for a time before that.
    pub modified_unix_seconds: Option<u64>,
}

/// The conditional fields of a request, as they were sent.
///
/// ```
/// use http::Method;
/// use sws::static_files::conditional::{Conditions, ETag, Outcome, Validators};
///
/// let etag = ETag::new(5, 784_111_777, 0);
/// let validators = Validators { etag, modified_unix_seconds: Some(784_111_777) };
/// let conditions = Conditions { if_none_match: Some(etag.as_str().as_bytes()), ..Conditions::default() };
/// assert_eq!(conditions.evaluate(&Method::GET, &validators), Outcome::NotModified);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions<'a> {
    /// If-Match.
    pub if_match: Option<&'a [u8]>,
    /// If-None-Match.
    pub if_none_match: Option<&'a [u8]>,
    /// If-Modified-Since.
    pub if_modified_since: Option<&'a [u8]>,
    /// If-Unmodified-Since.
    pub if_unmodified_since: Option<&'a [u8]>,
}

/// What the conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Do what was asked; Range comes next.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412: the client saw another state.
    PreconditionFailed,
}

impl Conditions<'_> {
    /// Judges the conditions in the order of RFC 9110, 13.2.2, for a representation that exists.
    pub fn evaluate(&self, method: &Method, validators: &Validators) -> Outcome {
        let is_read = *method == Method::GET || *method == Method::HEAD;
        let modified = validators.modified_unix_seconds;
        let holds = match (self.if_match, self.if_unmodified_since) {
            (Some(list), _) => any_tag(list, &validators.etag, Comparison::Strong),
            // A date that cannot be parsed is ignored, as is the field where there is no modification time.
            (None, Some(date)) => match (http_date_seconds(date), modified) {
                (Some(date), Some(modified)) => modified <= date,
                _ => true,
            },
            (None, None) => true,
        };
        if !holds {
            return Outcome::PreconditionFailed;
        }
        match (self.if_none_match, self.if_modified_since) {
            (Some(list), _) if any_tag(list, &validators.etag, Comparison::Weak) => {
                if is_read {
                    Outcome::NotModified
                } else {
                    Outcome::PreconditionFailed
                }
            }
            (None, Some(date)) if is_read => match (http_date_seconds(date), modified) {
                (Some(date), Some(modified)) if modified <= date => Outcome::NotModified,
                _ => Outcome::Proceed,
            },
            _ => Outcome::Proceed,
        }
    }
}

/// The two comparisons of RFC 9110, 8.8.3.2. Our own tags are strong, so they differ in a `W/` of the other side.
#[derive(Clone, Copy, PartialEq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether `*` or a list of entity tags names this one. What is not a list of tags names nothing from there on.
fn any_tag(list: &[u8], etag: &ETag, comparison: Comparison) -> bool {
    let mut rest = list.trim_ascii();
    if rest == b"*" {
        return true;
    }
    loop {
        rest = rest.trim_ascii_start();
        while let [b',', tail @ ..] = rest {
            rest = tail.trim_ascii_start();
        }
        let (is_weak, tag) = match rest {
            [b'W', b'/', tag @ ..] => (true, tag),
            tag => (false, tag),
        };
        // A tag may hold commas, so its end is its second quote.
        let Some(close) = tag.get(1..).filter(|_| tag[0] == b'"').and_then(|rest| memchr::memchr(b'"', rest))
        else {
            return false;
        };
        let (tag, tail) = tag.split_at(close + 2);
        if tag == etag.as_str().as_bytes() && (!is_weak || comparison == Comparison::Weak) {
            return true;
        }
        rest = tail.trim_ascii_start();
        if !matches!(rest, [b',', ..]) {
            return false;
        }
    }
}

/// Seconds since 1970 of an HTTP date in any of its three forms (RFC 9110, 5.6.7).
pub(super) fn http_date_seconds(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let date = httpdate::parse_http_date(text).ok()?;
    date.duration_since(UNIX_EPOCH).ok().map(|duration| duration.as_secs())
}

/// The value of a Last-Modified field; `None` for a year that has no such form.
pub fn last_modified(unix_seconds: u64) -> Option<String> {
    const SECONDS_END: u64 = 253_402_300_800;
    let time = UNIX_EPOCH + std::time::Duration::from_secs(unix_seconds);
    (unix_seconds < SECONDS_END).then(|| httpdate::fmt_http_date(time))
}

#[cfg(test)]
#[path = "conditional_tests.rs"]
mod tests;
