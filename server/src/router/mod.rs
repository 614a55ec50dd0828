//! The router: from method and path to a handler.
//!
//! ```text
//! Router   records routes, layers, states, fallbacks, nested and merged routers     (chainable, cannot fail)
//!   | build     flattens them, joins the methods of one pattern, refuses conflicts
//! App      a matchit tree of routes, each a table of endpoints by method             (immutable)
//!   | handle    match -> endpoint -> its layers -> its handler
//! Response
//! ```

mod app;
mod build;
mod error;
mod methods;

use std::any::type_name;
use std::fmt;
use std::rc::Rc;

pub use self::app::App;
pub(crate) use self::app::Endpoint;
pub use self::error::RouteError;
pub use self::methods::{MethodRouter, any, delete, get, head, on, options, patch, post, put};
use crate::context::{Context, StateMap};
use crate::handler::Handler;
use crate::middleware::{ErasedHandler, Layer, Next};
use crate::response::Response;

/// Routes and what belongs to them, recorded to be built into an [`App`].
///
/// # Patterns
/// A pattern begins with `/`. `{name}` takes one segment, not empty, or what is left of one between literals
/// (`/v{major}`); `{*name}` takes the rest of the path, not empty; `{{` and `}}` are braces. Literals win over
/// parameters, and `{name}` wins over `{*name}`, whatever the order of the calls. A route has at most
/// [`PARAMS_MAX`](crate::PARAMS_MAX) parameters.
///
/// The path is matched as it was sent: `%2F` in a segment does not end it, and the pattern is compared with the
/// encoded bytes. Parameters are decoded where they are read. `/a` and `/a/` are different paths, and neither redirects
/// to the other.
///
/// # Methods
/// GET answers HEAD too (the body is not sent). A path without the method asked for is a 405 with `Allow`, OPTIONS is
/// answered with 204 and `Allow` (also `OPTIONS *`), and a path that no route has is the fallback's, or a 404.
///
/// ```
/// use sws::{Context, Path, Router, TestClient, get};
///
/// let api = Router::new()
///     .get("/users", || "all users")
///     .get("/users/{id}", |Path(id): Path<u64>| format!("user {id}"))
///     .route("/notes/{*rest}", get(|Path(rest): Path<String>| rest).delete(|| "deleted"));
/// let client = TestClient::new(Router::new().nest("/api", api).fallback(|| (sws::http::StatusCode::NOT_FOUND, "?")));
///
/// assert_eq!(client.get("/api/users/7").send().text(), "user 7");
/// assert_eq!(client.delete("/api/notes/a/b").send().text(), "deleted");
/// assert_eq!(client.post("/api/users").send().header("allow"), Some("GET, HEAD, OPTIONS"));
/// assert_eq!(client.get("/api/nothing").send().text(), "?");
/// ```
#[derive(Default)]
pub struct Router {
    routes: Vec<(String, MethodRouter)>,
    children: Vec<Child>,
    layers: Vec<Layer>,
    states: StateMap,
    /// More than one is refused when the router is built.
    fallbacks: Vec<RecordedFallback>,
}

/// A router inside another.
enum Child {
    /// Under a prefix.
    Nested(String, Router),
    /// Beside the routes of the outer one.
    Merged(Router),
}

/// A fallback of a router, or of one that was merged into it.
struct RecordedFallback {
    named: Named,
    /// The states of the merged router; `None` for those of the router itself.
    states: Option<StateMap>,
}

/// A handler without its type, and the name of that type.
#[derive(Clone)]
struct Named {
    handler: ErasedHandler,
    name: &'static str,
}

impl Named {
    fn new<M, H: Handler<M>>(handler: H) -> Self {
        Self { handler: Rc::new(move |ctx| handler.call(ctx)), name: type_name::<H>() }
    }

    /// The same handler inside `layers`.
    fn wrap(self, layers: &[Layer]) -> Self {
        let (layers, inner): (Rc<[Layer]>, _) = (Rc::from(layers), self.handler);
        Self { handler: Rc::new(move |ctx| Next::new(&layers, &inner).run(ctx)), name: self.name }
    }
}

