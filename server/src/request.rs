//! [`Request`]: the head as it was read, the parameters of its route, and its body.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;

use http::uri::InvalidUri;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use percent_encoding::percent_decode_str;
use sws_runtime::Held;

use crate::body::RequestBody;
use crate::http1::{Decoded, Framing, Head, HeadLimits, decode};

/// The most parameters that one route may have; more are refused when the router is built.
pub const PARAMS_MAX: usize = 8;

/// The bytes that hold a request head; [`Head`] keeps offsets into them.
#[derive(Debug)]
pub(crate) enum RequestBytes {
    /// Bytes of its own.
    Owned(Vec<u8>),
    /// In the buffer in which they were received; the head begins at `start`.
    Held { bytes: Held, start: usize },
}

impl Deref for RequestBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Held { bytes, start } => &bytes[*start..],
        }
    }
}

/// Finds the address of the peer of a connection, when somebody asks for it.
pub(crate) trait PeerResolver {
    /// The address of the peer of the connection that `key` names, unless it is gone.
    fn resolve(&self, key: u64) -> Option<SocketAddr>;
}

/// The address of the peer, or the way to it.
#[derive(Clone, Default)]
pub(crate) enum Peer {
    /// No peer with an address.
    #[default]
    Unknown,
    /// It was asked for.
    Known(SocketAddr),
    /// Asked for on demand, so that a request pays nothing for an address that nobody reads.
    Lazy {
        /// Shared by all connections of a worker.
        resolver: Rc<dyn PeerResolver>,
        /// What the resolver knows the connection by.
        key: u64,
    },
}

/// A request, as it came over the wire.
///
/// Nothing is copied out of the head until it is asked for: the readers borrow from the bytes that were received.
///
/// ```
/// use sws::{Context, Router, TestClient};
///
/// fn show(ctx: &mut Context) -> String {
///     let request = ctx.request();
///     format!("{} {} {:?} {:?}", request.method(), request.path(), request.query(), request.header("accept"))
/// }
///
/// let client = TestClient::new(Router::new().get("/a/b", show));
/// let response = client.get("/a/b?c=d").header("Accept", "text/*").send();
/// assert_eq!(response.text(), r#"GET /a/b Some("c=d") Some("text/*")"#);
/// ```
pub struct Request {
    head: Box<Head>,
    bytes: RequestBytes,
    params: Params,
    body: RequestBody,
    peer: Peer,
}

impl Request {
    /// A request whose `head` was decoded from `bytes`.
    pub(crate) fn new(head: Box<Head>, bytes: RequestBytes, body: RequestBody, peer: Peer) -> Self {
        Self { head, bytes, params: Params::default(), body, peer }
    }

    /// The head with memory of its own, without parameters and body. The address of the peer is asked for, which waits: once the
    /// connection is another protocol's it cannot be.
    pub(crate) fn snapshot(&self) -> Self {
        let bytes = RequestBytes::Owned(self.bytes[..self.head.len()].to_vec());
        let peer = self.remote_addr().map_or(Peer::Unknown, Peer::Known);
        Self::new(self.head.clone(), bytes, RequestBody::empty(), peer)
    }

    /// The method.
    pub fn method(&self) -> &Method {
        self.head.method()
    }

    /// HTTP/1.0 or HTTP/1.1.
    pub fn version(&self) -> Version {
        self.head.version()
    }

    /// The path of the target as it was sent: percent-encoded, with its dots.
    pub fn path(&self) -> &str {
        self.head.path(&self.bytes)
    }

    /// The bytes of [`Request::path`].
    #[inline]
    pub(crate) fn path_bytes(&self) -> &[u8] {
        self.head.path_bytes(&self.bytes)
    }

    /// What follows the first `?` of the target, as it was sent.
    pub fn query(&self) -> Option<&str> {
        self.head.query(&self.bytes)
    }

    /// Path and query as a `Uri` of the `http` crate, parsed on each call.
    ///
    /// # Errors
    /// Where that crate is stricter than HTTP servers are.
    pub fn uri(&self) -> Result<Uri, InvalidUri> {
        match self.query() {
            None => self.path().parse(),
            Some(query) => Uri::try_from(format!("{}?{query}", self.path())),
        }
    }

