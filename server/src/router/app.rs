//! [`App`]: a built router, and the way from a request to its response.

use std::fmt;
use std::rc::Rc;

use http::header::{ALLOW, HeaderValue};
use http::{Method, StatusCode};

use crate::context::{Context, StateMap};
use crate::middleware::{ErasedHandler, Layer, Next};
use crate::request::Params;
use crate::response::Response;

/// A handler and all that surrounds it.
pub(crate) struct Endpoint {
    pub(super) handler: ErasedHandler,
    /// Outermost first.
    pub(super) layers: Rc<[Layer]>,
    /// The states that handler and layers see.
    pub(crate) states: Rc<StateMap>,
    /// The pattern of the route; a fallback has none.
    pub(crate) pattern: Option<Rc<str>>,
    /// The type name of the handler.
    pub(crate) name: &'static str,
    /// What its fibers are called: the pattern, or the handler's type name.
    pub(crate) label: &'static str,
}

impl Endpoint {
    fn run(self: &Rc<Self>, ctx: &mut Context) -> Response {
        ctx.set_endpoint(self);
        sws_runtime::set_fiber_name(self.label);
        Next::new(&self.layers, &self.handler).run(ctx)
    }
}

/// The endpoints of one pattern.
pub(super) struct Route {
    /// Names of the parameters, in the order of the pattern.
    pub(super) names: Rc<[Box<str>]>,
    pub(super) get: Option<Rc<Endpoint>>,
    pub(super) post: Option<Rc<Endpoint>>,
    /// The other methods: few, and rarely asked for.
    pub(super) others: Vec<(Method, Rc<Endpoint>)>,
    pub(super) any: Option<Rc<Endpoint>>,
    /// Answers OPTIONS, and the methods that are not there.
    pub(super) unhandled: Rc<Endpoint>,
}

impl Route {
    fn endpoint(&self, method: &Method) -> &Rc<Endpoint> {
        let own = match *method {
            Method::GET => self.get.as_ref(),
            Method::POST => self.post.as_ref(),
            Method::HEAD => self.other(method).or(self.get.as_ref()),
            _ => self.other(method),
        };
        own.or(self.any.as_ref()).unwrap_or(&self.unhandled)
    }

    fn other(&self, method: &Method) -> Option<&Rc<Endpoint>> {
        self.others.iter().find(|(held, _)| held == method).map(|(_, endpoint)| endpoint)
    }
}

/// What answers the unmatched paths under one prefix.
pub(super) struct Fallback {
    /// The segments of the prefix; `None` matches any segment.
    pub(super) prefix: Box<[Option<Box<str>>]>,
    pub(super) endpoint: Rc<Endpoint>,
}

impl Fallback {
    fn matches(&self, path: &str) -> bool {
        let mut segments = path.strip_prefix('/').unwrap_or(path).split('/');
        self.prefix.iter().all(|wanted| match (segments.next(), wanted) {
            (Some(segment), Some(wanted)) => *segment == **wanted,
            (Some(_), None) => true,
            (None, _) => false,
        })
    }
}

/// A whole path, and the number of its route.
type Literal = (Box<[u8]>, usize);

/// The routes without parameters by their whole path. Most requests are for one of them, and this finds it in a fraction of the
/// tree's instructions.
pub(super) struct Literals {
    /// As many as a power of two; each holds paths and the numbers of their routes.
    buckets: Box<[Vec<Literal>]>,
}

impl Literals {
    /// Takes paths with the numbers of their routes.
    pub(super) fn new(paths: Vec<Literal>) -> Self {
        let mut buckets = vec![Vec::new(); (paths.len() * 2).next_power_of_two()].into_boxed_slice();
        for (path, number) in paths {
            buckets[Self::hash(&path) & (buckets.len() - 1)].push((path, number));
        }
        Self { buckets }
    }

    #[inline]
    fn find(&self, path: &[u8]) -> Option<usize> {
        let bucket = &self.buckets[Self::hash(path) & (self.buckets.len() - 1)];
        bucket.iter().find(|(held, _)| **held == *path).map(|(_, number)| *number)
    }

    /// Of the length and the last bytes, in which paths differ most.
    #[inline]
    fn hash(path: &[u8]) -> usize {
        let word = match path.last_chunk::<8>() {
            Some(last) => u64::from_le_bytes(*last),
            None => path.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        ((word ^ path.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
    }
}

/// A built [`Router`](crate::Router): routes that do not conflict, ready to answer.
///
/// It is immutable and belongs to one thread; each worker builds its own.
///
/// ```
/// use sws::{App, RouteError, Router};
///
/// fn app() -> Result<App, RouteError> {
///     Router::new().get("/", || "Hello").build()
/// }
/// assert!(app().is_ok());
/// ```
pub struct App {
    pub(super) routes: Vec<Route>,
    /// Finds the number of a route.
    pub(super) tree: matchit::Router<usize>,
    pub(super) literals: Literals,
    /// The deepest prefix first; the last one is the root's and matches every path.
    pub(super) fallbacks: Vec<Fallback>,
    /// Answers `OPTIONS *`.
    pub(super) server_options: Rc<Endpoint>,
}

impl App {
    /// Answers the request of `ctx`.
    ///
    /// The answer to HEAD may carry the body of GET, which the connection must not send. A panic of a handler or a
    /// layer passes through.
    pub(crate) fn handle(&self, ctx: &mut Context) -> Response {
        self.endpoint(ctx).run(ctx)
    }

    fn endpoint(&self, ctx: &mut Context) -> &Rc<Endpoint> {
        if let Some(number) = self.literals.find(ctx.request().path_bytes()) {
            debug_assert_eq!(self.tree.at(ctx.request().path()).map(|matched| *matched.value), Ok(number));
            return self.routes[number].endpoint(ctx.request().method());
        }
        let path = ctx.request().path();
        let Ok(matched) = self.tree.at(path) else { return self.unmatched(ctx) };
        let route = &self.routes[*matched.value];
        let endpoint = route.endpoint(ctx.request().method());
        if !route.names.is_empty() {
            let params = Params::new(&route.names, &matched.params, path);
            ctx.request_mut().set_params(params);
        }
        endpoint
    }

    #[cold]
    fn unmatched(&self, ctx: &Context) -> &Rc<Endpoint> {
        let request = ctx.request();
        if request.path() == "*" && *request.method() == Method::OPTIONS {
            return &self.server_options;
        }
        let fallback = self.fallbacks.iter().find(|fallback| fallback.matches(request.path()));
        &fallback.expect("the root's fallback matches every path").endpoint
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("fallbacks", &self.fallbacks.len()).finish_non_exhaustive()
    }
}

/// Answers OPTIONS with 204 and every other method with 405, both with `allow`.
pub(super) fn answer_unhandled(allow: HeaderValue) -> ErasedHandler {
    Rc::new(move |ctx| {
        let mut response = match *ctx.request().method() {
            Method::OPTIONS => Response::new(StatusCode::NO_CONTENT),
            _ => Response::reason(StatusCode::METHOD_NOT_ALLOWED),
        };
        response.replace(ALLOW, allow.clone());
        response
    })
}

/// Answers 404.
pub(super) fn answer_not_found(_: &mut Context) -> Response {
    Response::reason(StatusCode::NOT_FOUND)
}