macro_rules! method {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name<M>(self, path: &str, handler: impl Handler<M>) -> Self {
            self.route(path, $name(handler))
        }
    )*};
}

impl Router {
    /// A router without routes.
    pub fn new() -> Self {
        Self::default()
    }

    method! {
        /// Answers GET (and HEAD) on `path`.
        get
        /// Answers POST on `path`.
        post
        /// Answers PUT on `path`.
        put
        /// Answers DELETE on `path`.
        delete
        /// Answers PATCH on `path`.
        patch
        /// Answers HEAD on `path`, where it is not to be GET without its body.
        head
        /// Answers OPTIONS on `path`, where it is not to be the automatic answer.
        options
        /// Answers on `path` every method that has no handler of its own.
        any
    }

    /// Adds the handlers of `methods` to `path`; a path may be given several times, for different methods.
    #[must_use]
    pub fn route(mut self, path: &str, methods: MethodRouter) -> Self {
        self.routes.push((path.to_owned(), methods));
        self
    }

    /// Puts the routes of `router` under `prefix`, which may have parameters.
    ///
    /// A `/` route of `router` answers the prefix as it is written here: with `nest("/api", ..)` that is `/api`, with
    /// `nest("/api/", ..)` it is `/api/`. The nested routes keep their own layers, inside the layers of this router;
    /// they see the states of this router where they have none of the same type. The nested fallback answers what is
    /// under the prefix and matches nothing; where there is none, this router's does.
    #[must_use]
    pub fn nest(mut self, prefix: &str, router: Router) -> Self {
        self.children.push(Child::Nested(prefix.to_owned(), router));
        self
    }

    /// Adds the routes of `router` beside those of this one.
    ///
    /// They keep their own layers, inside the layers of this router. Only one of the two may have a fallback; it becomes
    /// that of both.
    #[must_use]
    pub fn merge(mut self, mut router: Router) -> Self {
        for fallback in router.fallbacks.drain(..) {
            let states = fallback.states.unwrap_or_else(|| router.states.clone());
            let named = fallback.named.wrap(&router.layers);
            self.fallbacks.push(RecordedFallback { named, states: Some(states) });
        }
        self.children.push(Child::Merged(router));
        self
    }

    /// Answers requests that match no route; a router has at most one.
    #[must_use]
    pub fn fallback<M>(mut self, handler: impl Handler<M>) -> Self {
        self.fallbacks.push(RecordedFallback { named: Named::new(handler), states: None });
        self
    }

    /// Gives all handlers and layers of this router a state, at most one of each type, read with
    /// [`State`](crate::State) or [`Context::state`](crate::Context::state).
    ///
    /// The state stays on the thread of its worker and need not be `Send`; what workers share is an `Arc` in it.
    #[must_use]
    pub fn with_state<T: 'static>(mut self, state: T) -> Self {
        self.states.insert(state);
        self
    }

    /// Wraps this router in middleware: it sees every request to a route of this router and every one under its prefix
    /// that matches nothing (404), has the wrong method (405) or is answered automatically (OPTIONS).
    ///
    /// The first layer is the outermost: it sees the request first and the response last. The order of `layer` and the
    /// routes does not matter. See [`Next`].
    #[must_use]
    pub fn layer(mut self, middleware: impl Fn(&mut Context, Next<'_>) -> Response + 'static) -> Self {
        self.layers.push(Rc::new(middleware));
        self
    }

    /// Builds the routes.
    ///
    /// # Errors
    /// Where two routes conflict or a pattern is not one; the error names the routes.
    ///
    /// ```
    /// use sws::{RouteError, Router};
    ///
    /// let router = Router::new().get("/users/{id}", || "a").get("/users/{name}", || "b");
    /// let error = router.build().unwrap_err();
    /// assert_eq!(error, RouteError::Conflict { route: "/users/{name}".into(), with: "/users/{id}".into() });
    /// ```
    pub fn build(self) -> Result<App, RouteError> {
        build::build(self)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes: Vec<&str> = self.routes.iter().map(|(path, _)| path.as_str()).collect();
        f.debug_struct("Router")
            .field("routes", &routes)
            .field("children", &self.children.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "../router_tests.rs"]
mod tests;
