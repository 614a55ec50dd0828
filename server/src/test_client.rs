//! [`TestClient`]: requests to a router in process, without sockets.

use std::cell::OnceCell;
use std::fmt;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sws_runtime::{Config, Runtime, timeout};

use crate::body::{BodySource, RequestBody};
use crate::conn::defer::Mailbox;
use crate::context::Context;
use crate::http1::{Decoded, Head, HeadLimits, Reject, decode};
use crate::request::{Peer, Request, RequestBytes};
use crate::response::Response;
use crate::router::{App, RouteError, Router};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends requests to a router in process.
///
/// A request is written as bytes and decoded by the same codec as in the server, so what the codec refuses is refused
/// here too. What the connection adds to a response (`Date`, `Content-Length`, `Connection`) is not there.
///
/// A client is a worker, which runs only while a request is sent; clones are the same one. A [`Log`](crate::Log) belongs to the worker that
/// used it first, so that another client of the same log waits for one that stands still: a request without an answer in 30 s panics.
///
/// ```
/// use sws::{Router, TestClient};
///
/// let client = TestClient::new(Router::new().post("/echo", |body: String| body));
/// let response = client.post("/echo").header("X-Trace", "1").body("hello").send();
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.text(), "hello");
/// ```
#[derive(Clone)]
pub struct TestClient {
    app: Rc<App>,
    /// Made with the first request.
    runtime: OnceCell<Rc<Runtime>>,
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient").field("app", &self.app).finish_non_exhaustive()
    }
}

macro_rules! methods {
    ($($name:ident $method:ident;)*) => {$(
        #[doc = concat!("A ", stringify!($method), " request to `target`: path and query.")]
        pub fn $name(&self, target: &str) -> TestRequest<'_> {
            self.request(Method::$method, target)
        }
    )*};
}

impl TestClient {
    /// A client of `router`.
    ///
    /// # Panics
    /// Where the router cannot be built.
    pub fn new(router: Router) -> Self {
        match Self::try_new(router) {
            Ok(client) => client,
            Err(error) => panic!("the router cannot be built: {error}"),
        }
    }

    /// A client of `router`.
    ///
    /// # Errors
    /// Where the router cannot be built.
    pub fn try_new(router: Router) -> Result<Self, RouteError> {
        Ok(Self { app: Rc::new(router.build()?), runtime: OnceCell::new() })
    }

    /// A client of the router that `make` makes, on a fiber of the worker that handlers run on: for routers that start fibers, such as to
    /// make topics.
    ///
    /// ```
    /// use sws::runtime::go;
    /// use sws::{Router, TestClient};
    ///
    /// let client = TestClient::with(|| {
    ///     let answer = go("work out", || "42").join().unwrap();
    ///     Router::new().get("/", move || answer)
    /// });
    /// assert_eq!(client.get("/").send().text(), "42");
    /// ```
    ///
    /// # Panics
    /// Where the router cannot be built.
    pub fn with(make: impl FnOnce() -> Router + 'static) -> Self {
        let runtime = runtime();
        let client = Self::new(runtime.block_on_fiber(make));
        Self { runtime: OnceCell::from(runtime), ..client }
    }

    /// Calls the router on a fiber, so that handlers may wait.
    fn run(&self, request: Request, is_head: bool) -> TestResponse {
        let app = Rc::clone(&self.app);
        let target = format!("{} {}", request.method(), request.path());
        let response = self.runtime.get_or_init(runtime).block_on_fiber(move || {
            let answered = timeout(PATIENCE, || {
                let mut ctx = Context::new(request);
                let mailbox = Arc::<Mailbox>::default();
                ctx.set_mailbox(Arc::clone(&mailbox));
                let response = app.handle(&mut ctx);
                let response = if ctx.is_deferred() { mailbox.wait() } else { response };
                TestResponse::read(response, is_head)
            });
            answered.ok()
        });
        response.unwrap_or_else(|| panic!("{target}: no answer in {PATIENCE:?}"))
    }

    methods! {
        get GET;
        post POST;
        put PUT;
        delete DELETE;
        patch PATCH;
        head HEAD;
        options OPTIONS;
    }

    /// A request to `target`.
    pub fn request(&self, method: Method, target: &str) -> TestRequest<'_> {
        TestRequest {
            client: self,
            line: format!("{method} {target} HTTP/1.1\r\n"),
            is_head: method == Method::HEAD,
            headers: String::new(),
            has_host: false,
            body: TestBody::None,
            remote_addr: None,
        }
    }
}

fn runtime() -> Rc<Runtime> {
    let config = Config { ordinary_descriptors: true, ..Config::default() };
    Rc::new(Runtime::new(config).expect("a runtime for the handlers"))
}

/// A request that is being written; [`TestRequest::send`] sends it.
///
/// ```
/// use sws::{Router, TestClient};
///
/// let client = TestClient::new(Router::new().put("/note", |text: String| text.len().to_string()));
/// let request = client.put("/note").header("Content-Type", "text/plain").body("four");
/// assert_eq!(request.send().text(), "4");
/// ```
#[must_use = "a request does nothing until it is sent"]
pub struct TestRequest<'a> {
    client: &'a TestClient,
    line: String,
    is_head: bool,
    headers: String,
    has_host: bool,
    body: TestBody,
    remote_addr: Option<SocketAddr>,
}

