//! Middleware: functions around handlers.

use std::fmt;
use std::rc::Rc;

use crate::context::Context;
use crate::response::Response;

/// One middleware, shared by the endpoints that it wraps.
pub(crate) type Layer = Rc<dyn Fn(&mut Context, Next<'_>) -> Response>;

/// A handler without its type.
pub(crate) type ErasedHandler = Rc<dyn Fn(&mut Context) -> Response>;

/// The rest of the way of a request: the middleware further in, then the handler.
///
/// Middleware is a function `fn(&mut Context, Next<'_>) -> Response`. It sees the request first, calls
/// [`Next::run`] or answers by itself, and sees the response last. It is added with
/// [`Router::layer`](crate::Router::layer).
///
/// ```
/// use sws::{Context, Next, Response, Router, TestClient, http::StatusCode};
///
/// fn authorise(ctx: &mut Context, next: Next<'_>) -> Response {
///     if ctx.header("authorization").is_none() {
///         return Response::text("who are you?").with_status(StatusCode::UNAUTHORIZED);
///     }
///     next.run(ctx).with_header("x-authorised", "yes")
/// }
///
/// let client = TestClient::new(Router::new().get("/", || "in").layer(authorise));
/// assert_eq!(client.get("/").send().status(), 401);
/// let response = client.get("/").header("Authorization", "Basic YTpi").send();
/// assert_eq!((response.text(), response.header("x-authorised")), ("in", Some("yes")));
/// ```
pub struct Next<'a> {
    layers: &'a [Layer],
    handler: &'a ErasedHandler,
}

impl<'a> Next<'a> {
    pub(crate) fn new(layers: &'a [Layer], handler: &'a ErasedHandler) -> Self {
        Self { layers, handler }
    }

    /// Runs the rest and returns its response, with the headers that were set on the context merged into it.
    pub fn run(self, ctx: &mut Context) -> Response {
        let response = match self.layers.split_first() {
            Some((first, rest)) => first(ctx, Next { layers: rest, handler: self.handler }),
            None => (self.handler)(ctx),
        };
        ctx.merge_headers(response)
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}
