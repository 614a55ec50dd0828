//! [`Response`]: status, headers, body.

use std::fmt;
use std::io;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::body::{Body, BodyWriter};

/// `text/plain; charset=utf-8`
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
/// `text/html; charset=utf-8`
pub(crate) const HTML: &str = "text/html; charset=utf-8";
/// `application/json`
pub(crate) const JSON: &str = "application/json";
/// `application/octet-stream`
pub(crate) const OCTETS: &str = "application/octet-stream";

/// The answer to a request.
///
/// `Date`, `Content-Length`, `Transfer-Encoding` and `Connection` belong to the connection and need not be set. A
/// response with static text and no further header owns no heap memory.
///
/// ```
/// use sws::{Response, Router, TestClient, http::StatusCode};
///
/// fn teapot() -> Response {
///     Response::text("short and stout").with_status(StatusCode::IM_A_TEAPOT).with_header("x-handle", "here")
/// }
///
/// let response = TestClient::new(Router::new().get("/", teapot)).get("/").send();
/// assert_eq!(response.status(), 418);
/// assert_eq!(response.header("x-handle"), Some("here"));
/// assert_eq!(response.text(), "short and stout");
/// ```
pub struct Response {
    status: StatusCode,
    content_type: Option<&'static str>,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Body,
    /// The response could not be built as asked: it stays the 500 that says so.
    failed: bool,
}

/// The parts of a [`Response`], as the encoder takes them.
#[derive(Debug)]
pub struct ResponseParts {
    /// The status.
    pub status: StatusCode,
    /// The value of `Content-Type` where it is a constant; then `headers` has none.
    pub content_type: Option<&'static str>,
    /// The headers, in the order in which they were added.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Body,
}

impl Response {
    /// An empty response with this status.
    pub const fn new(status: StatusCode) -> Self {
        Self { status, content_type: None, headers: Vec::new(), body: Body::Empty, failed: false }
    }

    /// 200 with a body of this media type.
    pub fn with_type(content_type: &'static str, body: impl Into<Body>) -> Self {
        debug_assert!(crate::http1::encode::is_clean(content_type), "a media type is a header value");
        let mut response = Self::new(StatusCode::OK);
        response.content_type = Some(content_type);
        response.body = body.into();
        response
    }

    /// 200 with plain text (UTF-8).
    pub fn text(text: impl Into<Body>) -> Self {
        Self::with_type(TEXT, text)
    }

    /// 200 with HTML (UTF-8).
    pub fn html(html: impl Into<Body>) -> Self {
        Self::with_type(HTML, html)
    }

    /// 200 with bytes of no particular type (`application/octet-stream`).
    pub fn bytes(bytes: impl Into<Body>) -> Self {
        Self::with_type(OCTETS, bytes)
    }

