//! [`Sse`]: from a request to a stream.

use super::service::StreamConn;
use super::streams::Streams;
use super::{EventStream, SseOptions};
use crate::body::Body;
use crate::conn::takeover::{Takeover, TakeoverCell};
use crate::conn::{HttpConn, Shared};
use crate::context::Context;
use crate::extract::FromRequest;
use crate::response::{Response, header_pair};
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;
use sws_runtime::{Conn, find_local, turn_time};

/// The media type of a stream of events.
const MEDIA_TYPE: &str = "text/event-stream";

/// Tells a proxy (nginx) to pass events on as they come.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A request that is answered by a stream of events: an extractor, which refuses nothing. A handler that has opened the stream returns
/// what [`open`](Sse::open) gives; one that answers with another status instead does not open it.
///
/// The stream begins as a 200 with `Content-Type: text/event-stream` and `Cache-Control: no-store`, and lasts as long as its connection.
/// HEAD gets the head only. A request of whose body something is still to come is a 400, one that comes while the worker
/// drains a 503.
///
/// ```
/// use sws::sse::{Event, Sse};
/// use sws::{Response, Router, TestClient};
///
/// fn greet(sse: Sse) -> Response {
///     sse.open(|stream| {
///         let _ = stream.send(Event::data("Hello!").event("greeting"));
///     })
/// }
///
/// let client = TestClient::new(Router::new().get("/greet", greet));
/// assert_eq!(client.get("/greet").send().header("content-type"), Some("text/event-stream"));
/// ```
pub struct Sse {
    last_event_id: Option<String>,
    options: SseOptions,
    headers: Vec<(HeaderName, HeaderValue)>,
    is_failed: bool,
    is_head: bool,
    shared: Option<Rc<Shared>>,
    takeover: TakeoverCell,
}

impl FromRequest for Sse {
    type Rejection = Infallible;

    fn from_request(ctx: &mut Context) -> Result<Sse, Infallible> {
        Ok(Sse {
            last_event_id: ctx.header("last-event-id").map(str::to_owned),
            options: SseOptions::default(),
            headers: Vec::new(),
            is_failed: false,
            is_head: *ctx.request().method() == Method::HEAD,
            shared: ctx.connection().map(|(shared, _)| shared),
            takeover: ctx.takeover_cell(),
        })
    }
}

impl Sse {
    /// The id of the last event that the client has, when it comes again. It is the client's word.
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    /// The number in [`last_event_id`](Sse::last_event_id), if it is one: those of topics are.
    pub fn last_sequence(&self) -> Option<u64> {
        self.last_event_id()?.parse().ok()
    }

    /// Sets the bounds and times of the stream.
    #[must_use]
    pub fn options(mut self, options: SseOptions) -> Sse {
        self.options = options;
        self
    }

    /// Adds a header to the answer, in place of the one that it has by itself. A name or value that HTTP does not allow makes it a 500.
    #[must_use]
    pub fn header<K, V>(mut self, name: K, value: V) -> Sse
    where
        K: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        match header_pair(name, value) {
            Some(pair) => self.headers.push(pair),
            None => self.is_failed = true,
        }
        self
    }

    /// Opens the stream. `f` is called once, behind the head of the answer, and cannot wait there; a panic in it resets the connection.
    pub fn open(self, f: impl FnOnce(&mut EventStream<'_>) + 'static) -> Response {
        if self.is_failed {
            return Response::internal_error();
        }
        // The length of what HEAD does not get is not known.
        let body = if self.is_head { Body::stream(|_| Ok(())) } else { Body::Empty };
        let mut response = Response::with_type(MEDIA_TYPE, body)
            .with_header(CACHE_CONTROL, "no-store")
            .with_header(ACCEL_BUFFERING, "no");
        for (name, value) in self.headers {
            if name == CACHE_CONTROL || name == ACCEL_BUFFERING {
                response.set_header(name, value);
            } else {
                response.append_header(name, value);
            }
        }
        let Some(shared) = self.shared else { return response };
        let Some(streams) = find_local::<Streams>() else { return Response::internal_error() };
        let Some(target) = streams.handler() else { return Response::internal_error() };
        let options = self.options;
        let switch = Box::new(move |conn: &mut Conn<'_, HttpConn>| {
            let id = conn.id();
            conn.hand_over(target, StreamConn::new(&options, turn_time()));
            if streams.open(id, &options, f).is_err() {
                shared.metrics.count_panic();
            }
        });
        self.takeover.set(Some(Takeover { status: StatusCode::OK, content_type: Some(MEDIA_TYPE), switch }));
        response
    }
}

impl fmt::Debug for Sse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sse").field("last_event_id", &self.last_event_id).finish_non_exhaustive()
    }
}