    /// The first value of this header, where it is visible ASCII or UTF-8; the name is compared without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.header_bytes(name)?).ok()
    }

    /// The first value of this header, byte for byte.
    pub fn header_bytes(&self, name: &str) -> Option<&[u8]> {
        self.head.header(&self.bytes, name)
    }

    /// The host with its port: that of the target where it has one, else the value of Host.
    pub fn host(&self) -> Option<&str> {
        self.head.host(&self.bytes)
    }

    /// Whether the client asks to change the protocol (`Connection: upgrade`, over HTTP/1.1).
    pub fn is_upgrade(&self) -> bool {
        self.head.upgrade()
    }

    /// All headers in the order in which they came, names as the peer wrote them.
    pub fn header_list(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.head.headers(&self.bytes)
    }

    /// All headers as a map of the `http` crate, built on each call.
    pub fn headers(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in self.header_list() {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                map.append(name, value);
            }
        }
        map
    }

    /// A parameter of the route, percent-decoded; `None` where the route has none of that name or its value does not
    /// decode to UTF-8.
    pub fn param(&self, name: &str) -> Option<&str> {
        let index = self.params.position(name)?;
        self.params.value(index, self.path()).ok()
    }

    /// The body.
    pub fn body(&mut self) -> &mut RequestBody {
        &mut self.body
    }

    /// The address of the peer, where it has one and is still connected.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        match &self.peer {
            Peer::Unknown => None,
            Peer::Known(addr) => Some(*addr),
            Peer::Lazy { resolver, key } => resolver.resolve(*key),
        }
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn params(&self) -> &Params {
        &self.params
    }

    pub(crate) fn set_params(&mut self, params: Params) {
        self.params = params;
    }

    /// The head, to be decoded into.
    pub(crate) fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }

    /// Fills in what belongs to the head that was decoded.
    pub(crate) fn begin(&mut self, bytes: RequestBytes, body: RequestBody, peer: Peer) {
        self.bytes = bytes;
        self.body = body;
        self.peer = peer;
    }

    /// Decodes the request behind this one, if its head and body are whole and in the bytes that are held. Returns whether
    /// it is; if not, this request is over all the same.
    pub(crate) fn decode_next(&mut self, limits: &HeadLimits) -> bool {
        let RequestBytes::Held { bytes, start } = &mut self.bytes else { return false };
        *start += self.head.len();
        let rest = &bytes[*start..];
        // One with a body needs more than its head.
        !rest.is_empty()
            && decode(rest, limits, &mut self.head) == Decoded::Complete
            && matches!(self.head.framing(), Framing::None | Framing::Length(0))
    }

    /// Gives back what belongs to the handler, and keeps the bytes.
    pub(crate) fn end(&mut self) {
        self.body = RequestBody::empty();
        self.params.clear();
    }

    /// Gives back all that the request held, but for the memory of its head.
    pub(crate) fn clear(&mut self) {
        self.bytes = RequestBytes::Owned(Vec::new());
        self.end();
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", self.method())
            .field("path", &self.path())
            .field("query", &self.query())
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

/// The value of a parameter is not UTF-8 once it is percent-decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotUtf8;

/// The parameters of a matched route: ranges of the path, and no heap unless a value is percent-encoded.
#[derive(Default)]
pub(crate) struct Params {
    names: Option<Rc<[Box<str>]>>,
    ranges: [(u16, u16); PARAMS_MAX],
    decoded: Option<Box<[Result<String, NotUtf8>]>>,
}

impl Params {
    /// Takes the values that `matched` found in `path`; `names` are those of the route, in the order of its pattern.
    pub(crate) fn new(names: &Rc<[Box<str>]>, matched: &matchit::Params<'_, '_>, path: &str) -> Self {
        if names.is_empty() {
            return Self::default();
        }
        let mut params = Self { names: Some(Rc::clone(names)), ..Self::default() };
        assert!(names.len() <= PARAMS_MAX, "a route with more parameters is not built");
        for (range, name) in params.ranges.iter_mut().zip(names.iter()) {
            let value = matched.get(name).expect("a matched route has the parameters of its pattern");
            let start = value.as_ptr().addr() - path.as_ptr().addr();
            *range = (offset(start), offset(start + value.len()));
        }
        if memchr::memchr(b'%', path.as_bytes()).is_some() {
            let decode = |&(start, end): &(u16, u16)| {
                let value = &path[usize::from(start)..usize::from(end)];
                percent_decode_str(value).decode_utf8().map(|text| text.into_owned()).map_err(|_| NotUtf8)
            };
            params.decoded = Some(params.ranges[..names.len()].iter().map(decode).collect());
        }
        params
    }

    fn clear(&mut self) {
        self.names = None;
        self.decoded = None;
    }

    pub(crate) fn len(&self) -> usize {
        self.names.as_ref().map_or(0, |names| names.len())
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.names.as_ref()?.iter().position(|held| **held == *name)
    }

    pub(crate) fn name(&self, index: usize) -> &str {
        self.names.as_ref().map_or("", |names| &names[index])
    }

    /// The percent-decoded value at `index`; `path` is the path that was matched.
    pub(crate) fn value<'a>(&'a self, index: usize, path: &'a str) -> Result<&'a str, NotUtf8> {
        assert!(index < self.len(), "a parameter of this route");
        match &self.decoded {
            Some(decoded) => decoded[index].as_deref().map_err(|error| *error),
            None => {
                let (start, end) = self.ranges[index];
                Ok(&path[usize::from(start)..usize::from(end)])
            }
        }
    }
}

/// An offset into a path, which lies within `http1::limits::HEAD_BYTES_CEILING`.
fn offset(value: usize) -> u16 {
    u16::try_from(value).expect("a path is shorter than HEAD_BYTES_CEILING")
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
