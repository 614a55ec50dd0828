//! [`Context`]: one request on its way through middleware and handler.

mod extensions;

use std::any::type_name;
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::extensions::Extensions;
pub(crate) use self::extensions::StateMap;
use crate::body::{BODY_BYTES_MAX, Body, BodyError, RequestBody};
use crate::conn::defer::{Deferred, Mailbox};
use crate::conn::takeover::{Takeover, TakeoverCell};
use crate::conn::{RequestFacts, Shared};
use crate::extract::{self, Rejection};
use crate::request::Request;
use crate::response::{self, Response};
use crate::router::Endpoint;

/// What a handler gets: the request, the state of its router, and the makings of a response.
///
/// ```
/// use sws::{Context, IntoResponse, Rejection, Router, TestClient};
///
/// fn greet(ctx: &mut Context) -> Result<impl IntoResponse, Rejection> {
///     let times: usize = ctx.parse_param("times")?;
///     let name = ctx.query_value("name").unwrap_or("you".into()).into_owned();
///     ctx.set_header("x-greeted", &name);
///     Ok(ctx.text(format!("Hello, {name}! ").repeat(times)))
/// }
///
/// let client = TestClient::new(Router::new().get("/greet/{times}", greet));
/// let response = client.get("/greet/2?name=Ada").send();
/// assert_eq!(response.text(), "Hello, Ada! Hello, Ada! ");
/// assert_eq!(response.header("x-greeted"), Some("Ada"));
/// assert_eq!(client.get("/greet/often").send().status(), 400);
/// ```
pub struct Context {
    request: Request,
    endpoint: Option<Rc<Endpoint>>,
    extensions: Extensions,
    headers: PendingHeaders,
    body_bytes_max: usize,
    deferral: Deferral,
    /// What takes the connection over behind the answer, if a handler asks for it.
    takeover: Option<TakeoverCell>,
}

/// How the answer of this request can be deferred.
#[derive(Default)]
enum Deferral {
    /// Not at all: there is nobody to send it later.
    #[default]
    None,
    Connection(Rc<Shared>, RequestFacts),
    Mailbox(Arc<Mailbox>),
    /// It was.
    Taken,
}

impl Context {
    /// A context for a request that no router has seen yet.
    pub(crate) fn new(request: Request) -> Self {
        Self {
            request,
            endpoint: None,
            extensions: Extensions::default(),
            headers: PendingHeaders::default(),
            body_bytes_max: BODY_BYTES_MAX,
            deferral: Deferral::None,
            takeover: None,
        }
    }

    /// The request without its body, with the state of its router and the extensions, which are taken: for who asks about it
    /// when its connection has become something else. Finding the peer's address waits.
    pub(crate) fn snapshot(&mut self) -> Self {
        let mut snapshot = Self::new(self.request.snapshot());
        snapshot.endpoint = self.endpoint.clone();
        snapshot.extensions = std::mem::take(&mut self.extensions);
        snapshot
    }

    /// Where an extractor leaves what takes the connection over.
    pub(crate) fn takeover_cell(&mut self) -> TakeoverCell {
        Rc::clone(self.takeover.get_or_insert_default())
    }

    #[inline]
    pub(crate) fn take_takeover(&mut self) -> Option<Takeover> {
        self.takeover.take()?.take()
    }

    pub(crate) fn set_deferral(&mut self, shared: Rc<Shared>, facts: RequestFacts) {
        self.deferral = Deferral::Connection(shared, facts);
    }

    /// The connection that the request came on.
    pub(crate) fn connection(&self) -> Option<(Rc<Shared>, RequestFacts)> {
        match &self.deferral {
            Deferral::Connection(shared, facts) => Some((Rc::clone(shared), *facts)),
            Deferral::None | Deferral::Mailbox(_) | Deferral::Taken => None,
        }
    }

    /// Another request of the same connection has the context now.
    pub(crate) fn set_facts(&mut self, next: RequestFacts) {
        if let Deferral::Connection(_, facts) = &mut self.deferral {
            *facts = next;
        }
    }

    pub(crate) fn set_mailbox(&mut self, mailbox: Arc<Mailbox>) {
        self.deferral = Deferral::Mailbox(mailbox);
    }

    pub(crate) fn is_deferred(&self) -> bool {
        matches!(self.deferral, Deferral::Taken)
    }

    /// Takes the request away from this handler: what it returns is dropped, and the answer comes from the handle, from any
    /// thread, with no fiber kept meanwhile.
    ///
    /// # Panics
    /// When called a second time for one request: a mistake of the program, answered as a 500 unless the first handle
    /// answers before.
    pub fn defer(&mut self) -> Deferred {
        match std::mem::replace(&mut self.deferral, Deferral::Taken) {
            Deferral::Connection(shared, facts) => shared.deferrals.defer(facts),
            Deferral::Mailbox(mailbox) => mailbox.defer(),
            Deferral::None | Deferral::Taken => panic!("a request is deferred once"),
        }
    }

    /// The request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The request, to be changed (its body is read through this).
    pub fn request_mut(&mut self) -> &mut Request {
        &mut self.request
    }

    /// Makes the context ready for another request.
    pub(crate) fn clear(&mut self) {
        self.end_request();
        self.request.clear();
        self.deferral = Deferral::None;
    }

    /// Gives back what middleware and handler left, and keeps what the next request of the same data has too.
    pub(crate) fn end_request(&mut self) {
        self.request.end();
        self.endpoint = None;
        self.extensions.clear();
        self.headers.clear();
        self.takeover = None;
    }

    // Making a response.

    /// 200 with plain text.
    pub fn text(&self, text: impl Into<Body>) -> Response {
        Response::text(text)
    }

