//! [`Event`]: what a client gets, and its bytes on the wire.

use memchr::{memchr2, memchr3};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// Why an event cannot be made.
///
/// ```
/// use std::collections::HashMap;
/// use sws::sse::{Event, EventError};
///
/// let no_json = HashMap::from([([1, 2], "a key that is no string")]);
/// assert!(matches!(Event::json(&no_json), Err(EventError::Json(_))));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum EventError {
    /// The value cannot be written as JSON.
    Json(serde_json::Error),
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventError::Json(error) => write!(f, "not to be written as JSON: {error}"),
        }
    }
}

impl std::error::Error for EventError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EventError::Json(error) => Some(error),
        }
    }
}

/// One event. Text over several lines (ended by LF, CR LF or CR) goes out line by line, and the client puts it together with LF; so no text
/// can become another field.
///
/// An id and a name are one line: one with a line break or a NUL is left out, as a client leaves out an id with a NUL.
///
/// ```
/// use sws::sse::Event;
///
/// let mut bytes = Vec::new();
/// Event::data("one\ntwo").id("7").event("numbers").encode(&mut bytes);
/// assert_eq!(bytes, b"event: numbers\nid: 7\ndata: one\ndata: two\n\n");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    comment: Option<Cow<'a, str>>,
    event: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    retry: Option<Duration>,
    data: Option<Cow<'a, str>>,
}

impl<'a> Event<'a> {
    /// An event with this text.
    pub fn data(data: impl Into<Cow<'a, str>>) -> Event<'a> {
        Event { data: Some(data.into()), ..Event::default() }
    }

    /// A comment, which clients leave out.
    pub fn comment(text: impl Into<Cow<'a, str>>) -> Event<'a> {
        Event { comment: Some(text.into()), ..Event::default() }
    }

    /// An event with a value as JSON.
    ///
    /// # Errors
    /// [`EventError::Json`] when it cannot be written so: a map with keys that are no strings, for instance.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Event<'static>, EventError> {
        serde_json::to_string(value).map(Event::data).map_err(EventError::Json)
    }

    /// Sets the id, which the client sends as `Last-Event-ID` when it comes again. An empty one makes it forget that.
    #[must_use]
    pub fn id(mut self, id: impl Into<Cow<'a, str>>) -> Event<'a> {
        self.id = Some(id.into()).filter(|id| is_one_line(id));
        self
    }

    /// Sets the name by which the page listens; without one it is `message`.
    #[must_use]
    pub fn event(mut self, name: impl Into<Cow<'a, str>>) -> Event<'a> {
        self.event = Some(name.into()).filter(|name| is_one_line(name));
        self
    }

    /// Asks the client to wait for so long before it comes again; exact to a millisecond.
    #[must_use]
    pub fn retry(mut self, after: Duration) -> Event<'a> {
        self.retry = Some(after);
        self
    }

    /// Appends the event as it is sent, the blank line at its end included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.encoded_len());
        if let Some(comment) = &self.comment {
            encode_lines(out, b": ", comment);
        }
        if let Some(name) = &self.event {
            encode_lines(out, b"event: ", name);
        }
        if let Some(id) = &self.id {
            encode_lines(out, b"id: ", id);
        }
        if let Some(after) = self.retry {
            encode_lines(out, b"retry: ", &after.as_millis().to_string());
        }
        if let Some(data) = &self.data {
            encode_lines(out, b"data: ", data);
        }
        out.push(b'\n');
    }

    /// Bytes that [`encode`](Event::encode) appends, or a few more.
    pub(super) fn encoded_len(&self) -> usize {
        const RETRY: usize = "retry: \n".len() + 39;
        let len = |prefix: usize, text: &Option<Cow<'_, str>>| {
            let each =
                |text: &Cow<'_, str>| Lines::of(text).map(|line| prefix + line.len() + 1).sum::<usize>();
            text.as_ref().map_or(0, each)
        };
        len(2, &self.comment)
            + len(7, &self.event)
            + len(4, &self.id)
            + self.retry.map_or(0, |_| RETRY)
            + len(6, &self.data)
            + 1
    }
}