    /// 200 with `value` as JSON; a value that cannot be serialised is a 500.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => Self::with_type(JSON, json),
            Err(_) => Self::failed(),
        }
    }

    /// 200 with a body that `write` produces while it is sent; see [`BodyWriter`].
    pub fn stream(
        content_type: &'static str,
        write: impl FnOnce(&mut BodyWriter<'_>) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Self::with_type(content_type, Body::stream(write))
    }

    /// 303 See Other: the client asks for `location` with GET. [`Redirect`](crate::Redirect) has the other statuses.
    pub fn redirect(location: &str) -> Self {
        Self::new(StatusCode::SEE_OTHER).with_header(LOCATION, location)
    }

    /// A status whose reason phrase is also the plain-text body.
    pub(crate) fn reason(status: StatusCode) -> Self {
        Self::text(status.canonical_reason().unwrap_or("")).with_status(status)
    }

    pub(crate) fn internal_error() -> Self {
        Self::reason(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// A 500 that no builder turns into something else: what was asked for cannot be sent.
    pub(crate) fn failed() -> Self {
        Self { failed: true, ..Self::internal_error() }
    }

    /// The same response with another status; see [`Response::set_status`].
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.set_status(status);
        self
    }

    /// The same response with another body; see [`Response::set_body`].
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.set_body(body);
        self
    }

    /// The same response with this header in place of any of that name; see [`Response::set_header`].
    #[must_use]
    pub fn with_header<K, V>(mut self, name: K, value: V) -> Self
    where
        K: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        self.set_header(name, value);
        self
    }

    /// Sets a header in place of any of that name.
    ///
    /// A name or a value that HTTP does not allow (a line break, say) turns the response into a 500 for good: it is
    /// neither sent nor silently dropped.
    pub fn set_header<K, V>(&mut self, name: K, value: V)
    where
        K: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        match header_pair(name, value) {
            Some((name, value)) => self.replace(name, value),
            None => *self = Self::failed(),
        }
    }

    /// Adds a header beside others of that name (`Set-Cookie`, `Link`), otherwise as [`Response::set_header`].
    pub fn append_header<K, V>(&mut self, name: K, value: V)
    where
        K: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        match header_pair(name, value) {
            Some((name, value)) => self.append(name, value),
            None => *self = Self::failed(),
        }
    }

    pub(crate) fn replace(&mut self, name: HeaderName, value: HeaderValue) {
        self.remove_header(&name);
        self.headers.push((name, value));
    }

    pub(crate) fn append(&mut self, name: HeaderName, value: HeaderValue) {
        if name == CONTENT_TYPE {
            self.remove_header(&name);
        }
        self.headers.push((name, value));
    }

    /// Removes every header of this name.
    pub fn remove_header(&mut self, name: &HeaderName) {
        if name == CONTENT_TYPE {
            self.content_type = None;
        }
        self.headers.retain(|(held, _)| held != name);
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Sets the status; a response that already failed to be built stays a 500.
    pub fn set_status(&mut self, status: StatusCode) {
        if !self.failed {
            self.status = status;
        }
    }

    /// The first value of this header as text; the name is compared without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        if name.eq_ignore_ascii_case(CONTENT_TYPE.as_str()) && self.content_type.is_some() {
            return self.content_type;
        }
        let (_, value) = self.headers.iter().find(|(held, _)| held.as_str().eq_ignore_ascii_case(name))?;
        value.to_str().ok()
    }

    /// All headers as a map of the `http` crate, built on each call.
    pub fn headers(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.headers.len() + 1);
        if let Some(content_type) = self.content_type {
            map.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in &self.headers {
            map.append(name, value.clone());
        }
        map
    }

    /// The body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Takes the body out and leaves an empty one, for middleware that changes it.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }

    /// Replaces the body; a response that already failed to be built keeps its own.
    pub fn set_body(&mut self, body: impl Into<Body>) {
        if !self.failed {
            self.body = body.into();
        }
    }

    /// Takes the response apart.
    pub fn into_parts(self) -> ResponseParts {
        let Self { status, content_type, headers, body, failed: _ } = self;
        ResponseParts { status, content_type, headers, body }
    }
}

impl Default for Response {
    fn default() -> Self {
        Self::new(StatusCode::OK)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("headers", &self.headers)
            .field("body", &self.body)
            .finish()
    }
}

impl<B: Into<Body>> From<http::Response<B>> for Response {
    /// Version and extensions are dropped: they do not go over the wire.
    fn from(response: http::Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        let mut headers = Vec::with_capacity(parts.headers.len());
        let mut last = None;
        for (name, value) in parts.headers {
            last = name.or(last);
            if let Some(name) = &last {
                headers.push((name.clone(), value));
            }
        }
        Self { status: parts.status, content_type: None, headers, body: body.into(), failed: false }
    }
}

impl From<Response> for http::Response<Body> {
    fn from(response: Response) -> Self {
        let mut converted = http::Response::new(Body::Empty);
        *converted.status_mut() = response.status;
        *converted.headers_mut() = response.headers();
        *converted.body_mut() = response.body;
        converted
    }
}

/// A name and a value, where HTTP allows both.
pub(crate) fn header_pair<K, V>(name: K, value: V) -> Option<(HeaderName, HeaderValue)>
where
    K: TryInto<HeaderName>,
    V: TryInto<HeaderValue>,
{
    Some((name.try_into().ok()?, value.try_into().ok()?))
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