    /// 200 with HTML.
    pub fn html(&self, html: impl Into<Body>) -> Response {
        Response::html(html)
    }

    /// 200 with `value` as JSON; a value that cannot be serialised is a 500.
    pub fn json<T: Serialize + ?Sized>(&self, value: &T) -> Response {
        Response::json(value)
    }

    /// Sets a header of the response to come, whatever the handler returns, in place of any of that name.
    ///
    /// It is merged when the handler (or the middleware that called this) returns. A name or value that HTTP does not
    /// allow makes the response a 500.
    pub fn set_header<K, V>(&mut self, name: K, value: V)
    where
        K: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        self.headers.push(false, response::header_pair(name, value));
    }

    /// Adds a header to the response to come beside others of that name, otherwise as [`Context::set_header`].
    pub fn append_header<K, V>(&mut self, name: K, value: V)
    where
        K: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        self.headers.push(true, response::header_pair(name, value));
    }

    /// Moves the headers set so far into `response`.
    pub(crate) fn merge_headers(&mut self, response: Response) -> Response {
        if self.headers.is_empty() { response } else { self.headers.merge(response) }
    }

    // Reading the request.

    /// A parameter of the route, percent-decoded; see [`Request::param`].
    pub fn param(&self, name: &str) -> Option<&str> {
        self.request.param(name)
    }

    /// A parameter of the route as a `T`.
    ///
    /// # Errors
    /// 400 where the value is not a `T`; 500 where the route has no parameter of that name.
    pub fn parse_param<T: FromStr>(&self, name: &str) -> Result<T, Rejection> {
        let params = self.request.params();
        let index = params.position(name).ok_or_else(|| Rejection::no_param(name))?;
        let value = params.value(index, self.request.path());
        value.ok().and_then(|value| value.parse().ok()).ok_or_else(|| Rejection::bad_param(name))
    }

    /// The query string as a `T`, by the rules of `application/x-www-form-urlencoded`; no query is an empty one.
    ///
    /// # Errors
    /// 400 where it is not a `T`.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        extract::parse_query(self.request.query().unwrap_or(""))
    }

    /// The first value of this name in the query string, decoded; bytes that are not UTF-8 become U+FFFD.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.request.query()?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (!pair.is_empty() && decode_query(key) == name).then(|| decode_query(value))
        })
    }

    /// The first value of this request header, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name)
    }

    /// The address of the peer, where it has one and is still connected.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.request.remote_addr()
    }

    /// The body, to be read as [`std::io::Read`] or whole.
    pub fn body(&mut self) -> &mut RequestBody {
        self.request.body()
    }

    /// The whole body, at most [`Context::body_bytes_max`] bytes; it is empty afterwards.
    ///
    /// # Errors
    /// See [`RequestBody::read_whole`].
    pub fn body_bytes(&mut self) -> Result<Bytes, BodyError> {
        self.request.body().read_whole(self.body_bytes_max)
    }

    /// The limit of [`Context::body_bytes`] and the extractors that read the body.
    pub fn body_bytes_max(&self) -> usize {
        self.body_bytes_max
    }

    /// Sets that limit for this request: middleware does this for the routes of its router.
    pub fn set_body_bytes_max(&mut self, bytes_max: usize) {
        self.body_bytes_max = bytes_max;
    }

    // What belongs to the route and to this request.

    /// The state of this type; see [`Router::with_state`](crate::Router::with_state).
    ///
    /// # Panics
    /// Where no router around the handler has such a state: a mistake of the program, answered as a 500.
    pub fn state<T: 'static>(&self) -> &T {
        match self.try_state() {
            Some(state) => state,
            None => panic!("no router has a state of type {}", type_name::<T>()),
        }
    }

    /// The state of this type, where there is one.
    pub fn try_state<T: 'static>(&self) -> Option<&T> {
        self.endpoint.as_ref()?.states.get()
    }

    /// Values that middleware left for this request.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Values for those who see this request later.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// The pattern of the matched route (`/users/{id}`), or `None` in a fallback.
    pub fn route(&self) -> Option<&str> {
        self.endpoint.as_ref()?.pattern.as_deref()
    }

    /// The type name of the handler that answers this request, for logs.
    pub fn handler_name(&self) -> &'static str {
        self.endpoint.as_ref().map_or("", |endpoint| endpoint.name)
    }

    pub(crate) fn set_endpoint(&mut self, endpoint: &Rc<Endpoint>) {
        self.endpoint = Some(Rc::clone(endpoint));
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("request", &self.request)
            .field("route", &self.route())
            .finish_non_exhaustive()
    }
}

/// Headers of a response that is not there yet.
#[derive(Default)]
struct PendingHeaders {
    list: Vec<(bool, HeaderName, HeaderValue)>,
    invalid: bool,
}

impl PendingHeaders {
    fn push(&mut self, append: bool, pair: Option<(HeaderName, HeaderValue)>) {
        match pair {
            Some((name, value)) => self.list.push((append, name, value)),
            None => self.invalid = true,
        }
    }

    fn is_empty(&self) -> bool {
        self.list.is_empty() && !self.invalid
    }

    fn clear(&mut self) {
        self.list.clear();
        self.invalid = false;
    }

    fn merge(&mut self, mut response: Response) -> Response {
        if std::mem::take(&mut self.invalid) {
            self.list.clear();
            return Response::failed();
        }
        for (append, name, value) in self.list.drain(..) {
            match append {
                true => response.append(name, value),
                false => response.replace(name, value),
            }
        }
        response
    }
}

/// Decodes one name or value of a query string.
fn decode_query(text: &str) -> Cow<'_, str> {
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8_lossy();
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
#[path = "../context_tests.rs"]
mod tests;