enum TestBody {
    None,
    Whole(Bytes),
    Stream(Box<dyn Read>),
}

impl TestRequest<'_> {
    /// Adds a header, as it is written here. `Host` is added where there is none.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.has_host |= name.eq_ignore_ascii_case("host");
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// Sets the body, with its `Content-Length`.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = TestBody::Whole(body.into());
        self
    }

    /// Sets a body that is read while the handler reads it, and sent as chunked. An error of `body` is what the handler
    /// sees; [`BodyError`](crate::BodyError) turned into an `io::Error` stands for itself.
    pub fn body_stream(mut self, body: impl Read + 'static) -> Self {
        self.body = TestBody::Stream(Box::new(body));
        self
    }

    /// Sets the body to `value` as JSON, and its `Content-Type`.
    ///
    /// # Panics
    /// Where `value` cannot be serialised.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        let json = serde_json::to_vec(value).expect("the value serialises as JSON");
        self.header("Content-Type", "application/json").body(json)
    }

    /// Sets the body to `value` as form fields, and its `Content-Type`.
    ///
    /// # Panics
    /// Where `value` cannot be serialised.
    pub fn form<T: Serialize + ?Sized>(self, value: &T) -> Self {
        let form = serde_urlencoded::to_string(value).expect("the value serialises as form fields");
        self.header("Content-Type", "application/x-www-form-urlencoded").body(form)
    }

    /// Sets the address that the handler sees as the peer's.
    pub fn remote_addr(mut self, addr: impl Into<SocketAddr>) -> Self {
        self.remote_addr = Some(addr.into());
        self
    }

    /// Sends the request and reads the whole response. A request that is not valid HTTP is answered as the server would,
    /// without the router.
    ///
    /// # Panics
    /// With the panic of the handler.
    pub fn send(self) -> TestResponse {
        let (client, is_head) = (self.client, self.is_head);
        match self.into_request() {
            Ok(request) => client.run(request, is_head),
            Err(reject) => {
                TestResponse::read(Response::text(reject.reason()).with_status(reject.status()), is_head)
            }
        }
    }

    fn into_request(self) -> Result<Request, Reject> {
        let mut head_bytes = self.line;
        if !self.has_host {
            head_bytes.push_str("Host: localhost\r\n");
        }
        head_bytes.push_str(&self.headers);
        let body = match self.body {
            TestBody::None => RequestBody::empty(),
            TestBody::Whole(bytes) => {
                head_bytes.push_str(&format!("Content-Length: {}\r\n", bytes.len()));
                bytes.into()
            }
            TestBody::Stream(read) => {
                head_bytes.push_str("Transfer-Encoding: chunked\r\n");
                RequestBody::from_source(Box::new(ReadSource(read)))
            }
        };
        head_bytes.push_str("\r\n");
        let bytes = head_bytes.into_bytes();
        let mut head = Box::<Head>::default();
        match decode(&bytes, &HeadLimits::default(), &mut head) {
            Decoded::Complete if head.len() == bytes.len() => {}
            Decoded::Reject(reject) => return Err(reject),
            Decoded::Complete | Decoded::NeedMore => panic!("a header of the test ends the head"),
        }
        let peer = self.remote_addr.map_or(Peer::Unknown, Peer::Known);
        Ok(Request::new(head, RequestBytes::Owned(bytes), body, peer))
    }
}

impl fmt::Debug for TestRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestRequest").field("line", &self.line).finish_non_exhaustive()
    }
}

struct ReadSource(Box<dyn Read>);

impl BodySource for ReadSource {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }

    fn remaining_hint(&self) -> Option<u64> {
        None
    }
}

/// A response, read whole.
///
/// ```
/// use sws::{Json, Router, TestClient};
///
/// let response = TestClient::new(Router::new().get("/", || Json([1, 2]))).get("/").send();
/// assert_eq!(response.header("content-type"), Some("application/json"));
/// assert_eq!(response.bytes(), b"[1,2]");
/// assert_eq!(response.json::<Vec<u8>>(), [1, 2]);
/// ```
pub struct TestResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    error: Option<io::Error>,
}

impl TestResponse {
    fn read(mut response: Response, is_head: bool) -> Self {
        let body = response.take_body();
        let mut whole = Vec::new();
        let result = if is_head { Ok(()) } else { body.write_to(&mut whole) };
        Self { status: response.status(), headers: response.headers(), body: whole, error: result.err() }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers that the router and its handlers set.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The first value of this header, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body; empty after HEAD.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The error with which a streaming body ended, if it did; the bytes before it are there.
    pub fn body_error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// The body as text.
    ///
    /// # Panics
    /// Where it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the response body is UTF-8")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is not JSON that describes a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).expect("the response body is JSON of this type")
    }
}

impl fmt::Debug for TestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestResponse")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &String::from_utf8_lossy(&self.body))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "test_client_tests.rs"]
mod tests;