impl<'a> From<&'a str> for Event<'a> {
    fn from(data: &'a str) -> Event<'a> {
        Event::data(data)
    }
}

impl From<String> for Event<'_> {
    fn from(data: String) -> Self {
        Event::data(data)
    }
}

fn is_one_line(text: &str) -> bool {
    memchr3(b'\n', b'\r', 0, text.as_bytes()).is_none()
}

fn encode_lines(out: &mut Vec<u8>, prefix: &[u8], text: &str) {
    for line in Lines::of(text) {
        out.extend_from_slice(prefix);
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
}

/// The lines of a text, without their ends. What ends with a line end has an empty line behind it.
struct Lines<'a>(Option<&'a str>);

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Lines<'a> {
        Lines(Some(text))
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.take()?;
        let Some(at) = memchr2(b'\n', b'\r', text.as_bytes()) else { return Some(text) };
        let (line, rest) = text.split_at(at);
        let end = if rest.starts_with("\r\n") { 2 } else { 1 };
        self.0 = Some(&rest[end..]);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn text(event: &Event<'_>) -> String {
        let mut out = Vec::new();
        event.encode(&mut out);
        assert!(out.len() <= event.encoded_len() && event.encoded_len() <= out.len() + 39, "{event:?}");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_and_lines() {
        let cases: &[(Event<'_>, &str)] = &[
            (Event::data(""), "data: \n\n"),
            (Event::data("a"), "data: a\n\n"),
            (Event::data(" a"), "data:  a\n\n"),
            (Event::data("a\nb"), "data: a\ndata: b\n\n"),
            (Event::data("a\r\nb"), "data: a\ndata: b\n\n"),
            (Event::data("a\rb"), "data: a\ndata: b\n\n"),
            (Event::data("a\n\rb"), "data: a\ndata: \ndata: b\n\n"),
            (Event::data("a\r\r\nb"), "data: a\ndata: \ndata: b\n\n"),
            (Event::data("a\n"), "data: a\ndata: \n\n"),
            (Event::data("\r\n"), "data: \ndata: \n\n"),
            (Event::data("x\n\nevent: y"), "data: x\ndata: \ndata: event: y\n\n"),
            (Event::data("é\u{2028}\u{85}"), "data: é\u{2028}\u{85}\n\n"),
            (Event::comment("hi"), ": hi\n\n"),
            (Event::comment("hi\ndata: no"), ": hi\n: data: no\n\n"),
            (Event::data("a").id("7").event("n"), "event: n\nid: 7\ndata: a\n\n"),
            (Event::default().id(""), "id: \n\n"),
            (Event::default().retry(Duration::from_millis(2500)), "retry: 2500\n\n"),
            (Event::default(), "\n"),
        ];
        for (event, expected) in cases {
            assert_eq!(text(event), *expected, "{event:?}");
        }
        assert!(text(&Event::default().retry(Duration::MAX)).starts_with("retry: 1844"));
    }

    #[test]
    fn an_id_or_a_name_that_is_not_one_line_is_left_out() {
        for bad in ["1\n2", "1\r2", "\n", "1\0", "x\ndata: injected"] {
            assert_eq!(text(&Event::data("a").id(bad).event(bad)), "data: a\n\n", "{bad:?}");
        }
        assert_eq!(text(&Event::data("a").id("1").id("2\n")), "data: a\n\n", "the later one holds");
    }

    #[test]
    fn json_is_one_line() {
        let event = Event::json(&HashMap::from([("text", "a\nb")])).unwrap();
        assert_eq!(text(&event), "data: {\"text\":\"a\\nb\"}\n\n");
        let error = Event::json(&HashMap::from([(vec![1], 1)])).unwrap_err();
        assert!(matches!(error, EventError::Json(_)) && std::error::Error::source(&error).is_some());
    }
}
